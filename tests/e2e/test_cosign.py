"""cosign 3 signs a blob with a certificate from Dayfly, and verifies it against the instance's trusted root."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import trust
from tests.e2e.processes import Child, Tools, run
from tests.e2e.signing import EMAIL


@dataclass(frozen=True)
class Cosign:
    tools: Tools
    home: Path

    def __call__(self, *words: str | Path):
        return run([self.tools.binary("cosign"), *words], env=self._environment, cwd=self.home)

    def start(self, *words: str | Path) -> Child:
        command = [self.tools.binary("cosign"), *words]
        return Child.start("cosign", command, self.home, env=self._environment, cwd=self.home)

    @property
    def _environment(self) -> dict[str, str]:
        """An empty home: no trust root, no token and no provider but those of the command line."""
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")}
        return kept | {"HOME": str(self.home), "TUF_ROOT": str(self.home / "tuf")}

    def write(self, name: str, document: dict[str, object]) -> Path:
        path = self.home / name
        path.write_text(json.dumps(document))
        return path


@pytest.fixture(scope="module")
def cosign(tools, tmp_path_factory) -> Cosign:
    return Cosign(tools, tmp_path_factory.mktemp("cosign"))


@pytest.fixture(scope="module")
def root(cosign, trusted_root) -> Path:
    return cosign.write("trusted_root.json", trusted_root)


@pytest.fixture(scope="module")
def config(cosign, instance) -> Path:
    return cosign.write("signing_config.json", instance.document("signingConfig"))


@pytest.fixture(scope="module")
def blob(cosign) -> Path:
    path = cosign.home / "blob"
    path.write_bytes(b"a release\n")
    return path


@pytest.fixture(scope="module")
def bundle(cosign, token, config, root, blob) -> Path:
    path = cosign.home / "bundle.json"
    signed = cosign(
        "sign-blob",
        "--yes",
        f"--identity-token={token}",
        f"--signing-config={config}",
        f"--trusted-root={root}",
        f"--bundle={path}",
        blob,
    )
    assert signed.returncode == 0, signed.stderr
    return path


@pytest.fixture
def verify(cosign, bundle, root, blob, provider):
    def verify(*, root: Path = root, blob: Path = blob, identity: str = EMAIL, issuer: str = provider.issuer):
        return cosign(
            "verify-blob",
            f"--bundle={bundle}",
            f"--trusted-root={root}",
            f"--certificate-identity={identity}",
            f"--certificate-oidc-issuer={issuer}",
            "--insecure-ignore-tlog",
            "--use-signed-timestamps",
            blob,
        )

    return verify


def test_bundle_has_one_certificate_and_a_timestamp(bundle):
    material = json.loads(bundle.read_text())["verificationMaterial"]
    assert material["certificate"]["rawBytes"]
    assert len(material["timestampVerificationData"]["rfc3161Timestamps"]) == 1
    assert not material.get("tlogEntries")


def test_signature_verifies(verify):
    verified = verify()
    assert verified.returncode == 0, verified.stderr
    assert "Verified OK" in verified.stderr


def test_wrong_identity_is_refused(verify):
    refused = verify(identity="grace@example.com")
    assert refused.returncode != 0
    assert 'expected SAN value "grace@example.com", got "ada@example.com"' in refused.stderr


def test_wrong_issuer_is_refused(verify, provider):
    refused = verify(issuer="https://issuer.example.com")
    assert refused.returncode != 0
    assert f'expected issuer value "https://issuer.example.com", got "{provider.issuer}"' in refused.stderr


def test_wrong_blob_is_refused(verify, cosign):
    other = cosign.home / "other"
    other.write_bytes(b"another release\n")
    refused = verify(blob=other)
    assert refused.returncode != 0
    assert "failed to verify signature" in refused.stderr


def test_trusted_root_with_another_log_key_is_refused(verify, cosign, trusted_root):
    document = trust.with_another_log(trusted_root)
    refused = verify(root=cosign.write("another_log.json", document))
    assert refused.returncode != 0
    assert "failed to verify signed certificate timestamp" in refused.stderr


def test_trusted_root_with_another_ca_is_refused(verify, cosign, trusted_root):
    document = trusted_root | {"certificateAuthorities": trusted_root["timestampAuthorities"]}
    refused = verify(root=cosign.write("another_ca.json", document))
    assert refused.returncode != 0
    assert "failed to verify leaf certificate" in refused.stderr


def test_signing_with_a_refused_token_says_why(cosign, token, config, root, blob):
    head, payload, signature = token.split(".")
    refused = cosign(
        "sign-blob",
        "--yes",
        f"--identity-token={head}.{payload}.{signature[::-1]}",
        f"--signing-config={config}",
        f"--trusted-root={root}",
        f"--bundle={cosign.home / 'refused.json'}",
        blob,
    )
    assert refused.returncode != 0
    assert "There was an error processing the identity token" in refused.stderr


def test_login_on_a_device_ends_in_a_signature(cosign, provider, config, root, blob):
    """cosign's own login: it shows a URL, asks the provider for the token, and signs once somebody has agreed."""
    bundle = cosign.home / "device.json"
    command = ["sign-blob", "--yes", "--fulcio-auth-flow=device", f"--signing-config={config}"]
    with cosign.start(*command, f"--trusted-root={root}", f"--bundle={bundle}", blob) as device:
        device.wait_until(lambda: "user_code=" in device.tail())
        (verification,) = re.findall(r"http://\S+user_code=\S+", device.tail())
        provider.approve(verification, EMAIL)
        assert device.process.wait(30) == 0, device.tail()
    assert json.loads(bundle.read_text())["verificationMaterial"]["certificate"]["rawBytes"]
