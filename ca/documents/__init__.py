"""YAML and JSON documents whose every value knows its line, for errors that say where.

Stricter than the formats: a key is text and appears once, one document a file, aliases expand to a bounded size.
YAML scalars follow the core schema (YAML 1.2.2 §10.3), so that `on`, `12:30` and dates stay text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ca.documents.problems import message
from ca.documents.readers import MAX_DEPTH, JSONReader, Node, YAMLReader
from ca.errors import ConfigurationError

Place = tuple[str | int, ...]
"""Keys and indices from the document's root."""

_MAX_BYTES = 4 << 20
_MAX_VALUES = 100_000
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
        return replace(self, data=_with(self.data, place, value))

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


def _with(container: Any, place: Place, value: Any) -> Any:
    """A copy with another value at `place`; mappings on the way there are made."""
    if not place:
        return value
    key, *rest = place
    if isinstance(key, int):
        return [_with(item, tuple(rest), value) if index == key else item for index, item in enumerate(container)]
    mapping = container if isinstance(container, dict) else {}
    return {**mapping, key: _with(mapping.get(key), tuple(rest), value)}


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
    root = JSONReader(text, name).root() if is_json else YAMLReader(text, name, text_only=text_only).root()
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


def _expand(node: Node, place: Place, lines: dict[Place, int], name: str) -> Any:
    """The plain value; an alias is copied wherever it stands, and the copies are counted against alias bombs."""
    lines[place] = node.line
    if len(lines) > _MAX_VALUES:
        raise ConfigurationError(f"{name}:{node.line}: more than {_MAX_VALUES} values, aliases expanded")
    if len(place) > MAX_DEPTH:
        raise ConfigurationError(f"{name}:{node.line}: nested deeper than {MAX_DEPTH} levels")
    match node.value:
        case list(items):
            return [_expand(item, (*place, index), lines, name) for index, item in enumerate(items)]
        case dict(members):
            return {key: _expand(member, (*place, key), lines, name) for key, member in members.items()}
        case scalar:
            return scalar


def _spell(place: Place) -> str:
    spelled = "".join(
        f".{part}" if isinstance(part, str) and re.fullmatch(r"[\w-]+", part) else f"[{json.dumps(part)}]"
        for part in place
    )
    return spelled.removeprefix(".")


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


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
        yield (place if missing else known), message(model, problem)
