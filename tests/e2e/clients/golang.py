"""sigstore-go, by a program of ours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.clients.model import Files, Signed, Trust
from tests.e2e.processes import run

if TYPE_CHECKING:
    from subprocess import CompletedProcess


@dataclass(frozen=True)
class SigstoreGo:
    binary: Path
    home: Path
    name: str = "sigstore-go"
    needs_log: bool = False

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        return self._run("sign", [f"-bundle={bundle}", *self._trusting(trust), blob], {"SIGSTORE_ID_TOKEN": token})

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        expected = [f"-bundle={signed.bundle}", f"-identity={signed.identity}", f"-issuer={signed.issuer}"]
        unlogged = [] if signed.logged else ["-unlogged"]
        return self._run("verify", [*expected, *unlogged, *self._trusting(trust), signed.blob], {})

    def _run(self, command: str, words: list[str | Path], variables: dict[str, str]) -> CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")} | {"HOME": str(self.home)}
        return run([self.binary, command, *words], env=kept | variables, cwd=self.home)

    def _trusting(self, trust: Trust) -> list[str]:
        if isinstance(trust, Files):
            return [f"-files={trust.directory}"]
        return [f"-mirror={trust.url}", f"-root={trust.root}", f"-cache={self.home / 'tuf'}"]
