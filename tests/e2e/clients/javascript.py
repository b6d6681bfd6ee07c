"""sigstore-js, by a script of a few lines: its command line signs no files."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.clients.model import Files, Signed, Trust
from tests.e2e.processes import run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

SCRIPT = Path(__file__).parent / "javascript" / "client.mjs"


@dataclass(frozen=True)
class SigstoreJS:
    home: Path
    name: str = "sigstore-js"
    needs_log: bool = False

    @classmethod
    def make(cls, home: Path, modules: Path) -> SigstoreJS:
        # Node resolves packages beside the script's real path, so the script goes to where they can be linked.
        shutil.copy(SCRIPT, home)
        (home / "node_modules").symlink_to(modules)
        return cls(home)

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        return self._node("sign", blob, bundle, trust, {"SIGSTORE_ID_TOKEN": token})

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        expected = {"IDENTITY": signed.identity, "ISSUER": signed.issuer}
        return self._node("verify", signed.blob, signed.bundle, trust, expected)

    def _node(
        self, command: str, blob: Path, bundle: Path, trust: Trust, variables: dict[str, str]
    ) -> CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")} | {"HOME": str(self.home)}
        script = self.home / SCRIPT.name
        return run(["node", script, command, blob, bundle], env=kept | variables | self._trusting(trust), cwd=self.home)

    def _trusting(self, trust: Trust) -> dict[str, str]:
        if isinstance(trust, Files):
            return {"DAYFLY_FILES": str(trust.directory)}
        cache = str(self.home / "tuf")
        return {"DAYFLY_MIRROR": trust.url, "DAYFLY_ROOT": str(trust.root), "DAYFLY_CACHE": cache}
