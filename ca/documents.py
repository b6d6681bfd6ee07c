"""YAML and JSON documents whose every value knows its line, for errors that say where.

Stricter than the formats: a key is text and appears once, one document a file, aliases expand to a bounded size.
YAML scalars follow the core schema (YAML 1.2.2 §10.3), so that `on`, `12:30` and dates stay text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
"""Keys and indices from the document's root."""

_MAX_BYTES = 4 << 20
_MAX_VALUES = 100_000
_MAX_DEPTH = 32
_MAX_NUMBER = 40
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """A document's content as dicts, lists, str, int, float, bool and None."""

    name: str
    data: Any
    is_json: bool
    lines: Mapping[Place, int] = field(repr=False)
    """Of every value; for one in a mapping, the line of its key."""
    origins: Mapping[Place, str] = field(default_factory=dict, repr=False)
    """Where a value comes from that is not of the file."""

    def line(self, *place: str | int) -> int:
        """The line, from 1, of the value at `place` or, where nothing is there, of what should have held it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def error(self, place: Place, message: str) -> ConfigurationError:
        """A ConfigurationError that begins with `file:line: place: `."""
        return ConfigurationError(self._located(place, message))

    def renamed(self, name_of: Callable[[Place, str], str]) -> Document:
        """The same document with every key replaced by `name_of(place of the mapping, key)`.

        Raises ConfigurationError where two keys of a mapping become one.
        """
        lines: dict[Place, int] = {}

        def copy(value: Any, old: Place, new: Place) -> Any:
            lines[new] = self.lines[old]
            if isinstance(value, list):
                return [copy(item, (*old, index), (*new, index)) for index, item in enumerate(value)]
            if not isinstance(value, dict):
                return value
            copied: dict[str, Any] = {}
            for key, item in value.items():
                name = name_of(new, key)
                if name in copied:
                    raise self.error((*old, key), f"the same as another key of this mapping, {name}")
                copied[name] = copy(item, (*old, key), (*new, name))
            return copied

        return replace(self, data=copy(self.data, (), ()), lines=lines)

    def overridden(self, place: Place, value: Any, origin: str) -> Document:
        """The same document with another value at `place`; errors about it name `origin` instead of a line."""
        return replace(self.moved(place, value), origins={**self.origins, place: origin})

    def moved(self, place: Place, value: Any) -> Document:
        """The same document with another value at `place`; errors about it still name its line."""
        return replace(self, data=_with(self.data or {}, place, value))

    def _located(self, place: Place, message: str) -> str:
        for length in range(len(place), 0, -1):
            if origin := self.origins.get(place[:length]):
                return f"{origin}: {message}"
        return ": ".join(part for part in (f"{self.name}:{self.line(*place)}", _spell(place), message) if part)


class Settings(BaseModel):
    """A part of a configuration file: frozen, without unknown keys, its names spelled with hyphens."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"))

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


def _with(mapping: Mapping[str, Any], place: Place, value: Any) -> dict[str, Any]:
    key, *rest = place
    inner = mapping.get(str(key))
    return {**mapping, str(key): _with(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value}


def file_bytes(path: Path) -> bytes:
    """A file that the configuration names. Raises ConfigurationError naming it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error


def load(path: Path, *, text_only: bool = False) -> Document:
    """Read a file, JSON where it is JSON and YAML otherwise. See `parse`."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, so not a configuration file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8") from error
    return parse(text, str(path), text_only=text_only)


def parse(text: str, name: str, *, text_only: bool = False) -> Document:
    """Read a document; `name` stands for the file in errors.

    With `text_only` every scalar of a YAML document but null is text, so that `client-id: 0123` keeps its zero.

    Raises ConfigurationError with the line of whatever is not a strict document.
    """
    is_json = name.endswith(".json") or text.lstrip().startswith("{")
    if is_json:
        try:
            json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            if name.endswith(".json"):
                place = f"{name}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else name
                reason = error.msg if isinstance(error, json.JSONDecodeError) else error
                raise ConfigurationError(f"{place}: not JSON: {reason}") from error
            is_json = False
    root = _JSONReader(text, name).root() if is_json else _YAMLReader(text, name, text_only=text_only).root()
    lines: dict[Place, int] = {}
    return Document(name, _expand(root, (), lines, name), is_json, lines)


