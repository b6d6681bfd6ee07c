"""`tuf:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from ca.documents import Settings


class TUFSettings(Settings):
    """A TUF repository that this server serves at `/tuf`; off unless it has a directory."""

    directory: Path | None = None
    """As `dayfly tuf init` makes it."""
    online_key: str | None = None
    """The key of snapshot and timestamp, as for `dayfly tuf refresh`: with it the server renews both by itself."""
    online_key_password_file: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.online_key and not self.directory:
            raise ValueError("online-key renews the repository in `directory`, which is missing")
        return self
