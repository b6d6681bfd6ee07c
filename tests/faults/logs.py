"""A CA on loopback with logs of its own, the first of which can be told to misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.api.server import CA, leaf, running_ca
from tests.ct.logs import HonestLog
from tests.ct.pki import key_hash
from tests.dev.server import listener, serving
from tests.faults.lying_log import LyingLog
from tests.faults.proxy import Proxy


@dataclass
class Logged:
    """The CA, its first log with a proxy before it, and its fallback if it has one."""

    ca: CA
    first: LyingLog
    proxy: Proxy
    fallback: LyingLog | None

    def ask(self) -> httpx.Response:
        return self.ca.client.post("/api/v2/signingCert", json=self.request(), timeout=20)

    def request(self) -> dict[str, Any]:
        from tests.api.server import body

        return body(self.ca.token())


@contextmanager
def logged_ca(directory: Path, *, fallback: bool, **settings: Any) -> Iterator[Logged]:
    """`settings` are further ones of `ct`."""
    write_ca(directory / "ca", "Dayfly tests", "Dayfly tests", clock())
    root = x509.load_pem_x509_certificates((directory / "ca/chain.pem").read_bytes())[-1]
    with ExitStack() as stack:
        first = LyingLog(root)
        sock = listener()
        stack.enter_context(serving(first.app, sock))
        proxy = stack.enter_context(Proxy(*sock.getsockname()))
        ct = {"log": f"http://127.0.0.1:{proxy.port}/2026", "log-key": _key_file(directory, "first", first)}
        second = None
        if fallback:
            second = LyingLog(root)
            sock = listener()
            stack.enter_context(serving(second.app, sock))
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/2026"
            ct["fallbacks"] = [{"log": url, "log-key": _key_file(directory, "second", second)}]
        yield Logged(stack.enter_context(running_ca(directory, ct=ct | settings)), first, proxy, second)


def _key_file(directory: Path, name: str, log: HonestLog) -> Path:
    path = directory / f"{name}.pub.pem"
    path.write_bytes(log.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def sct_log_id(answer: httpx.Response) -> bytes:
    """The id of the one log whose SCT the certificate has."""
    (sct,) = leaf(answer).extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    return sct.log_id


def log_id(log: HonestLog | None) -> bytes:
    assert log is not None
    return key_hash(log.key.public_key())
