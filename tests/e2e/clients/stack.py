"""What the clients are pointed at: `dayfly serve` with its log and its TUF repository, Rekor v2, and timestamps.

Every document that a client reads is Dayfly's own.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    pkcs12,
)

from tests.e2e.clients.java import TRUST_STORE_PASSWORD
from tests.e2e.clients.model import Files, Mirror, Published
from tests.e2e.instance import DAYFLY, CAFiles
from tests.e2e.processes import Child, free_port, run
from tests.e2e.rekor import ORIGIN, Rekor
from tests.oidc.pki import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.timestamps import TimestampAuthority


@dataclass(frozen=True)
class Stack:
    url: str
    timestamp_url: str
    issuer: str
    ca: CAFiles
    published: Published
    rpc: Published
    """The same, but that certificates come by gRPC with TLS."""
    trust_store: Path
    """For Java: the certificate of the server for gRPC."""


@contextmanager
def stack(directory: Path, ca: CAFiles, issuer: str, rekor: Rekor, tsa: TimestampAuthority) -> Iterator[Stack]:
    """Configured, its TUF repository published and its documents written with Dayfly's commands."""
    url = f"http://127.0.0.1:{free_port()}"
    rpc_port, mirror_port = free_port(), free_port()
    tls = self_signed(directory)
    config = _configuration(directory, url, _grpc(rpc_port, *tls), ca, issuer, rekor, tsa)
    _dayfly("log", "init", "--data", directory, "--origin", f"{url.removeprefix('http://')}/ctlog")
    published = _publish(directory / "http", config, url, f"{url}/tuf")
    rpc = _publish(directory / "rpc", config, f"https://localhost:{rpc_port}", f"http://127.0.0.1:{mirror_port}")
    with (
        Child.start("stack", [DAYFLY, "serve", "--config", config], directory, cwd=directory) as child,
        _mirror(directory / "rpc" / "tuf", mirror_port),
    ):
        child.wait_for_http(f"{url}/readyz")
        yield Stack(url, tsa.url, issuer, ca, published, rpc, _trust_store(tls[0]))


@contextmanager
def _mirror(repository: Path, port: int) -> Iterator[None]:
    """A TUF repository is files: any web server does."""
    command = [sys.executable, "-m", "http.server", str(port), "--bind=127.0.0.1", f"--directory={repository}"]
    with Child.start("mirror", command, repository.parent) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/1.root.json")
        yield


def _trust_store(certificate: Path) -> Path:
    """Java's file that trusts the gRPC server's certificate."""
    entry = pkcs12.PKCS12Certificate(x509.load_pem_x509_certificate(certificate.read_bytes()), b"dayfly")
    encryption = BestAvailableEncryption(TRUST_STORE_PASSWORD.encode())
    path = certificate.with_name("trust.p12")
    path.write_bytes(pkcs12.serialize_java_truststore([entry], encryption))
    return path


def _grpc(port: int, certificate: Path, key: Path) -> dict[str, str]:
    return {"listen": f"127.0.0.1:{port}", "tls-certificate": str(certificate), "tls-key": str(key)}


def _configuration(
    directory: Path, url: str, grpc: dict[str, str], ca: CAFiles, issuer: str, rekor: Rekor, tsa: TimestampAuthority
) -> Path:
    identities = directory / "identity.yaml"
    issuers = {issuer: {"issuer-url": issuer, "client-id": "sigstore", "type": "email"}}
    identities.write_text(yaml.safe_dump({"oidc-issuers": issuers}))
    document = {
        "listen": url.removeprefix("http://"),
        "data": str(directory),
        "workers": 2,
        "identity-config": str(identities),
        "ca": {"cert": str(ca.chain), "key": str(ca.key)},
        "grpc": grpc,
        "tuf": {
            "directory": str(directory / "http" / "tuf"),
            "online-key": str(directory / "http" / "keys" / "tuf-online.key.pem"),
        },
        "trust": {
            "url": url,
            "operator": "example.org",
            "oidc": [{"url": issuer}],
            "rekor": [{"url": rekor.url, "public-key": str(rekor.public_key), "origin": ORIGIN}],
            "timestamp-authorities": [{"url": tsa.url, "chain": str(tsa.write_chain(directory))}],
        },
        "metrics": {"listen": "none"},
    }
    config = directory / "ca.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


def _publish(directory: Path, config: Path, ca_url: str, mirror_url: str) -> Published:
    """The trust in the CA at `ca_url`, as files and as a TUF repository that is to be served at `mirror_url`."""
    directory.mkdir()
    _dayfly("trust", "show", "--config", config, "--url", ca_url, "--out", directory / "trust")
    password, keys, repository = directory / "tuf.password", directory / "keys", directory / "tuf"
    password.write_text("tuf-password\n")
    _dayfly("tuf", "init", "--dir", repository, "--keys", keys, "--password-file", password)
    _dayfly(
        *("tuf", "publish", "--config", config, "--url", ca_url, "--dir", repository, "--password-file", password),
        *("--targets-key", keys / "tuf-targets.key.pem", "--online-key", keys / "tuf-online.key.pem"),
    )
    root = directory / "1.root.json"
    shutil.copy(repository / "1.root.json", root)
    return Published(Files(directory / "trust"), Mirror(mirror_url, root))


def _dayfly(*words: str | Path) -> None:
    done = run([DAYFLY, *words])
    assert done.returncode == 0, done.stdout + done.stderr
