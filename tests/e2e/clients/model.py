"""What the matrix knows of a client, and a client of the instance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.e2e.signing import EMAIL

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess


@dataclass(frozen=True)
class Files:
    """Trust by files, as `dayfly trust show --out` writes them."""

    directory: Path

    @property
    def trusted_root(self) -> Path:
        return self.directory / "trusted_root.json"

    @property
    def signing_config(self) -> Path:
        return self.directory / "signing_config.v0.2.json"

    @property
    def client_trust_config(self) -> Path:
        return self.directory / "client_trust_config.json"

    def url(self, service: str) -> str:
        """Of the first `service` of the signing configuration, such as `caUrls`."""
        return json.loads(self.signing_config.read_text())[service][0]["url"]

    def signing_at(self, ca_url: str, directory: Path) -> Files:
        """The same but for where certificates come from."""
        directory.mkdir()
        root, config = json.loads(self.trusted_root.read_text()), json.loads(self.signing_config.read_text())
        config["caUrls"][0]["url"] = ca_url
        files = Files(directory)
        files.trusted_root.write_text(json.dumps(root))
        files.signing_config.write_text(json.dumps(config))
        both = json.loads(self.client_trust_config.read_text()) | {"trustedRoot": root, "signingConfig": config}
        files.client_trust_config.write_text(json.dumps(both))
        return files


@dataclass(frozen=True)
class Mirror:
    """Trust by a TUF repository: its URL and its first root."""

    url: str
    root: Path


Trust = Files | Mirror


@dataclass(frozen=True)
class Published:
    """The same trust both ways."""

    files: Files
    mirror: Mirror


@dataclass(frozen=True)
class Signed:
    """A file, its bundle, and who is expected to have signed it."""

    blob: Path
    bundle: Path
    issuer: str
    identity: str = EMAIL

    @property
    def logged(self) -> bool:
        """Whether there is an entry of a log of signatures, and not timestamps alone."""
        return bool(json.loads(self.bundle.read_text())["verificationMaterial"].get("tlogEntries"))


class Client(Protocol):
    """One implementation, driven as its users do. Each `Client` has a home of its own, which it may fill."""

    name: str
    needs_log: bool
    """Whether it verifies only what a log of signatures has."""

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        """Sign `blob` as whom `token` names and write `bundle`, or end with another code than 0."""

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        """End with 0 if, and only if, that is what was signed and by whom."""
