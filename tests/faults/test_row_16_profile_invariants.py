"""Row 16: whatever token and key are accepted, the certificate keeps to the profile.

Expected: one critical SAN with one name, no extension outside the closed list and each once, digitalSignature and code
signing alone, no CA, an empty subject, a validity within the profile's and the issuer's, a positive serial of at most 20
octets that no other certificate has; OpenSSL and pyca read it. What is not accepted is 400.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.certificate.profile import new_serial
from ca.ct.embedded.directory import LogDirectory
from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.main import clock
from tests.api.another import another_ca
from tests.api.server import CA, leaf, running_ca
from tests.api.test_signing import GITHUB
from tests.proof.builders import ed, p256, p384, p521, rsa_key

FULCIO = "1.3.6.1.4.1.57264.1."
ALLOWED = {
    ExtensionOID.KEY_USAGE.dotted_string: True,
    ExtensionOID.EXTENDED_KEY_USAGE.dotted_string: False,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string: False,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string: True,
    ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS.dotted_string: False,
} | {f"{FULCIO}{number}": False for number in range(1, 25) if number != 7}
"""OID -> criticality. 7 is the type of a name, not an extension."""
KEYS = [p256(), p384(), p521(), rsa_key(), ed()]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    directory = tmp_path_factory.mktemp("profile")
    LogDirectory(directory).create("ct.example.org/2026h2", clock())
    with running_ca(directory, ct={"log": "embedded"}) as running:
        yield running


@pytest.fixture(scope="module")
def serials() -> Iterator[set[int]]:
    """Those that were given; so few would mean that almost nothing was accepted."""
    given: set[int] = set()
    yield given
    assert len(given) > 20


text = st.text(max_size=60) | st.text(st.characters(codec="ascii"), max_size=300)
words = st.from_regex(r"[a-zA-Z0-9._/:@!-]{1,60}", fullmatch=True)
awkward = st.sampled_from(
    ["", "a" * 5000, "ä@example.com", "a@b", "\x00", "\u202e", "http://127.0.0.1/%41", "x!y", "é"]
)
value = words | text | awkward
junk = value | st.none() | st.integers() | st.booleans() | st.lists(words, max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An issuer, and claims that are sometimes those that it should give."""
    kind = draw(st.sampled_from(["email", "github", "kubernetes", "username", "uri", "spiffe"]))
    sub = draw(value)
    match kind:
        case "email":
            address = draw(st.emails() | value)
            return kind, {"sub": sub, "email": address, "email_verified": draw(st.booleans())}
        case "github":
            claims = json.loads(GITHUB)
            for name in draw(st.lists(st.sampled_from(sorted(claims)), max_size=3)):
                claims[name] = draw(junk)
            return kind, claims | {"sub": sub}
        case "kubernetes":
            label = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True) | value
            facts = {"namespace": draw(label), "serviceaccount": {"name": draw(label)}}
            return kind, {"sub": sub, "kubernetes.io": facts}
        case "uri":
            return kind, {"sub": "http://127.0.0.1/" + sub}
        case "spiffe":
            return kind, {"sub": "spiffe://example.org/" + sub}
        case _:
            return kind, {"sub": sub}


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(request=requests(), key=st.sampled_from(KEYS))
def test_every_accepted_request_gives_a_certificate_of_the_profile(
    logged: CA, serials: set[int], request: tuple[str, dict[str, Any]], key: Any
) -> None:
    kind, claims = request
    challenge = claims["email"] if kind == "email" else claims["sub"]
    try:
        token = logged.token(kind, **claims)
    except UnicodeEncodeError:
        return  # no issuer can write it
    answer = logged.ask(token, challenge.encode(errors="replace").decode(), key)
    if answer.status_code != 200:
        assert answer.status_code == 400, answer.text
        assert answer.json()["details"][0]["reason"]
        return
    certificate = leaf(answer)
    of_the_profile(certificate, answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"][1])
    assert certificate.public_key() == key.public_key()
    assert certificate.serial_number not in serials
    serials.add(certificate.serial_number)


def of_the_profile(certificate: x509.Certificate, issuing_pem: str) -> None:
    issuing = x509.load_pem_x509_certificate(issuing_pem.encode())
    certificate.verify_directly_issued_by(issuing)
    found = [(extension.oid.dotted_string, extension.critical) for extension in certificate.extensions]
    assert len({oid for oid, _ in found}) == len(found)
    assert all(ALLOWED.get(oid) is critical for oid, critical in found), found

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == 1
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not any((usage.key_cert_sign, usage.crl_sign, usage.key_encipherment, usage.key_agreement))
    assert not any((usage.content_commitment, usage.data_encipherment))
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CODE_SIGNING]
    scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert len(list(scts)) == 1

    assert certificate.subject == x509.Name([])
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(minutes=10)
    assert issuing.not_valid_before_utc <= certificate.not_valid_before_utc
    assert certificate.not_valid_after_utc <= issuing.not_valid_after_utc
    serial = certificate.serial_number
    assert 0 < serial < 1 << 159
    openssl_reads(certificate)


def openssl_reads(certificate: x509.Certificate) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command")
    command = [openssl, "x509", "-inform", "DER", "-noout", "-text"]
    done = subprocess.run(command, input=certificate.public_bytes(Encoding.DER), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Code Signing" in done.stdout


def test_no_serial_of_a_hundred_thousand_comes_twice_or_is_out_of_bounds() -> None:
    serials = {new_serial() for _ in range(100_000)}
    assert len(serials) == 100_000
    assert min(serials) > 0
    assert max(serials).bit_length() <= 159


def test_a_certificate_does_not_outlive_its_issuer(ca: CA, tmp_path: Path) -> None:
    """The intermediate of a CA that is made now, less what it lives, ends in five minutes."""
    now = clock()
    fresh = asyncio.run(ephemeral_ca_key(now)).chain
    ending = EphemeralKeys(asyncio.run(ephemeral_ca_key(now - (fresh.not_after - now) + timedelta(minutes=5))))
    end = ending.ca_key.chain.not_after
    with another_ca(ca, ending) as another:
        certificate = leaf(another.ask())
    assert certificate.not_valid_after_utc == end
    assert timedelta() < certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(minutes=6)
