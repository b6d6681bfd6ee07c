"""The templates of `ci-issuer-metadata`: the part of Go's text/template that such files use.

What compiles means exactly what it means to Go (https://pkg.go.dev/text/template, Go 1.26, `missingkey=error`, data a
map of strings). Everything else is refused when the configuration is loaded, with its place; that includes what Go
would only notice with a token at hand, such as `eq .` or `.a.b`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ca.identity.claims import forbidden_character
from ca.identity.go_quote import quote
from ca.identity.template_nodes import (
    Choice,
    Data,
    Equal,
    Expression,
    Field,
    If,
    Index,
    Kind,
    MissingKeyError,
    Not,
    Part,
    Print,
    Text,
    render,
)

_SUPPORTED: Final = (
    'supported are {{.claim}}, {{index . "claim"}}, string literals, parentheses, eq, ne, and, or, not, '
    "{{if}} {{else if}} {{else}} {{end}} and the trim markers {{- and -}}"
)
_DEEPEST: Final = 50
"""Levels of `if` and parentheses: far more than anybody can read, far less than Python's stack holds."""

_SPACES: Final = " \t\r\n"
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_ELSE_IF: Final = re.compile(r"[ \t\r\n]+if(?!\w)")
_WORD: Final = re.compile(r"\w+")
_FIELD: Final = re.compile(r"\.(?![0-9])(\w+)")
_STRING: Final = re.compile(r'"((?:\\["\\]|[^"\\\n])*)"|`([^`\r]*)`')
_CLOSE: Final = re.compile(r"[ \t\r\n]*\}\}|[ \t\r\n]+-\}\}[ \t\r\n]*")
_END_OF_COMMAND: Final = re.compile(r"[ \t\r\n]*(?:\)|\}\})|[ \t\r\n]+-\}\}")


class TemplateSyntaxError(ValueError):
    """The message begins with `line:column`, both counted in characters from 1, and says what is supported."""


@dataclass(frozen=True, slots=True)
class Key:
    """A template without `{{`: the whole of it is the name of a claim."""

    key: str

    def begins(self) -> str:
        """What every text begins with that is rendered."""
        return ""

    def render(self, data: Data) -> str:
        """Raises MissingKeyError."""
        try:
            return data[self.key]
        except KeyError:
            raise MissingKeyError(self.key) from None


@dataclass(frozen=True, slots=True)
class Template:
    """A template with actions."""

    parts: tuple[Part, ...]

    def begins(self) -> str:
        """What every text begins with that is rendered."""
        match self.parts:
            case (Text(text), *_):
                return text
        return ""

    def render(self, data: Data) -> str:
        """Raises MissingKeyError."""
        return render(self.parts, data)


def compile_template(source: str, *, index_required: bool = False) -> Key | Template:
    """`index_required` is for names: there `index` of a missing key is an error, not empty.

    Raises TemplateSyntaxError.
    """
    if "{{" not in source:
        return Key(source)
    return Template(_Parser(source, index_required=index_required).parse())


@dataclass(frozen=True, slots=True)
class _Dot:
    """`.`, the whole map; only `index` can use it."""


