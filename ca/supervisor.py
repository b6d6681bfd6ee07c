"""The parent of several worker processes."""

from __future__ import annotations

import os
import signal
from typing import Any

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """uvicorn's, but SIGHUP goes on to the workers, which read their files again, instead of replacing them.

    What a worker that is gone last said of its state is taken out of the metrics in PROMETHEUS_MULTIPROC_DIR.
    """

    def __init__(self, *uvicorn: Any, **more: Any) -> None:
        super().__init__(*uvicorn, **more)
        self._known: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        current = {process.pid for process in self.processes}
        for gone in self._known - current:
            mark_process_dead(gone)  # type: ignore[no-untyped-call]
        self._known = current

    def handle_hup(self) -> None:
        for process in self.processes:
            # To a worker that has not come as far as to expect it the signal would be the end. It reads the files now.
            if process.pid and process.is_ready(timeout=1):
                os.kill(process.pid, signal.SIGHUP)
