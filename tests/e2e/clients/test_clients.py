"""Every client signs and verifies with what Dayfly publishes, and refuses what is wrong in one thing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.e2e.clients.model import Signed
from tests.e2e.clients.roster import NAMES
from tests.e2e.signing import EMAIL

SCT = r"verify signed certificate timestamp|SCT verification failed|SCT verify failed|No valid SCTs were found"
REASONS = {
    "identity": r"expected SAN value|SANs do not match|certificate identity error|No provided certificate identities",
    "issuer": r"expected issuer value|OIDCIssuer does not match|expected issuer=|No provided certificate identities",
    "blob": r"failed to verify signature|digest mismatch|signature verification failed|digest does not match",
    "another_ca": r"verify leaf certificate|chain was not valid|verify certificate chain|not verifiable against CAs",
    "another_log": SCT,
    "tampered_sct": SCT,
}
"""What a refusal says, in the words of one client or another."""


@pytest.mark.parametrize("name", NAMES)
def test_client_signs(name, signed_by):
    assert signed_by(name).bundle.stat().st_size


@pytest.mark.parametrize("name", NAMES)
def test_client_verifies_what_it_signed(name, client_of, signed_by, instance):
    client = client_of(name)
    verified = client.verify(signed_by(name), instance.published.files)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("signer", NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_client_verifies_what_others_signed(name, signer, client_of, signed_by, instance):
    client, signed = client_of(name), signed_by(signer)
    verified = client.verify(signed, instance.published.files)
    if client.needs_log and not signed.logged:
        assert verified.returncode != 0
    else:
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("name", NAMES)
def test_client_signs_and_verifies_by_mirror(name, client_of, instance, provider, blob, tmp_path):
    client, mirror = client_of(name), instance.published.mirror
    bundle = tmp_path / "bundle.json"
    made = client.sign(blob, bundle, mirror, provider.token(EMAIL))
    assert made.returncode == 0, made.stdout + made.stderr
    verified = client.verify(Signed(blob, bundle, instance.issuer), mirror)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", ["identity", "issuer", "blob"])
def test_client_refuses(name, wrong, client_of, signed_by, instance, tmp_path):
    other = tmp_path / "other.txt"
    other.write_bytes(b"another release\n")
    changed = {"identity": "grace@example.com", "issuer": "https://issuer.example.com", "blob": other}[wrong]
    signed = replace(signed_by(name), **{wrong: changed})
    refused = client_of(name).verify(signed, instance.published.files)
    assert refused.returncode != 0
    assert re.search(REASONS[wrong], refused.stdout + refused.stderr), refused.stdout + refused.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lie", ["another_ca", "another_log", "tampered_sct"])
def test_client_refuses_what_a_lying_ca_issued(name, lie, client_of, lied_about, instance):
    client, files = client_of(name), instance.published.files
    believed = client.verify(lied_about("nothing"), files)
    assert believed.returncode == 0, believed.stdout + believed.stderr
    refused = client.verify(lied_about(lie), files)
    assert refused.returncode != 0
    assert re.search(REASONS[lie], refused.stdout + refused.stderr), refused.stdout + refused.stderr