def validate(model: type[_Model], document: Document, at: Place = ()) -> _Model:
    """The part of the document at `at` as an instance of the model.

    Raises one ConfigurationError with a line for each problem; unknown keys come with the nearest known one.
    """
    data = document.data
    for part in at:
        data = data[part]
    try:
        # Absent and empty are alike: an empty file is an empty mapping.
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = sorted(_problems(model, document, at, error), key=lambda problem: document.line(*problem[0]))
        raise ConfigurationError("\n".join(document._located(*problem) for problem in problems)) from error  # noqa: SLF001 - the same concept, in this file


# ---- the tree between a format and the document --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """`value`: a scalar, a list of nodes, or a dict of nodes; `line` where it stands."""

    value: Any
    line: int


def _expand(node: _Node, place: Place, lines: dict[Place, int], name: str) -> Any:
    """The plain value; an alias is copied wherever it stands, and the copies are counted against alias bombs."""
    lines[place] = node.line
    if len(lines) > _MAX_VALUES:
        raise ConfigurationError(f"{name}:{node.line}: more than {_MAX_VALUES} values, aliases expanded")
    if len(place) > _MAX_DEPTH:
        raise ConfigurationError(f"{name}:{node.line}: nested deeper than {_MAX_DEPTH} levels")
    match node.value:
        case list(items):
            return [_expand(item, (*place, index), lines, name) for index, item in enumerate(items)]
        case dict(members):
            return {key: _expand(member, (*place, key), lines, name) for key, member in members.items()}
        case scalar:
            return scalar


class _JSONReader:
    """Reads text that is known to be JSON once more, for the lines and for keys that appear twice."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._tokens = self._tokenize(text)

    def root(self) -> _Node:
        return self._node(*next(self._tokens), depth=0)

    @staticmethod
    def _tokenize(text: str) -> Iterator[tuple[str, int]]:
        line, seen = 1, 0
        for token in _JSON_TOKEN.finditer(text):
            line += text.count("\n", seen, token.start())
            seen = token.start()
            yield token.group(), line

    def _node(self, token: str, line: int, depth: int) -> _Node:
        if depth > _MAX_DEPTH:
            raise ConfigurationError(f"{self._name}:{line}: nested deeper than {_MAX_DEPTH} levels")
        if token == "[":  # noqa: S105 - a bracket
            items: list[_Node] = []
            while (item := next(self._tokens))[0] != "]":
                if item[0] != ",":
                    items.append(self._node(*item, depth + 1))
            return _Node(items, line)
        if token == "{":  # noqa: S105 - a bracket
            return _Node(self._members(depth), line)
        return _Node(json.loads(token), line)

    def _members(self, depth: int) -> dict[str, _Node]:
        members: dict[str, _Node] = {}
        while (item := next(self._tokens))[0] != "}":
            if item[0] == ",":
                continue
            key, line = json.loads(item[0]), item[1]
            if key in members:
                raise _duplicate(self._name, line, key, members[key].line)
            next(self._tokens)  # the colon
            members[key] = replace(self._node(*next(self._tokens), depth + 1), line=line)
        return members


class _YAMLReader:
    """Composes nodes from the parser's events, since PyYAML's own composer forgets where an alias stood."""

    def __init__(self, text: str, name: str, *, text_only: bool) -> None:
        # PyYAML is also built without libyaml.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._name = name
        self._text_only = text_only
        self._last_line = max(1, text.count("\n") + (not text.endswith("\n")))
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        self._anchors: dict[str, _Node] = {}

    def root(self) -> _Node:
        try:
            return self._root()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # libyaml points behind the last line where something is missing at the end.
            line = min(mark.line, self._last_line - 1) + 1 if mark else 1
            raise ConfigurationError(f"{self._name}:{line}: not YAML: {error.problem or error.context}") from error
        except yaml.YAMLError as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"{self._name}:1: not YAML: {reason}") from error

    def _root(self) -> _Node:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root:
                    raise self._error(event, "a second document, after the one that `---` ends")
                root = self._node(next(self._events), depth=0)
        return root or _Node(None, 1)

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if depth > _MAX_DEPTH:
            raise self._error(event, f"nested deeper than {_MAX_DEPTH} levels")
        match event:
            case yaml.AliasEvent():
                # An anchor counts from the end of its node, so that no node contains itself.
                if event.anchor not in self._anchors:
                    raise self._error(event, f"*{event.anchor} stands for nothing: no &{event.anchor} before it")
                return replace(self._anchors[event.anchor], line=line)
            case yaml.SequenceStartEvent():
                node = _Node([self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)], line)
            case yaml.MappingStartEvent():
                node = _Node(self._members(depth), line)
            case _:
                node = _Node(self._scalar(event), line)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _members(self, depth: int) -> dict[str, _Node]:
        members: dict[str, _Node] = {}
        merged: dict[str, _Node] = {}
        for event in self._until(yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                value_event = next(self._events)
                for key, member in self._merge(value_event, self._node(value_event, depth + 1)):
                    merged.setdefault(key, member)
                continue
            key_node = self._node(event, depth + 1)
            key = key_node.value
            if not isinstance(key, str):
                raise self._error(event, "a key has to be text: put it into quotes")
            if key in members:
                raise _duplicate(self._name, key_node.line, key, members[key].line)
            members[key] = replace(self._node(next(self._events), depth + 1), line=key_node.line)
        return merged | members

    def _merge(self, event: Any, node: _Node) -> Iterator[tuple[str, _Node]]:
        """The members that `<<` brings: https://yaml.org/type/merge.html; of two, the earlier wins."""
        sources = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(source.value, dict) for source in sources):
            raise self._error(event, "<< takes a mapping or a list of mappings")
        return chain.from_iterable(source.value.items() for source in sources)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:
            if event.tag and event.tag not in _TEXT_TAGS:
                raise self._error(event, f"the tag {event.tag} is not supported")
            return text
        if _NULL.fullmatch(text):
            return None
        if self._text_only:
            return text
        if _BOOL.fullmatch(text):
            return text[0] in "tT"
        # No setting is a longer number, and Python refuses to convert some of them.
        if len(text) > _MAX_NUMBER:
            return text
        if _INT.fullmatch(text):
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _error(self, event: Any, message: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name}:{event.start_mark.line + 1}: {message}")


