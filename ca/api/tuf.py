"""`/tuf/…`: the files of the TUF repository, as any web server would serve them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from ca.api import answers

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

PREFIX: Final = "/tuf"
_FILE: Final = re.compile(
    r"timestamp\.json|[0-9]{1,10}\.(root|targets|snapshot)\.json|targets/[0-9a-f]{64}\.[A-Za-z0-9._-]{1,200}"
)
"""What a repository has, and no key or draft that somebody keeps beside it."""
_NEWEST: Final = "timestamp.json"


class TUFFiles:
    """GET of what the repository in `directory` has; anything else is not found.

    Clients ask for the next root until there is none, and believe nothing but a 404 about that.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def file(self, request: Request) -> Response:
        if request.method != "GET":
            return answers.method_not_allowed()
        name = request.scope["path"].removeprefix(f"{PREFIX}/")
        if not _FILE.fullmatch(name):
            return answers.not_found()
        try:
            content = (self._directory / name).read_bytes()
        except OSError:
            return answers.not_found()
        media_type = "application/json" if name.endswith(".json") else "application/octet-stream"
        # Everything but the timestamp has its version or hash in its name (TUF specification §6.2).
        caching = "no-cache" if name == _NEWEST else "public, max-age=31536000, immutable"
        return Response(content, media_type=media_type, headers={"Cache-Control": caching})
