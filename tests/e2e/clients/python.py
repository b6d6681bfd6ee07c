"""sigstore-python, by its command line."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.clients.model import Files, Signed, Trust
from tests.e2e.processes import run

if TYPE_CHECKING:
    from subprocess import CompletedProcess


@dataclass(frozen=True)
class SigstorePython:
    home: Path
    name: str = "sigstore-python"
    needs_log: bool = True

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        words = ("sign", f"--identity-token={token}", f"--bundle={bundle}", "--overwrite")
        return self._sigstore(*self._trusting(trust), *words, blob)

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        return self._sigstore(
            *(*self._trusting(trust), "verify", "identity", f"--bundle={signed.bundle}"),
            *(f"--cert-identity={signed.identity}", f"--cert-oidc-issuer={signed.issuer}", signed.blob),
        )

    def _trusting(self, trust: Trust) -> list[str | Path]:
        if isinstance(trust, Files):
            return ["--trust-config", trust.client_trust_config]
        instance = ["--instance", trust.url]
        if not (self.home / ".local").exists():
            known = self._sigstore(*instance, "trust-instance", trust.root)
            assert known.returncode == 0, known.stderr
        return instance

    def _sigstore(self, *words: str | Path) -> CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")}
        kept["COLUMNS"] = "1000"  # its messages on a line each
        program = Path(sys.executable).parent / "sigstore"
        return run([program, *words], env=kept | {"HOME": str(self.home)}, cwd=self.home)
