"""A live Dayfly: its CA made by `dayfly ca init`, served by `dayfly serve` in a process of its own."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.processes import Child, free_port, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.e2e.timestamps import TimestampAuthority

DAYFLY = Path(sys.executable).parent / "dayfly"


@dataclass(frozen=True)
class CAFiles:
    chain: Path
    key: Path
    root: Path

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The issuing one first, the root last."""
        return x509.load_pem_x509_certificates(self.chain.read_bytes())


def make_ca(directory: Path) -> CAFiles:
    password = directory / "root.password"
    password.write_text("root-password\n")
    made = run([DAYFLY, "ca", "init", "--out", directory / "ca", "--root-password-file", password])
    assert made.returncode == 0, made.stderr
    files = CAFiles(directory / "ca" / "chain.pem", directory / "ca" / "intermediate.key.pem", directory / "root.pem")
    files.root.write_bytes(files.certificates[-1].public_bytes(Encoding.PEM))
    return files


@dataclass(frozen=True)
class Dayfly:
    url: str
    child: Child

    def document(self, name: str) -> dict[str, object]:
        """What it tells its clients: `trustedRoot` or `signingConfig`."""
        return httpx.get(f"{self.url}/api/v2/{name}", trust_env=False).raise_for_status().json()


@contextmanager
def dayfly(
    directory: Path,
    ca: CAFiles,
    issuer: str,
    log: str,
    log_key: Path | None = None,
    name: str = "dayfly",
    workers: int = 1,
    tsa: TimestampAuthority | None = None,
) -> Iterator[Dayfly]:
    """Serve certificates to the users of `issuer`, an identity provider that vouches for e-mail addresses.

    `log` is a URL, with `log_key`, or `embedded`. With `tsa` it has a signing configuration, which names that.
    """
    port = free_port()
    identities = directory / f"{name}.identity.yaml"
    issuers = {issuer: {"issuer-url": issuer, "client-id": "sigstore", "type": "email"}}
    identities.write_text(yaml.safe_dump({"oidc-issuers": issuers}))
    config = directory / f"{name}.yaml"
    config.write_text(
        yaml.safe_dump({"trust": _trust(directory, f"http://127.0.0.1:{port}", issuer, tsa)} if tsa else {})
    )
    command = [
        DAYFLY,
        "serve",
        f"--config={config}",
        f"--listen=127.0.0.1:{port}",
        "--metrics-listen=none",
        f"--identity-config={identities}",
        f"--ca-cert={ca.chain}",
        f"--ca-key={ca.key}",
        f"--ct-log={log}",
        *([f"--ct-log-key={log_key}"] if log_key else []),
        f"--data={directory}",
        f"--workers={workers}",
    ]
    with Child.start(name, command, directory, cwd=directory) as child:
        url = f"http://127.0.0.1:{port}"
        child.wait_for_http(f"{url}/readyz")
        yield Dayfly(url, child)


def _trust(directory: Path, url: str, issuer: str, tsa: TimestampAuthority) -> dict[str, Any]:
    authority = {"url": tsa.url, "chain": str(tsa.write_chain(directory))}
    return {"url": url, "operator": "example.org", "oidc": [{"url": issuer}], "timestamp-authorities": [authority]}
