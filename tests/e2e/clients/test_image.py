"""cosign 3 signs an image in a registry, and verifies it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.e2e.clients import lying_ca
from tests.e2e.clients.cosign import Program
from tests.e2e.clients.model import Files, Trust
from tests.e2e.processes import Child, free_port, run
from tests.e2e.signing import EMAIL

NAMES = ["cosign 3 (image)"]
pytestmark = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True)
class Images:
    cosign: Program
    issuer: str

    def sign(self, image: str, trust: Trust, token: str) -> CompletedProcess[str]:
        config = [f"--signing-config={trust.signing_config}"] if isinstance(trust, Files) else []
        words = ("sign", "--yes", f"--identity-token={token}", *config, *self.cosign.trusting(trust))
        return self.cosign(*words, image)

    def verify(
        self, image: str, trust: Trust, identity: str = EMAIL, issuer: str | None = None
    ) -> CompletedProcess[str]:
        expected = (f"--certificate-identity={identity}", f"--certificate-oidc-issuer={issuer or self.issuer}")
        return self.cosign("verify", *expected, *self.cosign.trusting(trust), image)


@pytest.fixture(scope="module")
def images(tools, tmp_path_factory, instance) -> Images:
    return Images(Program(tools.binary("cosign"), tmp_path_factory.mktemp("images")), instance.issuer)


@pytest.fixture(scope="module")
def pushed(tools, tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """Make an image of one file with this text, and push it; by what name and digest."""
    directory = tmp_path_factory.mktemp("registry")
    registry = f"127.0.0.1:{free_port()}"

    def pushed(text: str) -> str:
        (directory / "file").write_text(text)
        with tarfile.open(directory / "layer.tar", "w") as layer:
            layer.add(directory / "file", "file")
        append = ("append", "--new_layer", directory / "layer.tar", "--new_tag", f"{registry}/app:latest")
        done = run([tools.binary("crane"), *append])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with Child.start(
        "registry", [tools.binary("crane"), "registry", "serve", "--address", registry], directory
    ) as child:
        child.wait_for_http(f"http://{registry}/v2/")
        yield pushed


@pytest.fixture(scope="module")
def image(pushed, images, instance, provider) -> str:
    """A signed one."""
    image = pushed("a release")
    signed = images.sign(image, instance.published.files, provider.token(EMAIL))
    assert signed.returncode == 0, signed.stderr
    return image


def test_client_signs(name, image):
    assert "@sha256:" in image


def test_client_verifies_what_it_signed(name, images, image, instance):
    verified = images.verify(image, instance.published.files)
    assert verified.returncode == 0, verified.stderr


def test_client_signs_and_verifies_by_mirror(name, images, pushed, instance, provider):
    image, mirror = pushed("by mirror"), instance.published.mirror
    signed = images.sign(image, mirror, provider.token(EMAIL))
    assert signed.returncode == 0, signed.stderr
    verified = images.verify(image, mirror)
    assert verified.returncode == 0, verified.stderr


def test_client_refuses(name, images, image, pushed, instance):
    files = instance.published.files
    by_another = images.verify(image, files, identity="grace@example.com")
    assert by_another.returncode != 0
    assert "expected SAN value" in by_another.stderr
    vouched_by_another = images.verify(image, files, issuer="https://issuer.example.com")
    assert vouched_by_another.returncode != 0
    assert "expected issuer value" in vouched_by_another.stderr
    unsigned = images.verify(pushed("nobody signed this"), files)
    assert unsigned.returncode != 0
    assert "no signatures found" in unsigned.stderr


@pytest.mark.parametrize("lie", ["nothing", "another_ca", "another_log", "tampered_sct"])
def test_client_refuses_what_a_lying_ca_issued(name, lie, images, pushed, instance, provider, tmp_path):
    """cosign verifies what it made before it uploads it, so no signature reaches the registry."""
    image = pushed(f"lie: {lie}")
    key = load_pem_private_key(instance.ca.key.read_bytes(), None)
    with lying_ca.lying_ca(instance.url, key, getattr(lying_ca, lie)) as url:
        files = instance.published.files.signing_at(url, tmp_path / "trust")
        signed = images.sign(image, files, provider.token(EMAIL))
    verified = images.verify(image, instance.published.files)
    assert (verified.returncode == 0) == (lie == "nothing"), signed.stderr + verified.stderr
    if lie != "nothing":
        reason = "leaf certificate" if lie == "another_ca" else "signed certificate timestamp"
        assert reason in signed.stderr + verified.stderr
