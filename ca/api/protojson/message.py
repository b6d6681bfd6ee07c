"""Which fields a message has, and how their values are written in JSON."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_DEPTH = 32
"""Objects and arrays inside each other; the messages are three deep, the rest is for unknown fields."""

MAX_TOKENS = 1000
"""Names, values and brackets in a body: they cost time before anybody has shown a token. A request has thirty."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message, by the name that JSON gives it."""

    name: str
    type: Literal["string", "bytes", "enum"] | Message
    oneof: str = ""
    """The full name of the oneof that it is a member of."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a message may contain. Where a field has a second name, it is listed under both."""

    fields: Mapping[str, Field]


Values = dict[str, Any]
"""By `Field.name`: str, bytes or the Values of a message. What was null, unknown or an enum is not in it."""


def base64_bytes(text: str) -> bytes:
    """Standard or URL-safe, padded or not, as protojson's `unmarshalBytes`: newlines are skipped, but count.

    Raises ValueError.
    """
    padded = len(text) % 4 == 0
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise ValueError("two alphabets")
        text = text.replace("-", "+").replace("_", "/")
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    if not padded:
        if "=" in text:
            raise ValueError("padding that does not pad")
        text += "=" * (-len(text) % 4)
    if text.endswith("==="):
        raise ValueError("more padding than a quantum has room for")  # binascii lets four of them pass
    return binascii.a2b_base64(text, strict_mode=True)
