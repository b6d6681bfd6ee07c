"""`dayfly dev` alone, with its own timestamps and no log of signatures: what the README's quick start promises."""

from __future__ import annotations

import os
import re
import shutil
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

README = Path(__file__).parents[3] / "README.md"


@dataclass(frozen=True)
class Development:
    directory: Path
    """Where it was started: it keeps its files in `.dayfly` there."""
    url: str

    @property
    def mirror(self) -> Mirror:
        return Mirror(f"{self.url}/tuf", self.directory / ".dayfly" / "tuf" / "1.root.json")

    def token(self) -> str:
        minted = run([DAYFLY, "dev-token", "--email", EMAIL], cwd=self.directory)
        assert minted.returncode == 0, minted.stderr
        return minted.stdout.strip()


@pytest.fixture(scope="module")
def development(tmp_path_factory) -> Iterator[Development]:
    directory, port = tmp_path_factory.mktemp("dev"), free_port()
    with Child.start("dev", [DAYFLY, "dev", "--listen", f"127.0.0.1:{port}"], directory, cwd=directory) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/readyz")
        yield Development(directory, f"http://127.0.0.1:{port}")


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


def test_the_readmes_quick_start_signs_and_verifies(tools, development, tmp_path):
    shutil.copy(README, development.directory)
    (lines,) = re.findall(r"^\. \.venv/bin/activate\n(cosign .*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    path = f"{tools.binary('cosign').parent}:{DAYFLY.parent}:{os.environ['PATH']}"
    done = run(
        ["bash", "-euc", lines.replace("http://127.0.0.1:5555", development.url)],
        cwd=development.directory,
        env={"PATH": path, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verified OK" in done.stderr