class _Parser:
    """One descent through one source; what text/template/parse is to Go."""

    def __init__(self, source: str, *, index_required: bool) -> None:
        self.source = source
        self.index_required = index_required
        self.position = 0
        self.depth = 0

    def parse(self) -> tuple[Part, ...]:
        parts, ending = self.parse_body()
        if ending:
            raise self.error(f"{ending} without if", self.position - len(ending))
        return parts

    # ---- text and actions

    def parse_body(self) -> tuple[tuple[Part, ...], str]:
        """What stands before the end of the source, or before `else` or `end`; that word is consumed."""
        parts: list[Part] = []
        while True:
            text, action_follows = self.parse_text()
            parts += [Text(text)] if text else []
            if not action_follows:
                return tuple(parts), ""
            self.take(_SPACE)
            if self.take_word("if"):
                parts.append(self.parse_if())
            elif self.take_word("else"):
                return tuple(parts), "else"
            elif self.take_word("end"):
                return tuple(parts), "end"
            else:
                parts.append(self.parse_print())

    def parse_text(self) -> tuple[str, bool]:
        """The text before the next action or the end; an action's `{{` and trim marker are consumed."""
        start = self.position
        text, opening, rest = self.source[start:].partition("{{")
        self.position += len(text) + len(opening)
        if rest.startswith(tuple("-" + space for space in _SPACES)):
            self.position += 2
            text = text.rstrip(_SPACES)
        self.require_printable(text, start)
        return text, bool(opening)

    def parse_print(self) -> Part:
        expression = self.parse_command()
        self.close()
        return expression if isinstance(expression, Text | Field | Index) else Print(expression)

    def parse_if(self) -> If:
        self.descend()
        start = self.position - len("if")
        branches: list[tuple[Expression, tuple[Part, ...]]] = []
        ending = "else if"
        while ending == "else if":
            if not self.source.startswith((*_SPACES, ".", "("), self.position):
                raise self.unexpected()
            condition = self.parse_command()
            self.close()
            body, ending = self.parse_body()
            branches.append((condition, body))
            if ending == "else" and self.take(_ELSE_IF):
                ending = "else if"
        otherwise: tuple[Part, ...] = ()
        if ending == "else":
            self.close()
            otherwise, ending = self.parse_body()
        if ending != "end":
            raise self.error("if without end" if not ending else "if with a second else", start)
        self.close()
        self.depth -= 1
        return If(tuple(branches), otherwise)

    # ---- inside an action

    def parse_command(self) -> Expression:
        """A value, or a function with its arguments; what ends it is not consumed."""
        self.take(_SPACE)
        start = self.position
        if word := self.take(_WORD):
            return self.call(word[0], self.parse_arguments(), start)
        value = self.parse_operand()
        if isinstance(value, _Dot) or self.parse_arguments():
            raise self.error("a command is a value or a function with arguments", start)
        return value

    def parse_arguments(self) -> list[Expression | _Dot]:
        arguments: list[Expression | _Dot] = []
        while not _END_OF_COMMAND.match(self.source, self.position):
            if not self.take(_SPACE):
                raise self.unexpected()
            arguments.append(self.parse_operand())
        return arguments

    def parse_operand(self) -> Expression | _Dot:
        start = self.position
        if field := self.take(_FIELD):
            return self.field(field[1], start)
        if string := self.take(_STRING):
            quoted, raw = string.groups()
            text = raw if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            self.require_printable(text, start)
            return Text(text)
        if self.source.startswith("(", start):
            return self.parse_parentheses()
        if self.source.startswith(".", start):
            self.position += 1
            return _Dot()
        raise self.unexpected()

    def parse_parentheses(self) -> Expression:
        self.descend()
        self.position += 1
        expression = self.parse_command()
        self.take(_SPACE)
        if not self.source.startswith(")", self.position):
            raise self.unexpected()
        self.position += 1
        self.depth -= 1
        return expression

    def field(self, key: str, start: int) -> Field:
        if not all(character == "_" or character.isalpha() or character.isdecimal() for character in key):
            raise self.error(f"{quote(key)} cannot stand behind a dot", start)
        line_start = self.source.rfind("\n", 0, start) + 1
        line = self.source.count("\n", 0, start) + 1
        return Field(key, place=f"{line}:{len(self.source[line_start:start].encode())}")

    def call(self, function: str, arguments: list[Expression | _Dot], start: int) -> Expression:
        values = [argument for argument in arguments if not isinstance(argument, _Dot)]
        kinds = {value.kind for value in values}
        comparable = len(kinds) == 1 and Kind.EITHER not in kinds
        match function, len(values), len(arguments) - len(values):
            case "index", 1, 1 if isinstance(arguments[0], _Dot) and kinds == {Kind.TEXT}:
                return Index(values[0], required=self.index_required)
            case "eq", count, 0 if count >= 2 and comparable:
                return Equal(values[0], tuple(values[1:]))
            case "ne", 2, 0 if comparable:
                return Equal(values[0], tuple(values[1:]), negated=True)
            case "not", 1, 0:
                return Not(values[0])
            case (("and" | "or"), count, 0) if count >= 1:
                kind = kinds.pop() if len(kinds) == 1 else Kind.EITHER
                return Choice(function == "or", tuple(values), kind)
        raise self.error(f"no function {quote(function)} that takes these arguments", start)

    def close(self) -> None:
        if not self.take(_CLOSE):
            raise self.unexpected()

    # ---- the source

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.source, self.position)
        if match:
            self.position = match.end()
        return match

    def take_word(self, word: str) -> bool:
        match = _WORD.match(self.source, self.position)
        if match is None or match[0] != word:
            return False
        self.position = match.end()
        return True

    def descend(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"more than {_DEEPEST} levels of if and parentheses")

    def require_printable(self, text: str, start: int) -> None:
        if character := forbidden_character(text):
            problem = f"U+{ord(character):04X} would go into the certificate"
            raise self.error(problem, self.source.index(character, start))

    def unexpected(self) -> TemplateSyntaxError:
        if self.position == len(self.source):
            return self.error("unclosed action")
        return self.error(f"unexpected {quote(self.source[self.position :][:20])}")

    def error(self, problem: str, position: int | None = None) -> TemplateSyntaxError:
        position = self.position if position is None else position
        line = self.source.count("\n", 0, position) + 1
        column = position - self.source.rfind("\n", 0, position)
        return TemplateSyntaxError(f"{line}:{column}: {problem}; {_SUPPORTED}")
