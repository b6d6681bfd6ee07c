"""Every metric by name, and the log's set-up.

Records go to standard error, one JSON object a line, so that standard output stays with the commands. What is
logged is chosen field by field: no claims, no headers, no bodies, hence no token, proof or key.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ca.documents import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import Processor

STEPS = ("token", "identity", "proof", "limits", "draft", "precertificate", "log", "certificate", "lint")
"""The steps of the issuance cycle that are timed, in order."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LogSettings(Settings):
    """`log:` in the server's configuration."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Metrics:
    """All of the server's metrics. Every label has a bounded set of values, whatever clients send."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.signing_requests = Counter(
            "dayfly_signing_requests",
            "Requests for a certificate. outcome: issued, refused (the client's fault), failed (ours) or disconnected; "
            "reason: empty or a reason code; issuer: the configured URL or pattern, empty where none was matched.",
            ("outcome", "reason", "issuer"),
            registry=registry,
        )
        self.signing_seconds = Histogram(
            "dayfly_signing_seconds",
            "Time from the request's last byte to its answer.",
            ("outcome",),
            buckets=_FAST,
            registry=registry,
        )
        step_seconds = Histogram(
            "dayfly_step_seconds",
            "Time that a step of the issuance cycle took.",
            ("step",),
            buckets=_FAST,
            registry=registry,
        )
        self.step_seconds = {step: step_seconds.labels(step) for step in STEPS}
        self.misissuances = Counter(
            "dayfly_misissuances",
            "Certificates that the lint held back. Anything but 0 is an alarm.",
            registry=registry,
        )
        self.tuf_expiry_seconds = Gauge(
            "dayfly_tuf_expiry_seconds",
            "Seconds until clients stop believing the TUF repository, by role: root, targets, snapshot or timestamp.",
            ("role",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.timestamps = Counter(
            "dayfly_timestamps",
            "Timestamp queries (RFC 3161). outcome: granted, or a reason code.",
            ("outcome",),
            registry=registry,
        )
        self.ct_submission_seconds = Histogram(
            "dayfly_ct_submission_seconds",
            "Time that a log elsewhere took. log: the configured URL; outcome: promised, unavailable, refused or "
            "invalid (an SCT that does not verify).",
            ("log", "outcome"),
            buckets=_FAST,
            registry=registry,
        )
        self.ct_skipped = Counter(
            "dayfly_ct_skipped",
            "Precertificates that a log elsewhere was not offered: it is left alone, or they end outside its term.",
            ("log",),
            registry=registry,
        )
        self.ct_breaker_open = Gauge(
            "dayfly_ct_breaker_open",
            "1 while a log elsewhere is left alone because it failed too often.",
            ("log",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.rate_limited = Counter(
            "dayfly_rate_limited",
            "Requests refused by a limit: client, failures, issuer or identity.",
            ("limit",),
            registry=registry,
        )
        self.limits_store_failed = Gauge(
            "dayfly_limits_store_failed",
            "1 while the store of limits and of the token guard cannot count. Anything but 0 is an alarm.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.limits_unchecked = Counter(
            "dayfly_limits_unchecked",
            "Requests that no limit has seen, since the store could not count.",
            registry=registry,
        )
        self.connections_ended = Counter(
            "dayfly_connections_ended",
            "Connections that the server ended or turned away, by reason: what clients did, never what they said.",
            ("reason",),
            registry=registry,
        )
        self.tls_expiry_seconds = Gauge(
            "dayfly_tls_expiry_seconds",
            "Seconds until the server's TLS certificate expires.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.tls_reload_failed = Gauge(
            "dayfly_tls_reload_failed",
            "1 while the TLS certificate's files cannot be loaded and the last good pair is in use.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.grpc_tls_expiry_seconds = Gauge(
            "dayfly_grpc_tls_expiry_seconds",
            "Seconds until gRPC's TLS certificate expires.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.grpc_tls_reload_failed = Gauge(
            "dayfly_grpc_tls_reload_failed",
            "1 while the files of gRPC's TLS certificate cannot be loaded and the last good pair is in use.",
            registry=registry,
            multiprocess_mode="max",
        )
        self.chain_expiry_seconds = Gauge(
            "dayfly_chain_expiry_seconds",
            "Seconds until the first certificate of the CA's chain expires.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.next_chain_expiry_seconds = Gauge(
            "dayfly_next_chain_expiry_seconds",
            "The same of the chain that is published to issue next; NaN where there is none.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.jwks_age_seconds = IssuerGauge(
            Gauge(
                "dayfly_jwks_age_seconds",
                "Seconds since an issuer's keys were fetched, by configured URL or pattern: the oldest of a pattern; "
                "NaN once none are kept.",
                ("issuer",),
                registry=registry,
                multiprocess_mode="mostrecent",
            ),
            gone=float("nan"),
        )
        self.oidc_fetches = Counter(
            "dayfly_oidc_fetches",
            "Attempts at an issuer's discovery document and keys, by the configured URL or pattern. outcome: ok, "
            "failed, or forbidden, where a rule of ours kept it from an address or host.",
            ("issuer", "outcome"),
            registry=registry,
        )
        self.oidc_stale_keys_used = Counter(
            "dayfly_oidc_stale_keys_used",
            "Tokens checked with old keys while their issuer does not answer, by the configured URL or pattern.",
            ("issuer",),
            registry=registry,
        )
        self.oidc_breaker_open = IssuerGauge(
            Gauge(
                "dayfly_oidc_breaker_open",
                "1 while an issuer is not asked because it failed, or its key file is broken; of a pattern, how many.",
                ("issuer",),
                registry=registry,
                multiprocess_mode="livemax",
            ),
            gone=0,
        )
        self.key_reload_failed = Gauge(
            "dayfly_ca_key_reload_failed",
            "1 while the CA key's files cannot be loaded and the last good pair is in use.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.identity_config_reload_failed = Gauge(
            "dayfly_identity_config_reload_failed",
            "1 while the identity configuration cannot be loaded and the last good one is in use.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.ctlog = CTLogMetrics(registry)


class IssuerGauge:
    """A gauge with a figure for each issuer that there is something to say of."""

    def __init__(self, gauge: Gauge, *, gone: float) -> None:
        """`gone` is what stands for an issuer from then on that is configured no more: a label cannot be taken back."""
        self._gauge = gauge
        self._gone = gone
        self._shown: set[str] = set()

    def show(self, figures: Mapping[str, float]) -> None:
        """By the configured URL or pattern: all there are."""
        for issuer in self._shown - figures.keys():
            self._gauge.labels(issuer).set(self._gone)
        for issuer, figure in figures.items():
            self._gauge.labels(issuer).set(figure)
        self._shown |= figures.keys()


class CTLogMetrics:
    """Those of the embedded log, of all processes that share it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.size = Gauge(
            "dayfly_ctlog_size",
            "Entries of the newest tree that this server has committed or found at its start.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.checkpoint_time = Gauge(
            "dayfly_ctlog_checkpoint_timestamp_seconds",
            "When that tree was signed, in seconds since 1970.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.batch_entries = Histogram(
            "dayfly_ctlog_batch_entries",
            "Submissions that shared a commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "dayfly_ctlog_commit_seconds",
            "Time to sequence, sign and sync a batch, with the wait for other processes.",
            buckets=_FAST,
            registry=registry,
        )
        self.queue = Gauge(
            "dayfly_ctlog_queue",
            "Submissions that waited when the last batch was taken.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.refusals = Counter(
            "dayfly_ctlog_refusals",
            "Submissions that got no SCT. cause: queue full, deadline, too large, frozen, clock, disk full, "
            "not committed, stopped or internal.",
            ("cause",),
            registry=registry,
        )


def configure_logging(settings: LogSettings, stream: BinaryIO | None = None) -> None:
    """Send structlog's records, and the standard library's (uvicorn's), to `stream`, standard error by default."""
    stream = stream or sys.stderr.buffer
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _escape_controls,
    ]
    final: list[Processor]
    if settings.format == "json":
        final = [structlog.processors.format_exc_info, _to_json]
    else:
        # Rich's tracebacks, the default, show local variables, among them tokens and keys.
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain), _to_bytes]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = _ToStructlog()
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    # Their per-request chatter repeats what our one record a request says, and could name what it must not.
    for noisy in ("uvicorn.access", "httpx", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _ToStructlog(logging.Handler):
    """The standard library's records in the same form as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            logger = structlog.get_logger(record.name)
            logger.log(
                record.levelno, record.getMessage().rstrip("\n"), logger=record.name, exc_info=record.exc_info or False
            )
        except Exception:  # noqa: BLE001 - a stream that is gone must not stop whoever had something to say
            self.handleError(record)


def _escape_controls(_logger: Any, _method: str, event: Any) -> Any:
    """A path is what a client makes of it, and a log is read on terminals, which take commands from it."""
    for name, value in event.items():
        if isinstance(value, str) and _CONTROL.search(value):
            event[name] = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
    return event


def _to_json(_logger: Any, _method: str, event: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def _to_bytes(_logger: Any, _method: str, text: Any) -> bytes:
    return str(text).encode()
