"""sigstore-java, by a program of ours. It asks for certificates over gRPC with TLS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.clients.model import Files, Signed, Trust
from tests.e2e.processes import run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.e2e.clients.model import Published

TRUST_STORE_PASSWORD = "changeit"


@dataclass(frozen=True)
class SigstoreJava:
    directory: Path
    """With its jars and classes, as install-tools leaves them."""
    home: Path
    trust_store: Path
    published: Published
    """With the CA's URL for gRPC: its signing configuration goes there."""
    name: str = "sigstore-java"
    needs_log: bool = True

    def sign(self, blob: Path, bundle: Path, trust: Trust, token: str) -> CompletedProcess[str]:
        rpc = self.published.files if isinstance(trust, Files) else self.published.mirror
        return self._java("sign", blob, bundle, rpc, {"SIGSTORE_ID_TOKEN": token})

    def verify(self, signed: Signed, trust: Trust) -> CompletedProcess[str]:
        expected = {"IDENTITY": signed.identity, "ISSUER": signed.issuer}
        return self._java("verify", signed.blob, signed.bundle, trust, expected)

    def _java(
        self, command: str, blob: Path, bundle: Path, trust: Trust, variables: dict[str, str]
    ) -> CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH",)} | {"HOME": str(self.home)}
        words = [
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Duser.home={self.home}"),
            *(
                f"-Djavax.net.ssl.trustStore={self.trust_store}",
                f"-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}",
            ),
            *("-cp", f"{self.directory / 'classes'}:{self.directory / 'lib'}/*", "Client", command, blob, bundle),
        ]
        return run(words, env=kept | variables | self._trusting(trust), cwd=self.home)

    def _trusting(self, trust: Trust) -> dict[str, str]:
        if isinstance(trust, Files):
            return {"DAYFLY_FILES": str(trust.directory)}
        cache = self.home / f"tuf-{trust.url.rpartition('/')[2]}"
        return {"DAYFLY_MIRROR": trust.url, "DAYFLY_ROOT": str(trust.root), "DAYFLY_CACHE": str(cache)}
