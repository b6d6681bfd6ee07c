"""What a model has against a document, in words for the operator."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def message(model: type[BaseModel], problem: ErrorDetails) -> str:
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
        case "model_type" | "model_attributes_type" | "dict_type":
            return "expected a mapping, lines of `name: value`"
        case "tuple_type" | "list_type":
            return "expected a list, such as [a, b]"
        case "string_type" | "path_type":
            return "expected text; put it into quotes"
        case "int_type" | "int_parsing" | "int_from_float":
            return "expected a whole number"
        case "greater_than_equal":
            return f"expected at least {problem['ctx']['ge']}"
        case "less_than_equal":
            return f"expected at most {problem['ctx']['le']}"
        case _:
            words = problem["msg"].replace("Input should be ", "expected ")
            return words[0].lower() + words[1:]


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
