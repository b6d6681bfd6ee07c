"""What a worker does beside answering: tasks that go on until it ends, and what a hangup asks for."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

RESTART_AFTER: Final = 5.0
"""Seconds from a task's unexpected end to its new beginning."""


def in_background(work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Keep `work` going until cancelled: what ends it is logged, and it starts over."""

    async def forever() -> None:
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - a task that dies unnoticed would be worse than any of its errors
                structlog.get_logger().exception("a background task failed and starts over", task=repr(work))
            await asyncio.sleep(RESTART_AFTER)

    return asyncio.create_task(forever())


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def at_hangup(stack: AsyncExitStack, *looks: Callable[[], None]) -> None:
    """SIGHUP has files read at once; `stack` ends that. Only the main thread is given signals."""

    def look() -> None:
        for one in looks:
            one()

    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, look)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)
