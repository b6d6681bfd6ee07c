"""How commands end that cannot do what was asked: an exit code, and what is wrong in words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG_ERROR: Final = 78
"""EX_CONFIG of sysexits.h: the operator has to change something before trying again."""
REFUSED: Final = 1
"""The answer is no: there is no certificate, or the log is not good."""


@contextmanager
def errors(exit_code: int = CONFIG_ERROR) -> Iterator[None]:
    """What is wrong goes to standard error in words, without a traceback."""
    from ca.errors import DayflyError

    try:
        yield
    except DayflyError as problem:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {_plain(problem.detail)}")
        raise typer.Exit(exit_code) from problem


def _plain(text: str) -> str:
    """Neither markup nor a terminal's commands, whoever wrote the text."""
    from rich.markup import escape

    return escape(printable(text))


def printable(text: str) -> str:
    """Without a terminal's commands, whoever wrote the text."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)
