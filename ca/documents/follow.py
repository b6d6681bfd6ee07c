"""Following files as they change, for whatever reads them again while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog
from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

DEBOUNCE: Final = 0.2
"""Seconds for which changes are gathered: two files are seldom written in the same instant."""
LOOK_AGAIN: Final = 0.5
"""Seconds after which the files are read again without being told: some file systems tell nothing, and an issuer that
is switched off has to be so within a second."""


class Follower:
    """Calls `reload` when files may have changed.

    Watches their directories, which is how a write in place, an editor's rename and Kubernetes' swap of the `..data`
    symlink look alike. `reload` finds out whether anything is different: it is called too often rather than too seldom.
    """

    def __init__(self, files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[None]]) -> None:
        """`files` is asked again whenever they have been read because of `look`; `reload` does not raise."""
        self._files = files
        self._reload = reload
        self._asked = asyncio.Event()

    def look(self) -> None:
        """Have the files read again now, whether they seem to have changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Follow the files until cancelled."""
        while True:
            try:
                async for _ in awatch(
                    *{path.absolute().parent for path in self._files()},
                    watch_filter=None,
                    debounce=int(DEBOUNCE * 1000),
                    rust_timeout=int(LOOK_AGAIN * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                    ignore_permission_denied=True,
                    stop_event=self._asked,
                ):
                    await self._reload()
            except (OSError, RuntimeError) as problem:  # no such directory, or no inotify watches left
                structlog.get_logger("files").warning("files cannot be watched", problem=str(problem))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_AGAIN)
            self._asked.clear()  # before reading: who asks meanwhile gets another look
            await self._reload()
