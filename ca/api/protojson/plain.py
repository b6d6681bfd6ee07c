"""The plain form that clients send, read by Python's `json`, which is fast."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ca.api.protojson.message import MAX_DEPTH, Message, Values, base64_bytes


class NotPlainError(ValueError):
    """The body has to be read by the reader, which may well accept it."""


def read_plain(body: bytes, message: Message) -> Values:
    """Read a body that is valid and as clients write it: what this accepts, the reader accepts as the same.

    Raises ValueError where the reader has to look.
    """
    # Brackets bound the depth, commas the tokens; an escaped surrogate may be a lone one. A request in the plain form
    # has none of these where it is long: tokens, PEM and base64 are free of them.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or body.count(b",") > MAX_DEPTH:
        raise NotPlainError
    if b"\\ud" in body or b"\\uD" in body:
        raise NotPlainError
    members, _ = _JSON.raw_decode(body.decode())
    return _values(members, message)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise NotPlainError
    return unique


def _refuse_constant(_name: str) -> NoReturn:
    raise NotPlainError  # NaN and Infinity are Python's JSON alone


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _values(members: object, message: Message) -> Values:
    if not isinstance(members, dict):
        raise NotPlainError
    values: Values = {}
    seen: set[str] = set()
    for name, value in members.items():
        field = message.fields.get(name)
        if field is None:
            continue
        if field.name in seen or (field.oneof in seen and value is not None):
            raise NotPlainError
        seen.add(field.name)
        if value is None:
            continue
        if field.oneof:
            seen.add(field.oneof)
        match field.type:
            case Message() as inner:
                values[field.name] = _values(value, inner)
            case "enum" if isinstance(value, str):
                pass
            case "string" if isinstance(value, str):
                values[field.name] = value
            case "bytes" if isinstance(value, str):
                values[field.name] = base64_bytes(value)
            case _:
                raise NotPlainError
    return values
