"""`dayfly log serve`: the log without the CA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from ca.documents.address import Address
from ca.errors import ConfigurationError
from ca.main import serve_log
from ca.telemetry import LogSettings

if TYPE_CHECKING:
    from pathlib import Path

    from ca.ct.embedded.directory import LogDirectory


def serve(logs: LogDirectory, listen: str, roots: Path, *, workers: int, metrics_listen: str) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError before it listens if anything is wrong."""
    _check(Address, listen, "--listen")
    _check(Literal["none"] | Address, metrics_listen, "--metrics-listen")
    serve_log(logs, roots, listen, LogSettings(), workers=workers, metrics_listen=metrics_listen)


def _check(kind: Any, value: str, flag: str) -> None:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as problem:
        raise ConfigurationError(f"{flag}: {problem.errors()[-1]['msg'].removeprefix('Value error, ')}") from problem
