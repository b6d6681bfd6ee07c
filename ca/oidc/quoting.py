"""Text of a client's making, fit to stand in a message."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 200


def quoted(unverified_text: str) -> str:
    """The text in double quotes, at most 200 characters of it, with `?` for whatever does not print."""
    shown = "".join(character if character.isprintable() else "?" for character in unverified_text[:_LONGEST])
    return f'"{shown}…"' if len(unverified_text) > _LONGEST else f'"{shown}"'
