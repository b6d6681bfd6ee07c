"""The server's configuration: one file, and flags and environment variables that override it.

A setting has one name everywhere: `log-key` in the section `ct` of the file is `--ct-log-key` on the command line
and `DAYFLY_CT_LOG_KEY` in the environment. Flags win over the environment, the environment over the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, field_validator, model_validator

from ca.ct.settings import CTSettings
from ca.documents import Document, Place, Settings, load, validate
from ca.documents.address import Address
from ca.errors import ConfigurationError
from ca.http.settings import HTTPSettings
from ca.keys.settings import CASettings
from ca.limits.settings import MEMORY, LimitsSettings
from ca.proof.algorithms import DEFAULT_ALGORITHMS
from ca.proof.policy import KeyPolicy
from ca.rpc.settings import RPCSettings
from ca.telemetry import LogSettings
from ca.timestamp.settings import TimestampSettings
from ca.trust.settings import TrustSettings
from ca.tuf.settings import TUFSettings

ENV_PREFIX = "DAYFLY_"
_OF_A_SERVICE = re.compile(
    rf"{ENV_PREFIX}(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes gives the pods beside a Service called `dayfly` or `dayfly-…`
(https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables)."""


class MetricsSettings(Settings):
    """`metrics:` in the configuration."""

    listen: Literal["none"] | Address = "127.0.0.1:2112"


class ServerSettings(Settings):
    """Everything `dayfly serve` reads."""

    listen: Address = "127.0.0.1:5555"
    workers: int = Field(default=1, ge=1, le=128)
    data: Path = Path()
    """The directory for what the server keeps."""
    identity_config: Path
    """Fulcio's identity configuration, unchanged."""
    ca: CASettings
    ct: CTSettings = CTSettings()
    certificate_lifetime: int = Field(default=600, ge=1, le=600)
    """Seconds."""
    client_signing_algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    blocked_keys: Path | None = None
    """A file with the SHA-256 of one SubjectPublicKeyInfo a line, in hex."""
    http: HTTPSettings = HTTPSettings()
    grpc: RPCSettings = RPCSettings()
    limits: LimitsSettings = LimitsSettings()
    metrics: MetricsSettings = MetricsSettings()
    timestamp: TimestampSettings = TimestampSettings()
    trust: TrustSettings = TrustSettings()
    tuf: TUFSettings = TUFSettings()
    log: LogSettings = LogSettings()

    @field_validator("client_signing_algorithms")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        KeyPolicy.parse(names)
        return names

    @model_validator(mode="after")
    def _workers_count_together(self) -> Self:
        if self.limits.store == MEMORY and self.workers > 1:
            raise ValueError(
                f"limits: store: {MEMORY} is one worker's own, and there are {self.workers}: leave it out, or write "
                "sqlite or redis://…"
            )
        return self

    @property
    def lifetime(self) -> timedelta:
        return timedelta(seconds=self.certificate_lifetime)


def load_settings(path: Path | None, flags: Mapping[str, Any], environment: Mapping[str, str]) -> ServerSettings:
    """The settings of a file, if one is named, under the environment's and the command line's.

    `flags` by name without dashes in front; None is a flag that was not given. Paths in the file are relative to it,
    others to the working directory. Raises ConfigurationError naming the line, the variable or the flag.
    """
    _require_known(environment)
    document = _beside(path, load(path)) if path else _without_file()
    for place, annotation in _leaves(ServerSettings):
        name = "-".join(place)
        variable = _variable(place)
        if variable in environment:
            document = document.overridden(place, _from_text(environment[variable], annotation), variable)
        if flags.get(name) is not None:
            document = document.overridden(place, flags[name], f"--{name}")
    return validate(ServerSettings, document)


def _beside(path: Path, document: Document) -> Document:
    """The document with its paths relative to it, in the members of lists as well."""

    def places(model: type[BaseModel], at: Place) -> Iterator[Place]:
        for place, annotation in _leaves(model):
            member = _member(annotation)
            if Path in _alternatives(annotation):
                yield (*at, *place)
            elif member and isinstance(listed := _at(document.data, (*at, *place)), list):
                for index in range(len(listed)):
                    yield from places(member, (*at, *place, index))

    for place in places(ServerSettings, ()):
        if isinstance(value := _at(document.data, place), str):
            document = document.moved(place, str(path.parent / value))
    return document


def _member(annotation: Any) -> type[BaseModel] | None:
    """The model of a list's members."""
    kind, *_ = _alternatives(annotation)
    return kind if get_origin(annotation) is tuple and issubclass(kind, BaseModel) else None


def _variable(place: Place) -> str:
    return ENV_PREFIX + "-".join(map(str, place)).upper().replace("-", "_")


def _require_known(environment: Mapping[str, str]) -> None:
    """A variable that nothing reads is a setting that somebody believes in. Raises ConfigurationError."""
    known = [_variable(place) for place, _ in _leaves(ServerSettings)]
    problems = []
    for name in environment:
        if name.startswith(ENV_PREFIX) and name not in known and not _OF_A_SERVICE.fullmatch(name):
            near = get_close_matches(name, known, n=1)
            problems.append(f"{name}: no such setting{f'; did you mean {near[0]}?' if near else ''}")
    if problems:
        raise ConfigurationError("\n".join(problems))


def _without_file() -> Document:
    """An empty document, whose missing settings are named by their flags."""
    flags: dict[Place, str] = {("ca",): "--ca-…", ("ct",): "--ct-…"}
    flags |= {place: f"--{'-'.join(place)} or --config" for place, _ in _leaves(ServerSettings)}
    return Document("--config", {"ca": {}, "ct": {}}, is_json=False, lines={}, origins=flags)


def _leaves(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting: its place in the file, and its type."""
    for name, info in model.model_fields.items():
        place, kind = (*above, info.alias or name), info.annotation
        if isinstance(kind, type) and not get_args(kind) and issubclass(kind, BaseModel):
            yield from _leaves(kind, place)
        else:
            yield place, kind


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) or (annotation,)


def _from_text(text: str, annotation: Any) -> Any:
    """A variable's value; lists are written with commas."""
    return [part.strip() for part in text.split(",")] if str in get_args(annotation)[:1] else text


def _at(data: Any, place: Place) -> Any:
    for key in place:
        if isinstance(key, int):
            data = data[key]
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data
