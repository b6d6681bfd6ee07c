"""What is soaked: `dayfly serve` with two workers and the embedded log, its issuers and its Redis, all on loopback.

Everything that happens to it in production can be done to it here, while it serves.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.ct.embedded.directory import LogDirectory
from ca.dev.tokens import IssuerKey, load_or_create_issuer_key
from ca.keys.ceremony import Authority, create_intermediate, create_root
from ca.main import clock
from tests.api.server import METADATA, TYPES
from tests.bench import usage
from tests.e2e.processes import Child
from tests.process import Served, free_port, serving
from tests.redis_server import RedisServer, redis_server
from tests.soak.issuers import NAMES, key_file

GUARDS = {"email": "off", "github": "per-key", "spiffe": "single-use", "seasonal": "off"}
WORKERS = 2


@dataclass
class Instance:
    directory: Path
    served: Served
    redis: RedisServer
    issuers: str
    root: Authority
    keys: dict[str, IssuerKey] = field(default_factory=dict)
    rotations: int = 0

    @property
    def url(self) -> str:
        return self.served.url

    def issuer(self, name: str) -> str:
        return f"{self.issuers}/{name}"

    def workers(self) -> set[int]:
        """multiprocessing's resource tracker is a child too, and holds no memory to speak of."""
        children = usage.children(self.served.process.pid)
        return {pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}

    def memory(self) -> float:
        """MiB of the server and its workers together."""
        return usage.memory([self.served.process.pid])

    def kill_a_worker(self) -> int:
        pid = min(self.workers())
        os.kill(pid, signal.SIGKILL)
        return pid

    def rotate(self, name: str) -> None:
        """The new key is published beside the last one, and signs from now on."""
        self.rotations += 1
        self.keys[name] = load_or_create_issuer_key(key_file(self.directory / "issuers", name, self.rotations))

    def replace_ca(self) -> int:
        """Another intermediate under the same root; returns its serial number."""
        intermediate = create_intermediate(self.root, "Dayfly", "soak-intermediate", clock())
        _write_ca(self.directory, intermediate, self.root)
        return intermediate.certificate.serial_number

    def configure(self, *, seasonal: bool, broken: bool = False) -> None:
        write_identities(self.directory, self.issuers, seasonal=seasonal, broken=broken)


def write_identities(directory: Path, issuers: str, *, seasonal: bool, broken: bool = False) -> None:
    kinds = {name: TYPES.get(name, TYPES["email"]) for name in NAMES}
    entries = {
        f"{issuers}/{name}": {
            "issuer-url": f"{issuers}/{name}",
            "client-id": "sigstore",
            "token-guard": GUARDS[name],
            **fields,
            **({} if seasonal or name != "seasonal" else {"enabled": False}),
            **({"client-idd": "sigstore"} if broken else {}),
        }
        for name, fields in kinds.items()
    }
    _replace(
        directory / "identity.yaml",
        yaml.safe_dump({"oidc-issuers": entries, "ci-issuer-metadata": METADATA["ci-issuer-metadata"]}).encode(),
    )


def _write_ca(directory: Path, intermediate: Authority, root: Authority) -> None:
    chain = [authority.certificate.public_bytes(Encoding.PEM) for authority in (intermediate, root)]
    key = intermediate.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _replace(directory / "chain.pem", b"".join(chain))
    _replace(directory / "ca.key.pem", key)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.chmod(0o600)
    draft.replace(path)


@contextmanager
def running(directory: Path) -> Iterator[Instance]:
    """`directory` has everything, and is left as it is for whoever wants to look."""
    root = create_root("Dayfly", "soak", clock())
    _write_ca(directory, create_intermediate(root, "Dayfly", "soak-intermediate", clock()), root)
    LogDirectory(directory).create("soak.example.com/2026", clock())
    issuers_port, port = free_port(), free_port()
    issuers, url = f"http://127.0.0.1:{issuers_port}", f"http://127.0.0.1:{port}"
    (directory / "issuers").mkdir()
    write_identities(directory, issuers, seasonal=False)
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.soak.issuers", str(issuers_port), directory / "issuers"]
        child = stack.enter_context(Child.start("issuers", command, directory))
        child.wait_for_http(f"{issuers}/{NAMES[-1]}/jwks")
        redis = stack.enter_context(redis_server(directory))
        served = stack.enter_context(serving(directory, "serve", "--config", _settings(directory, url, redis), url=url))
        instance = Instance(directory, served, redis, issuers, root)
        for name in NAMES:
            instance.keys[name] = load_or_create_issuer_key(key_file(directory / "issuers", name, 0))
        yield instance


def _settings(directory: Path, url: str, redis: RedisServer) -> Path:
    file = directory / "ca.yaml"
    settings = {
        "listen": url.removeprefix("http://"),
        "workers": WORKERS,
        "data": str(directory),
        "identity-config": "identity.yaml",
        "ca": {"cert": "chain.pem", "key": "ca.key.pem"},
        "ct": {"log": "embedded"},
        "metrics": {"listen": "none"},
        # All of the load has one address; it stays within these, which count nevertheless.
        "limits": {"store": redis.url, "client": "1000/s burst 60000", "issuer": "1000/s burst 60000"},
    }
    file.write_text(yaml.safe_dump(settings))
    return file
