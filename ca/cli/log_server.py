"""`dayfly log serve`: the log without the CA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from ca.config import Address
from ca.errors import ConfigurationError
from ca.main import serve_log
from ca.telemetry import LogSettings

if TYPE_CHECKING:
    from pathlib import Path

    from ca.ct.embedded.directory import LogDirectory


def serve(logs: LogDirectory, listen: str, roots: Path) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigurationError before it listens if anything is wrong."""
    try:
        TypeAdapter(Address).validate_python(listen)
    except ValidationError as problem:
        raise ConfigurationError(f"--listen: {problem.errors()[0]['msg'].removeprefix('Value error, ')}") from problem
    serve_log(logs, roots, listen, LogSettings())
