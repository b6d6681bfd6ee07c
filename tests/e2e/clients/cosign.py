"""cosign 3, with blobs and with images, and cosign 2 on the v1 API."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.clients.model import Files, Signed, Trust
from tests.e2e.processes import run

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess


@dataclass(frozen=True)
class Program:
    """A cosign and its home, in which it keeps what it has of a TUF mirror."""

    binary: Path
    home: Path

    def __call__(self, *words: str | Path) -> CompletedProcess[str]:
        """An empty environment: no token and no provider but those of the command line."""
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")}
        return run([self.binary, *words], env=kept | {"HOME": str(self.home)}, cwd=self.home)

    def trusting(self, trust: Trust) -> list[str]:
        """What names the trusted root on the command line: nothing once a mirror is known."""
        if isinstance(trust, Files):
            return [f"--trusted-root={trust.trusted_root}"]
        if not (self.home / ".sigstore").exists():
            known = self("initialize", f"--mirror={trust.url}", f"--root={trust.root}")
            assert known.returncode == 0, known.stderr
        return []


def expecting(signed: Signed) -> list[str]:
    return [f"--certificate-identity={signed.identity}", f"--certificate-oidc-issuer={signed.issuer}"]


def timed(signed: Signed) -> list[str]:
    """Time comes from timestamps; without a log's entry that is to be said."""
    return ["--use-signed-timestamps", *([] if signed.logged else ["--insecure-ignore-tlog"])]


@dataclass(frozen=True)
class Cosign3:
    cosign: Program
    name: str = "cosign 3"
    needs_log: bool = False

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        config = [f"--signing-config={trust.signing_config}"] if isinstance(trust, Files) else []
        words = ("sign-blob", "--yes", f"--identity-token={token}", *config, f"--bundle={bundle}")
        return self.cosign(*words, *self.cosign.trusting(trust), blob)

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        words = ("verify-blob", f"--bundle={signed.bundle}", *expecting(signed), *timed(signed))
        return self.cosign(*words, *self.cosign.trusting(trust), signed.blob)


@dataclass(frozen=True)
class Cosign2:
    """It is told the services' URLs; where trust comes by a mirror too."""

    cosign: Program
    ca_url: str
    timestamp_url: str
    name: str = "cosign 2 (v1 API)"
    needs_log: bool = False

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        ca_url = trust.url("caUrls") if isinstance(trust, Files) else self.ca_url
        return self.cosign(
            *("sign-blob", "--yes", f"--identity-token={token}", f"--fulcio-url={ca_url}", "--tlog-upload=false"),
            *(f"--timestamp-server-url={self.timestamp_url}", f"--rfc3161-timestamp={self.cosign.home / 'time.json'}"),
            *("--new-bundle-format", f"--bundle={bundle}", *self.cosign.trusting(trust), blob),
        )

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        words = ("verify-blob", "--new-bundle-format", f"--bundle={signed.bundle}", *expecting(signed), *timed(signed))
        return self.cosign(*words, *self.cosign.trusting(trust), signed.blob)
