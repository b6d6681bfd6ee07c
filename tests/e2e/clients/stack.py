"""What the clients are pointed at: `dayfly serve` with its log and its TUF repository, Rekor v2, and timestamps.

Every document that a client reads is Dayfly's own.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.clients.model import Files, Mirror, Published
from tests.e2e.instance import DAYFLY, CAFiles
from tests.e2e.processes import Child, free_port, run
from tests.e2e.rekor import ORIGIN, Rekor

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


@contextmanager
def stack(directory: Path, ca: CAFiles, issuer: str, rekor: Rekor, tsa: TimestampAuthority) -> Iterator[Stack]:
    """Configured, its TUF repository published and its documents written with Dayfly's commands."""
    url = f"http://127.0.0.1:{free_port()}"
    config = _configuration(directory, url, ca, issuer, rekor, tsa)
    _dayfly("log", "init", "--data", directory, "--origin", f"{url.removeprefix('http://')}/ctlog")
    _tuf_repository(directory, config)
    _dayfly("trust", "show", "--config", config, "--out", directory / "trust")
    with Child.start("stack", [DAYFLY, "serve", "--config", config], directory, cwd=directory) as child:
        child.wait_for_http(f"{url}/readyz")
        root = directory / "1.root.json"
        shutil.copy(directory / "tuf" / "1.root.json", root)
        yield Stack(url, tsa.url, issuer, ca, Published(Files(directory / "trust"), Mirror(f"{url}/tuf", root)))


def _configuration(directory: Path, url: str, ca: CAFiles, issuer: str, rekor: Rekor, tsa: TimestampAuthority) -> Path:
    chain = directory / "timestamps.pem"
    chain.write_bytes(b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in tsa.chain))
    identities = directory / "identity.yaml"
    issuers = {issuer: {"issuer-url": issuer, "client-id": "sigstore", "type": "email"}}
    identities.write_text(yaml.safe_dump({"oidc-issuers": issuers}))
    document = {
        "listen": url.removeprefix("http://"),
        "data": str(directory),
        "identity-config": str(identities),
        "ca": {"cert": str(ca.chain), "key": str(ca.key)},
        "tuf": {"directory": str(directory / "tuf"), "online-key": str(directory / "keys" / "tuf-online.key.pem")},
        "trust": {
            "url": url,
            "operator": "example.org",
            "oidc": [{"url": issuer}],
            "rekor": [{"url": rekor.url, "public-key": str(rekor.public_key), "origin": ORIGIN}],
            "timestamp-authorities": [{"url": tsa.url, "chain": str(chain)}],
        },
        "metrics": {"listen": "none"},
    }
    config = directory / "ca.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


def _tuf_repository(directory: Path, config: Path) -> None:
    password, keys, repository = directory / "tuf.password", directory / "keys", directory / "tuf"
    password.write_text("tuf-password\n")
    _dayfly("tuf", "init", "--dir", repository, "--keys", keys, "--password-file", password)
    _dayfly(
        *("tuf", "publish", "--config", config, "--dir", repository, "--password-file", password),
        *("--targets-key", keys / "tuf-targets.key.pem", "--online-key", keys / "tuf-online.key.pem"),
    )


def _dayfly(*words: str | Path) -> None:
    done = run([DAYFLY, *words])
    assert done.returncode == 0, done.stdout + done.stderr
