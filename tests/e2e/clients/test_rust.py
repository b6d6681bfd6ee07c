"""sigstore-rs gets certificates by both APIs. It verifies no bundle of Rekor v2, but everything else of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from subprocess import CompletedProcess

import pytest
from cryptography import x509

from tests.e2e.clients.model import Signed
from tests.e2e.processes import run
from tests.e2e.signing import EMAIL

REASONS = {
    "identity": 'expected: "grace@example.com"',
    "issuer": 'expected: "https://issuer.example.com"',
    "blob": "PublicKeyVerificationError",
    "another_ca": "InvalidSignatureForPublicKey",
    "another_log": "Sct(Verification(KeyNotFound))",
    "tampered_sct": "Sct(Verification(VerificationFailed))",
}
pytestmark = pytest.mark.parametrize("name", ["sigstore-rs"])


@pytest.fixture(scope="module")
def rust(tools) -> Callable[..., CompletedProcess[str]]:
    if not tools.has("sigstore-rs-client"):
        pytest.skip("sigstore-rs needs a cargo that builds it, such as rustup's")

    def rust(*words: object, token: str = "") -> CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "NO_PROXY", "no_proxy")}
        return run([tools.binary("sigstore-rs-client"), *map(str, words)], env=kept | {"SIGSTORE_ID_TOKEN": token})

    return rust


@pytest.fixture(scope="module")
def verify(rust, instance) -> Callable[[Signed], CompletedProcess[str]]:
    config = instance.published.files.client_trust_config
    return lambda signed: rust("verify", config, signed.bundle, signed.blob, signed.identity, signed.issuer)


@pytest.mark.parametrize("api", [("v1", EMAIL), ("v2",)], ids=["v1", "v2"])
def test_client_gets_a_certificate(name, api, rust, instance, provider):
    version, *challenge = api
    answer = rust(version, instance.url, *challenge, token=provider.token(EMAIL))
    assert answer.returncode == 0, answer.stderr
    leaf, *chain = x509.load_pem_x509_certificates(answer.stdout.encode())
    assert chain == instance.ca.certificates
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [EMAIL]


def test_all_but_the_log_entry_of_a_bundle_is_accepted(name, verify, signed_by):
    refused = verify(signed_by("sigstore-js"))
    assert refused.returncode != 0
    assert "Signature(Transparency)" in refused.stderr


@pytest.mark.parametrize("wrong", ["identity", "issuer", "blob"])
def test_client_refuses(name, wrong, verify, signed_by, tmp_path):
    other = tmp_path / "other.txt"
    other.write_bytes(b"another release\n")
    changed = {"identity": "grace@example.com", "issuer": "https://issuer.example.com", "blob": other}[wrong]
    refused = verify(replace(signed_by("sigstore-js"), **{wrong: changed}))
    assert refused.returncode != 0
    assert REASONS[wrong] in refused.stderr


@pytest.mark.parametrize("lie", ["another_ca", "another_log", "tampered_sct"])
def test_client_refuses_what_a_lying_ca_issued(name, lie, verify, lied_about):
    refused = verify(lied_about(lie))
    assert refused.returncode != 0
    assert REASONS[lie] in refused.stderr
