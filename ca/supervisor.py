"""The parent of several worker processes."""

from __future__ import annotations

import os
import signal

from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """uvicorn's, but SIGHUP goes on to the workers, which read their files again, instead of replacing them."""

    def handle_hup(self) -> None:
        for process in self.processes:
            # To a worker that has not come as far as to expect it the signal would be the end. It reads the files now.
            if process.pid and process.is_ready(timeout=1):
                os.kill(process.pid, signal.SIGHUP)
