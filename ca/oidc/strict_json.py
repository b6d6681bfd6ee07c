"""JSON that means the same to every reader: what tokens, discovery documents and key sets are read with."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 8
# A string that does not end is a token too, and nothing is tried twice: else quotes would cost quadratic time.
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class StrictJSONError(ValueError):
    """Public: the message quotes nothing but the name of a member, shortened."""


def decode(content: bytes) -> Any:
    """The value of a JSON text (RFC 8259). Integers are exact.

    Raises StrictJSONError for what readers disagree on or fall over: duplicate members, NaN and numbers beyond a
    double, text that is not UTF-8 or has lone surrogates, a byte order mark, deep nesting.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise StrictJSONError("not UTF-8") from error
    # Each level takes a bracket, so few brackets need no closer look.
    if content.count(b"{") + content.count(b"[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise StrictJSONError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value = _DECODER.decode(text)
    except StrictJSONError:
        raise
    except ValueError as error:
        raise StrictJSONError("not JSON") from error
    if b"\\u" in content:
        _refuse_lone_surrogates(value)
    return value


def decode_object(content: bytes) -> dict[str, Any]:
    """As `decode`, for a text that has to be an object."""
    value = decode(content)
    if not isinstance(value, dict):
        raise StrictJSONError("not a JSON object")
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        match token.group():
            case "[" | "{":
                depth += 1
                deepest = max(deepest, depth)
            case "]" | "}":
                depth -= 1
    return deepest


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise StrictJSONError(f"the member {twice[:40]!a} appears twice")
    return unique


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJSONError("a number is beyond the range of a double")
    return number


def _refuse_constant(constant: str) -> NoReturn:
    raise StrictJSONError(f"{constant} is not a JSON number")


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise StrictJSONError("a string has a lone surrogate") from error


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant)
