from __future__ import annotations

import logging
from collections.abc import Iterator
from io import BytesIO
from typing import Literal

import pytest
import structlog
from prometheus_client import CollectorRegistry

from ca.telemetry import LogSettings, Metrics, configure_logging

FORMATS = ("json", "console")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logged(log_format: Literal["json", "console"], event: str, **fields: object) -> str:
    stream = BytesIO()
    configure_logging(LogSettings(format=log_format), stream)
    structlog.get_logger().error(event, **fields)
    return stream.getvalue().decode()


def refuse(unverified_token: str) -> None:
    raise ValueError(f"a token of {len(unverified_token)} characters")


def failure(unverified_token: str) -> Exception:
    """An error whose traceback passes through frames that hold a token."""
    with pytest.raises(ValueError, match="a token of") as failed:
        refuse(unverified_token)
    return failed.value


@pytest.mark.parametrize("log_format", FORMATS)
def test_tracebacks_tell_the_reason_and_not_the_values_of_variables(log_format):
    record = logged(log_format, "issuance failed", exc_info=failure("eyJhbGciOiJSUzI1NiJ9.secret"))
    assert "in refuse" in record
    assert "a token of 27 characters" in record
    assert "eyJ" not in record


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("hostile", ["/\x1b[2J", "/\x1b]0;title\x07", "/\x9b2J", "/\x7f\x00", "/a\rb", "/a\nb"])
def test_what_clients_send_does_not_reach_a_terminal_as_commands(log_format, hostile):
    record = logged(log_format, "request", path=hostile)
    assert record.count("\n") == 1
    assert record.rstrip("\n").isprintable()


@pytest.mark.parametrize("log_format", FORMATS)
def test_records_of_the_standard_library_take_one_line(log_format):
    """uvicorn ends the one about an exception with a line end."""
    stream = BytesIO()
    configure_logging(LogSettings(format=log_format), stream)
    logging.getLogger("uvicorn.error").error("Exception in %s\n", "ASGI application")
    assert stream.getvalue().count(b"\n") == 1
    assert b"\\x0a" not in stream.getvalue()
    assert b"Exception in ASGI application" in stream.getvalue()


def test_printable_fields_stand_as_they_are_on_a_console():
    assert "path=/żółw" in logged("console", "request", path="/żółw")


def test_an_issuer_that_is_configured_no_more_does_not_stay_broken_or_old_for_ever() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.oidc_breaker_open.show({"https://a": 1, "https://b": 1})
    metrics.jwks_age_seconds.show({"https://a": 5000.0, "https://b": 1.0})
    metrics.oidc_breaker_open.show({"https://b": 1})
    metrics.jwks_age_seconds.show({"https://b": 6.0})

    def figure(name: str, issuer: str) -> float | None:
        return metrics.registry.get_sample_value(f"dayfly_{name}", {"issuer": issuer})

    assert [figure("oidc_breaker_open", issuer) for issuer in ("https://a", "https://b")] == [0, 1]
    assert str(figure("jwks_age_seconds", "https://a")) == "nan"
    assert figure("jwks_age_seconds", "https://b") == 6
