"""Certificates that are checked in: the profile still writes them, and others' linters and verifiers take them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from base64 import b64encode
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509.oid import ExtensionOID

from ca.certificate import lint
from ca.errors import Misissuance
from ca.proof.model import ProvenKey
from tests.certificate.golden import DIRECTORY, GOLDEN, NOW, draft, read, read_chain
from tests.certificate.pki import ca_builder, private_key

NAMES = [*GOLDEN]
LEAVES = [f"{name}{suffix}" for name in GOLDEN for suffix in ("", ".precertificate")]
LOG_KEY = DIRECTORY / "ctlog.pub.pem"

ZLINT = shutil.which("zlint") or str(Path.home() / ".cache/dayfly/tools/bin/zlint")

PKILINT_FINDINGS = {
    # pkilint knows the schemes of a library for web addresses; `spiffe:` is RFC 3986 §3 all the same.
    "spiffe": {"pkix.invalid_uri_syntax"},
    "spiffe.precertificate": {"pkix.invalid_uri_syntax"},
}
ZLINT_FINDINGS = {
    # A browser's rule: sigstore clients want exactly one SCT.
    name: {"w_ct_sct_policy_count_unsatisfied"}
    for name in NAMES
}


def sct_list(certificate: x509.Certificate) -> bytes:
    octets = certificate.extensions[-1].value.public_bytes()
    assert octets[:1] == b"\x04"
    assert octets[1] < 0x80
    return octets[2:]


@pytest.mark.parametrize("name", NAMES)
def test_the_profile_still_writes_the_golden_bytes(name: str) -> None:
    made = draft(name, read_chain())
    assert made.precertificate_tbs() == read(f"{name}.precertificate").tbs_certificate_bytes
    assert made.certificate_tbs(sct_list(read(name))) == read(name).tbs_certificate_bytes
    assert made.clean_tbs == read(name).tbs_precertificate_bytes


def asked(name: str) -> dict:
    key = load_pem_public_key((DIRECTORY / f"{name}.key.pub.pem").read_bytes())
    return {
        "identity": GOLDEN[name][0],
        "key": ProvenKey(key, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "any"),
        "chain": read_chain(),
        "serial": int.from_bytes(hashlib.sha1(name.encode()).digest()) >> 1,
        "not_before": NOW,
        "lifetime": timedelta(minutes=10),
        "precertificate": read(f"{name}.precertificate").public_bytes(Encoding.DER),
        "sct_list": sct_list(read(name)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_lint_passes_it_for_its_own_identity_alone(name: str) -> None:
    certificate = read(name).public_bytes(Encoding.DER)
    lint.check(certificate, **asked(name))
    for other in NAMES:
        if other != name:
            with pytest.raises(Misissuance):
                lint.check(certificate, **{**asked(name), "identity": GOLDEN[other][0]})


def test_the_extensions_stand_in_fulcios_order() -> None:
    extensions = [(extension.oid.dotted_string, extension.critical) for extension in read("github").extensions]
    fulcio = [(f"1.3.6.1.4.1.57264.1.{number}", False) for number in range(1, 25) if number != 7]
    assert extensions == [
        ("2.5.29.15", True),
        ("2.5.29.37", False),
        ("2.5.29.14", False),
        ("2.5.29.35", False),
        ("2.5.29.17", True),
        *fulcio,
        ("1.3.6.1.4.1.11129.2.4.2", False),
    ]
    assert [extension.oid for extension in read("github.precertificate").extensions][-1] == ExtensionOID.PRECERT_POISON


# ---- linters ------------------------------------------------------------------------------------------------------


@cache
def pkilint():
    from pkilint.pkix import certificate, extension, name

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def pkilint_findings(certificate: x509.Certificate) -> set[str]:
    from pkilint import loader
    from pkilint.validation import ValidationFindingSeverity

    document = loader.load_certificate(certificate.public_bytes(Encoding.DER), "golden")
    return {
        finding.finding.code
        for result in pkilint().validate(document.root)
        for finding in result.finding_descriptions
        if finding.finding.severity < ValidationFindingSeverity.INFO
    }


@pytest.mark.parametrize("name", LEAVES)
def test_pkilint_finds_nothing(name: str) -> None:
    assert pkilint_findings(read(name)) == PKILINT_FINDINGS.get(name, set())


def test_pkilint_finds_nothing_in_the_chain() -> None:
    for certificate in read_chain().certificates:
        assert pkilint_findings(certificate) == set()


def test_pkilint_would_find_something() -> None:
    """Beside an empty subject the SAN has to be critical, RFC 5280 §4.1.2.6."""
    key = private_key("P-256")
    nameless = x509.SubjectAlternativeName([x509.RFC822Name("ada.lovelace@gmail.com")])
    certificate = ca_builder(key, "x", subject=x509.Name([]), san=(nameless, False)).sign(key, SHA256())
    assert "pkix.san_extension_not_critical_empty_subject" in pkilint_findings(certificate)


@pytest.mark.skipif(not Path(ZLINT).exists(), reason="zlint is not installed")
@pytest.mark.parametrize("name", [*LEAVES, "chain"])
def test_zlint_finds_nothing(name: str) -> None:
    output = subprocess.run([ZLINT, DIRECTORY / f"{name}.pem"], check=True, capture_output=True).stdout
    findings = {
        lint_name
        for line in output.splitlines()
        for lint_name, result in json.loads(line).items()
        if result["result"] not in {"pass", "NA", "NE"}
    }
    assert findings == ZLINT_FINDINGS.get(name, set())


# ---- verifiers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_openssl_verifies_the_path(name: str, tmp_path: Path) -> None:
    intermediate, root = read_chain().pems
    (tmp_path / "root.pem").write_text(root)
    (tmp_path / "intermediate.pem").write_text(intermediate)
    at = str(int(NOW.timestamp()) + 60)
    # OpenSSL's codesign purpose is a browser's; the key usages it would ask for are those that the lint holds us to.
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-attime",
        at,
        "-CAfile",
        "root.pem",
        "-untrusted",
        "intermediate.pem",
    ]
    good = subprocess.run(
        [*command, DIRECTORY / f"{name}.pem"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert good.returncode == 0, good.stdout + good.stderr
    # The poison is critical and nobody understands it: that is its purpose.
    poisoned = subprocess.run(
        [*command, DIRECTORY / f"{name}.precertificate.pem"], cwd=tmp_path, capture_output=True, check=False
    )
    assert poisoned.returncode != 0


@pytest.fixture(scope="module")
def trusted_root():
    """sigstore-python's trusted root of our chain and log. It insists on a Rekor, which is never asked."""
    from sigstore.models import TrustedRoot

    spki = load_pem_public_key(LOG_KEY.read_bytes()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    valid = {"start": "2026-01-01T00:00:00Z"}
    log = {
        "baseUrl": "https://ctlog.example.com",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": b64encode(spki).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
        "logId": {"keyId": b64encode(hashlib.sha256(spki).digest()).decode()},
    }
    authority = {
        "subject": {"organization": "Dayfly", "commonName": "dayfly"},
        "uri": "https://ca.example.com",
        "certChain": {"certificates": [{"rawBytes": b64encode(der).decode()} for der in read_chain().ders]},
        "validFor": valid,
    }
    document = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [log],
        "certificateAuthorities": [authority],
        "ctlogs": [log],
        "timestampAuthorities": [],
    }
    from sigstore_models.trustroot import v1

    return TrustedRoot(v1.TrustedRoot.from_json(json.dumps(document)))


@pytest.mark.parametrize("name", NAMES)
def test_sigstore_python_verifies_path_and_sct(name: str, trusted_root) -> None:
    from sigstore._internal.sct import verify_sct
    from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
    from sigstore._internal.trust import KeyringPurpose
    from sigstore.verify import Verifier

    at = TimestampVerificationResult(TimestampSource.TIMESTAMP_AUTHORITY, NOW + timedelta(minutes=1))
    chain = Verifier(trusted_root=trusted_root)._verify_chain_at_time(read(name), at)
    assert chain[0] == read_chain().certificates[0]
    verify_sct(read(name), chain, trusted_root.ct_keyring(KeyringPurpose.VERIFY))


def test_sigstore_python_would_refuse(trusted_root) -> None:
    from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
    from sigstore.errors import CertValidationError
    from sigstore.verify import Verifier

    at = TimestampVerificationResult(TimestampSource.TIMESTAMP_AUTHORITY, NOW + timedelta(minutes=11))
    with pytest.raises(CertValidationError):
        Verifier(trusted_root=trusted_root)._verify_chain_at_time(read("email"), at)


def test_the_log_key_is_of_the_kind_that_every_client_verifies() -> None:
    key = load_pem_public_key(LOG_KEY.read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
