"""A process that logs as fast as it can and reports each promise once it has it: `worker.py DIR NAME`."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from ca.ct.embedded.directory import LogDirectory
from ca.telemetry import LogSettings, configure_logging
from tests.ct.embedded.builders import real_clock, submission

CALLERS = 24


async def main(directory: Path, name: str) -> None:
    logs = LogDirectory(directory)
    log = logs.open(logs.current(), real_clock)
    # Half of what two processes send is the same.
    numbers = count(0) if name == "shared" else count(int(name) * 1_000_000)

    async def call() -> None:
        while True:
            asked = submission(next(numbers))
            sct = await log.add(asked)
            line = f"{asked.certificate.hex()} {sct.timestamp} {sct.extensions.hex()} {sct.signature.hex()}\n"
            os.write(1, line.encode())

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call())


if __name__ == "__main__":
    configure_logging(LogSettings())
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
