"""Text of a client's making, fit to stand in a message."""

from __future__ import annotations

from typing import Final

from ca.identity.go_quote import quote

_LONGEST: Final = 200


def quoted(unverified_text: str) -> str:
    """One printable line in double quotes: at most 200 characters, escaped as Go does it."""
    shown = quote(unverified_text[:_LONGEST])[1:-1]
    cut = len(unverified_text) > _LONGEST or len(shown) > _LONGEST
    return f'"{shown[:_LONGEST]}…"' if cut else f'"{shown}"'
