"""The two formats: text to a tree whose nodes know their lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import yaml

from ca.errors import ConfigurationError

MAX_DEPTH = 32
_MAX_NUMBER = 40
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class Node:
    """`value`: a scalar, a list of nodes, or a dict of nodes; `line` where it stands."""

    value: Any
    line: int


class JSONReader:
    """Reads text that is known to be JSON once more, for the lines and for keys that appear twice."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._tokens = self._tokenize(text)

    def root(self) -> Node:
        return self._node(*next(self._tokens), depth=0)

    @staticmethod
    def _tokenize(text: str) -> Iterator[tuple[str, int]]:
        line, seen = 1, 0
        for token in _JSON_TOKEN.finditer(text):
            line += text.count("\n", seen, token.start())
            seen = token.start()
            yield token.group(), line

    def _node(self, token: str, line: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ConfigurationError(f"{self._name}:{line}: nested deeper than {MAX_DEPTH} levels")
        if token == "[":  # noqa: S105 - a bracket
            items: list[Node] = []
            while (item := next(self._tokens))[0] != "]":
                if item[0] != ",":
                    items.append(self._node(*item, depth + 1))
            return Node(items, line)
        if token == "{":  # noqa: S105 - a bracket
            return Node(self._members(depth), line)
        return Node(json.loads(token), line)

    def _members(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        while (item := next(self._tokens))[0] != "}":
            if item[0] == ",":
                continue
            key, line = json.loads(item[0]), item[1]
            if key in members:
                raise _duplicate(self._name, line, key, members[key].line)
            next(self._tokens)  # the colon
            members[key] = replace(self._node(*next(self._tokens), depth + 1), line=line)
        return members


class YAMLReader:
    """Composes nodes from the parser's events, since PyYAML's own composer forgets where an alias stood."""

    def __init__(self, text: str, name: str, *, text_only: bool) -> None:
        # PyYAML is also built without libyaml.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._name = name
        self._text_only = text_only
        self._last_line = max(1, text.count("\n") + (not text.endswith("\n")))
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        self._anchors: dict[str, Node] = {}

    def root(self) -> Node:
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

    def _root(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root:
                    raise self._error(event, "a second document, after the one that `---` ends")
                root = self._node(next(self._events), depth=0)
        return root or Node(None, 1)

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        match event:
            case yaml.AliasEvent():
                # An anchor counts from the end of its node, so that no node contains itself.
                if event.anchor not in self._anchors:
                    raise self._error(event, f"*{event.anchor} stands for nothing: no &{event.anchor} before it")
                return replace(self._anchors[event.anchor], line=line)
            case yaml.SequenceStartEvent():
                node = Node([self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)], line)
            case yaml.MappingStartEvent():
                node = Node(self._members(depth), line)
            case _:
                node = Node(self._scalar(event), line)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _members(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        merged: dict[str, Node] = {}
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

    def _merge(self, event: Any, node: Node) -> Iterator[tuple[str, Node]]:
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


def _duplicate(name: str, line: int, key: str, first: int) -> ConfigurationError:
    return ConfigurationError(f"{name}:{line}: the key {key} appears twice, first in line {first}")
