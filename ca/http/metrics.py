"""Prometheus' text format, of one process or of several."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

_PREFIX: Final = "dayfly-metrics-"


class MetricsPage:
    """The metrics at every path, as prometheus_client's own server has them."""

    def __init__(self, *, shared: bool) -> None:
        """`shared`: of several processes, from the directory in PROMETHEUS_MULTIPROC_DIR."""
        self._registry = REGISTRY
        if shared:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encode, content_type = choose_encoder(Request(scope).headers.get("accept", ""))
        answer = Response(encode(self._registry), headers={"Content-Type": content_type})
        await answer(scope, receive, send)


@contextmanager
def shared_directory() -> Iterator[Path]:
    """A directory for the values of several processes, and the end of those that killed servers left.

    A lock says that it is in use: a process id would be another's by then, and in a container is always the same.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # just removed
            if left.lstat().st_uid == os.getuid():  # what others leave where everybody may write is not opened
                _remove_unless_in_use(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as made, (Path(made) / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(made)


def _remove_unless_in_use(left: Path) -> None:
    with (left / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
