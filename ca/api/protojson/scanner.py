"""JSON's syntax, as Go's `encoding/json` checks it before anything else looks at a value.

Errors begin as Go's do, since clients print them and operators search for them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ca.api.protojson.message import MAX_DEPTH, MAX_TOKENS
from ca.errors import MalformedRequest

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING_INSIDE = re.compile(rb"""(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+""")
_HEX = re.compile(rb"[0-9a-fA-F]{0,3}+")
_DIGITS = re.compile(rb"[0-9]*+")
_LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}


class Token(NamedTuple):
    """A piece of the body. `kind` is the token itself for brackets and literals, else name, string or number."""

    kind: str
    start: int
    end: int


def first_value(body: bytes) -> list[Token]:
    """The tokens of the first value of a body, none if there is nothing but white space.

    Raises MalformedRequest.
    """
    return _Scanner(body).first_value()


def _unexpected_eof() -> MalformedRequest:
    return MalformedRequest("unexpected EOF: the JSON is cut short")


class _Scanner:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self._tokens: list[Token] = []

    def first_value(self) -> list[Token]:
        self._skip_space()
        if self._at == len(self._body):
            return []
        self._value(depth=0)
        return self._tokens

    def _value(self, depth: int) -> None:
        match self._peek():
            case b"{":
                self._enter(depth)
                self._object(depth + 1)
            case b"[":
                self._enter(depth)
                self._array(depth + 1)
            case b'"':
                self._string("string")
            case b"t" | b"f" | b"n" as first:
                self._literal(_LITERALS[first])
            case first if first in b"-0123456789":
                self._number()
            case _:
                raise self._invalid("looking for beginning of value")

    def _enter(self, depth: int) -> None:
        if depth == MAX_DEPTH:
            raise self._invalid(f"exceeded max depth of {MAX_DEPTH}")
        self._bracket(self._peek().decode())
        self._skip_space()

    def _object(self, depth: int) -> None:
        if self._peek() == b"}":
            self._bracket("}")
            return
        while True:
            if self._peek() != b'"':
                raise self._invalid("looking for beginning of object key string")
            self._string("name")
            self._skip_space()
            if self._peek() != b":":
                raise self._invalid("after object key")
            self._step_over()
            self._value(depth)
            self._skip_space()
            if self._peek() == b"}":
                self._bracket("}")
                return
            if self._peek() != b",":
                raise self._invalid("after object key:value pair")
            self._step_over()

    def _array(self, depth: int) -> None:
        if self._peek() == b"]":
            self._bracket("]")
            return
        while True:
            self._value(depth)
            self._skip_space()
            if self._peek() == b"]":
                self._bracket("]")
                return
            if self._peek() != b",":
                raise self._invalid("after array element")
            self._step_over()

    def _string(self, kind: str) -> None:
        start = self._at
        self._at += 1
        self._skip(_STRING_INSIDE)
        match self._peek():
            case b'"':
                self._at += 1
                self._mark(kind, start)
            case b"\\":
                raise self._invalid_escape()
            case _:
                raise self._invalid("in string literal")

    def _invalid_escape(self) -> MalformedRequest:
        self._at += 1
        if self._peek() != b"u":
            return self._invalid("in string escape code")
        self._at += 1
        self._skip(_HEX)
        return self._invalid("in \\u hexadecimal character escape")

    def _number(self) -> None:
        start = self._at
        if self._peek() == b"-":
            self._at += 1
        if self._peek() == b"0":
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._body[self._at : self._at + 1] == b".":
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._body[self._at : self._at + 1] in (b"e", b"E"):
            self._at += 1
            if self._peek() in b"+-":
                self._at += 1
            self._digits("in exponent of numeric literal")
        self._mark("number", start)

    def _digits(self, context: str) -> None:
        if self._peek() not in b"0123456789":
            raise self._invalid(context)
        self._skip(_DIGITS)

    def _literal(self, word: bytes) -> None:
        start = self._at
        for expected in word:
            if self._peek() != bytes([expected]):
                raise self._invalid(f"in literal {word.decode()} (expecting {chr(expected)!r})")
            self._at += 1
        self._mark(word.decode(), start)

    def _peek(self) -> bytes:
        byte = self._body[self._at : self._at + 1]
        if not byte:
            raise _unexpected_eof()
        return byte

    def _bracket(self, kind: str) -> None:
        self._at += 1
        self._mark(kind, self._at - 1)

    def _mark(self, kind: str, start: int) -> None:
        if len(self._tokens) == MAX_TOKENS:
            raise MalformedRequest(f"more than {MAX_TOKENS} names, values and brackets: not a signing request")
        self._tokens.append(Token(kind, start, self._at))

    def _step_over(self) -> None:
        """Past a colon or comma, which are no tokens."""
        self._at += 1
        self._skip_space()

    def _skip_space(self) -> None:
        self._skip(_SPACE)

    def _skip(self, pattern: re.Pattern[bytes]) -> None:
        if match := pattern.match(self._body, self._at):
            self._at = match.end()

    def _invalid(self, context: str) -> MalformedRequest:
        """One byte is repeated, as Go does: enough to see what is wrong, too little to give a secret away."""
        return MalformedRequest(f"invalid character {_go_quoted(self._peek())} {context}")


def _go_quoted(byte: bytes) -> str:
    """As Go's `encoding/json` prints a byte, which it takes for a code point."""
    character = byte.decode("latin-1")
    match character:
        case "'":
            return "'\\''"
        case "\\":
            return "'\\\\'"
        case "\a" | "\b" | "\f" | "\n" | "\r" | "\t" | "\v":
            return "'\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(character)] + "'"
    if character.isprintable():
        return f"'{character}'"
    return f"'\\x{byte.hex()}'" if byte < b"\x80" else f"'\\u00{byte.hex()}'"
