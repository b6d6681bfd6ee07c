"""ProtoJSON read to the letter: what Go's `protojson` accepts, and what it says if it does not.

Errors begin as Go's do, with line and column, and never repeat a value, which may be a token or a proof.
"""

from __future__ import annotations

import json

from ca.api.protojson.message import Field, Message, Values, base64_bytes
from ca.api.protojson.scanner import Token, first_value
from ca.errors import MalformedRequest

_INT32 = 2**31


def read(body: bytes, message: Message) -> Values:
    """Read the first JSON value of a body as a message. Raises MalformedRequest."""
    tokens = first_value(body)
    return _Reader(body, tokens).message(message) if tokens else {}


class _Reader:
    """The meaning of the tokens, as `protojson` takes it."""

    def __init__(self, body: bytes, tokens: list[Token]) -> None:
        self._body = body
        self._tokens = tokens
        self._start = tokens[0].start  # `encoding/json` hands `protojson` the value without the space before it
        self._index = 0

    def message(self, message: Message) -> Values:
        opening = self._next()
        if opening.kind != "{":
            raise self._unexpected(opening)
        values: Values = {}
        seen: set[str] = set()
        while (name := self._next()).kind != "}":
            field = message.fields.get(self._text(name))
            if field is None:
                self._skip()
                continue
            if field.name in seen:
                raise self._error(name, f"duplicate field {self._raw(name)}")
            seen.add(field.name)
            if self._tokens[self._index].kind == "null":
                self._next()
                continue
            if field.oneof in seen:
                raise self._error(name, f"error parsing {self._raw(name)}, oneof {field.oneof} is already set")
            if field.oneof:
                seen.add(field.oneof)
            self._set(values, field)
        return values

    def _set(self, values: Values, field: Field) -> None:
        if isinstance(field.type, Message):
            values[field.name] = self.message(field.type)
            return
        token = self._next()
        text = self._text(token) if token.kind == "string" else None
        match field.type:
            case "string" if text is not None:
                values[field.name] = text
                return
            case "bytes" if text is not None:
                try:
                    values[field.name] = base64_bytes(text)
                except ValueError:
                    pass
                else:
                    return
            case "enum" if text is not None or self._is_int32(token):
                return  # known or not: no enum of these messages is looked at
        raise self._error(token, f"invalid value for {field.type} field {field.name}")

    def _skip(self) -> None:
        depth = 0
        while True:
            token = self._next()
            match token.kind:
                case "{" | "[":
                    depth += 1
                case "}" | "]":
                    depth -= 1
                case "name" | "string":
                    self._text(token)
            if depth == 0 and token.kind != "name":
                return

    def _next(self) -> Token:
        token = self._tokens[self._index]
        self._index += 1
        return token

    def _text(self, token: Token) -> str:
        try:
            text: str = json.loads(self._raw(token))
        except UnicodeDecodeError as error:
            raise self._syntax_error(token, "invalid UTF-8 in string") from error
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self._syntax_error(token, "invalid escape code in string: a lone surrogate") from error
        return text

    def _is_int32(self, token: Token) -> bool:
        if token.kind != "number" or token.end - token.start > 20:
            return False
        number = float(self._raw(token))
        return number.is_integer() and -_INT32 <= number < _INT32

    def _raw(self, token: Token) -> str:
        return self._body[token.start : token.end].decode()

    def _position(self, token: Token) -> str:
        before = self._body[self._start : token.start]
        line = before[before.rfind(b"\n") + 1 :]
        number, column = before.count(b"\n") + 1, len(line.decode(errors="replace")) + 1
        return f"(line {number}:{column})"

    def _error(self, token: Token, what: str) -> MalformedRequest:
        return MalformedRequest(f"proto: {self._position(token)}: {what}")

    def _syntax_error(self, token: Token, what: str) -> MalformedRequest:
        return MalformedRequest(f"proto: syntax error {self._position(token)}: {what}")

    def _unexpected(self, token: Token) -> MalformedRequest:
        return self._syntax_error(token, f"unexpected token {token.kind}, where an object was expected")
