"""What a compiled template is made of, and how Go's text/template renders it from a map of strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from ca.identity.go_quote import quote

Data = Mapping[str, str]
"""Keys (claims, and defaults where there is no claim) to text."""


class MissingKeyError(LookupError):
    """A template needs a key that is neither a claim nor a default."""

    def __init__(self, key: str, go_message: str = "") -> None:
        super().__init__(go_message or f"no value for {quote(key)}")
        self.key = key
        self.go_message = go_message
        """What text/template says; empty where Fulcio speaks for itself or Go would go on."""


class Kind(Enum):
    """What a value is, known before any token is."""

    TEXT = auto()
    CONDITION = auto()
    EITHER = auto()
    """Of `and` and `or` with arguments of both kinds: they return one of their arguments."""


class Expression(Protocol):
    """Something with a value."""

    @property
    def kind(self) -> Kind: ...

    def value(self, data: Data) -> str | bool:
        """Raises MissingKeyError."""


class Part(Protocol):
    """Something with a text."""

    def render(self, data: Data) -> str:
        """Raises MissingKeyError."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text between actions, and a string literal in them."""

    text: str
    kind: Kind = Kind.TEXT

    def value(self, data: Data) -> str:  # noqa: ARG002 - it is the same for every token
        return self.text

    render = value


@dataclass(frozen=True, slots=True)
class Field:
    """`.key`, under `missingkey=error`."""

    key: str
    place: str
    """Go's: line, then offset in bytes from the beginning of that line."""
    kind: Kind = Kind.TEXT

    def value(self, data: Data) -> str:
        try:
            return data[self.key]
        except KeyError:
            place = f'template: :{self.place}: executing "" at <.{self.key}>'
            raise MissingKeyError(self.key, f"{place}: map has no entry for key {quote(self.key)}") from None

    render = value


@dataclass(frozen=True, slots=True)
class Index:
    """`index . "key"`: a missing key is the empty text, unless that would leave a hole in a name."""

    key: Expression
    required: bool
    kind: Kind = Kind.TEXT

    def value(self, data: Data) -> str:
        key = str(self.key.value(data))
        try:
            return data[key]
        except KeyError:
            if not self.required:
                return ""
            raise MissingKeyError(key) from None

    render = value


@dataclass(frozen=True, slots=True)
class Equal:
    """`eq a b c`: whether the first equals any of the others; `ne a b` is its contrary for two."""

    first: Expression
    others: tuple[Expression, ...]
    negated: bool = False
    kind: Kind = Kind.CONDITION

    def value(self, data: Data) -> bool:
        values = [self.first.value(data), *(other.value(data) for other in self.others)]
        return (values[0] in values[1:]) is not self.negated


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expression
    kind: Kind = Kind.CONDITION

    def value(self, data: Data) -> bool:
        return not self.operand.value(data)


@dataclass(frozen=True, slots=True)
class Choice:
    """`and`, `or`: the first argument that decides, else the last; what follows the decision is not looked at."""

    decisive: bool
    """The truth that decides: False for `and`, True for `or`. Empty text is not true."""
    operands: tuple[Expression, ...]
    kind: Kind

    def value(self, data: Data) -> str | bool:
        value: str | bool = ""
        for operand in self.operands:
            value = operand.value(data)
            if bool(value) is self.decisive:
                return value
        return value


@dataclass(frozen=True, slots=True)
class Print:
    """An action that writes a value which may be a condition."""

    expression: Expression

    def render(self, data: Data) -> str:
        value = self.expression.value(data)
        return value if isinstance(value, str) else str(value).lower()


@dataclass(frozen=True, slots=True)
class If:
    branches: tuple[tuple[Expression, tuple[Part, ...]], ...]
    otherwise: tuple[Part, ...]

    def render(self, data: Data) -> str:
        for condition, body in self.branches:
            if condition.value(data):
                return render(body, data)
        return render(self.otherwise, data)


def render(parts: tuple[Part, ...], data: Data) -> str:
    return "".join([part.render(data) for part in parts])
