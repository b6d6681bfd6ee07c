"""Who takes part, and what each of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.clients.cosign import Cosign2, Cosign3, Program
from tests.e2e.clients.golang import SigstoreGo
from tests.e2e.clients.java import SigstoreJava
from tests.e2e.clients.javascript import SigstoreJS
from tests.e2e.clients.python import SigstorePython

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clients.model import Client
    from tests.e2e.clients.stack import Stack
    from tests.e2e.processes import Tools

NAMES = ["cosign 3", "cosign 2", "sigstore-python", "sigstore-js", "sigstore-go", "sigstore-java"]


def client(name: str, tools: Tools, home: Path, stack: Stack) -> Client:
    """Skips where a toolchain is missing that install-tools does not insist on."""
    match name:
        case "cosign 3":
            return Cosign3(Program(tools.binary("cosign"), home))
        case "cosign 2":
            return Cosign2(Program(tools.binary("cosign2"), home), stack.url, stack.timestamp_url)
        case "sigstore-python":
            return SigstorePython(home)
        case "sigstore-js":
            return SigstoreJS.make(home, tools.javascript_modules)
        case "sigstore-go":
            return SigstoreGo(tools.binary("sigstore-go-client"), home)
        case "sigstore-java":
            if not tools.java.exists():
                pytest.skip("sigstore-java needs a JDK and Maven, such as apt-get install default-jdk-headless maven")
            return SigstoreJava(tools.java, home, stack.trust_store, stack.rpc)
        case _:
            raise ValueError(name)
