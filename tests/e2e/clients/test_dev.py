"""`dayfly dev` alone, with its own timestamps and no log of signatures: what the README's quick start promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.clients.cosign import Cosign3, Program
from tests.e2e.clients.javascript import SigstoreJS
from tests.e2e.clients.model import Client, Mirror, Signed
from tests.e2e.instance import DAYFLY
from tests.e2e.processes import Child, free_port, run
from tests.e2e.signing import EMAIL


@dataclass(frozen=True)
class Development:
    directory: Path
    url: str

    @property
    def mirror(self) -> Mirror:
        return Mirror(f"{self.url}/tuf", self.directory / "tuf" / "1.root.json")

    def token(self) -> str:
        minted = run([DAYFLY, "dev-token", "--email", EMAIL, "--data", self.directory])
        assert minted.returncode == 0, minted.stderr
        return minted.stdout.strip()


@pytest.fixture(scope="module")
def development(tmp_path_factory) -> Iterator[Development]:
    directory, port = tmp_path_factory.mktemp("dev"), free_port()
    command = [DAYFLY, "dev", "--listen", f"127.0.0.1:{port}", "--data", directory / "data"]
    with Child.start("dev", command, directory) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/readyz")
        yield Development(directory / "data", f"http://127.0.0.1:{port}")


@pytest.fixture(params=["cosign 3", "sigstore-js"])
def client(request, tools, tmp_path) -> Client:
    if request.param == "sigstore-js":
        return SigstoreJS.make(tmp_path, tools.javascript_modules)
    return Cosign3(Program(tools.binary("cosign"), tmp_path))


def test_client_signs_and_verifies_by_the_instances_mirror(client, development, blob, tmp_path):
    bundle = tmp_path / "bundle.json"
    made = client.sign(blob, bundle, development.mirror, development.token())
    assert made.returncode == 0, made.stdout + made.stderr
    signed = Signed(blob, bundle, f"{development.url}/issuer")
    verified = client.verify(signed, development.mirror)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert not signed.logged