def _spell(place: Place) -> str:
    spelled = "".join(
        f".{part}" if isinstance(part, str) and re.fullmatch(r"[\w-]+", part) else f"[{json.dumps(part)}]"
        for part in place
    )
    return spelled.removeprefix(".")


def _duplicate(name: str, line: int, key: str, first: int) -> ConfigurationError:
    return ConfigurationError(f"{name}:{line}: the key {key} appears twice, first in line {first}")


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


# ---- what a model has against a document ---------------------------------------------------------------------


def _problems(
    model: type[BaseModel], document: Document, at: Place, error: ValidationError
) -> Iterator[tuple[Place, str]]:
    for problem in error.errors(include_url=False, include_input=False):
        # Beyond what the document has, a place names pydantic's own inner steps, such as the branch of a union.
        place = (*at, *problem["loc"])
        known = place
        while known and known not in document.lines and known not in document.origins:
            known = known[:-1]
        missing = problem["type"] == "missing"
        yield (place if missing else known), _message(model, problem)


def _message(model: type[BaseModel], problem: ErrorDetails) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            *parents, key = problem["loc"]
            names = _keys(model, parents)
            near = difflib.get_close_matches(str(key), names, n=1)
            return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known: {', '.join(names)}"
        case "value_error":
            return str(problem["ctx"]["error"])
        case _:
            return problem["msg"][0].lower() + problem["msg"][1:]


def _keys(model: type[BaseModel], parents: list[str | int]) -> list[str]:
    """The keys known at a place. A part of it that is no field is the key of a mapping or the index of a list."""
    models = {model}
    for part in parents:
        inner = [
            inner
            for outer in models
            for name, info in outer.model_fields.items()
            if part in {name, info.alias}
            for inner in _models(info.annotation)
        ]
        models = set(inner) or models
    return sorted(info.alias or name for known in models for name, info in known.model_fields.items())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
