"""Timestamps, as OpenSSL and sigstore-python's own client read them."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.errors import VerificationError

from ca.certificate.chain import Chain
from ca.errors import ConfigurationError, SignerUnavailable
from ca.keys.ceremony import Authority, create_root, create_timestamper, write_ca
from ca.keys.local import LocalKey
from ca.timestamp.authority import TimestampAuthority
from ca.timestamp.file import load_timestamp_authority
from ca.timestamp.query import parse_der
from ca.timestamp.settings import TimestampSettings
from tests.timestamp.test_query import query

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 21, 0, 0, 999_999, tzinfo=UTC)
ARTIFACT = b"artifact"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ca")
    write_ca(directory, "Dayfly tests", "Dayfly tests", NOW - timedelta(days=1))
    return directory


def settings(directory: Path) -> TimestampSettings:
    return TimestampSettings(chain=directory / "timestamp-chain.pem", key=directory / "timestamp.key.pem")


@pytest.fixture
def authority(directory: Path) -> TimestampAuthority:
    authority = load_timestamp_authority(settings(directory), NOW)
    assert authority is not None
    return authority


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
async def test_openssl_verifies_it(
    authority: TimestampAuthority, directory: Path, tmp_path: Path, algorithm: str
) -> None:
    asked = query(tmp_path, "-digest", hashlib.new(algorithm, ARTIFACT).hexdigest(), f"-{algorithm}", "-cert")
    assert "Verification: OK" in verified(directory, tmp_path, asked, await authority.stamp(parse_der(asked), NOW))


async def test_openssl_verifies_it_without_a_nonce_and_without_the_certificate(
    authority: TimestampAuthority, directory: Path, tmp_path: Path
) -> None:
    asked = query(tmp_path, "-digest", hashlib.sha256(ARTIFACT).hexdigest(), "-sha256", "-no_nonce")
    answer = await authority.stamp(parse_der(asked), NOW)
    assert authority.chain.ders[0] not in answer
    assert "Verification: OK" in verified(directory, tmp_path, asked, answer)


async def test_openssl_refuses_it_for_another_artifact_and_another_nonce(
    authority: TimestampAuthority, directory: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(ARTIFACT).hexdigest()
    asked = query(tmp_path, "-digest", digest, "-sha256", "-cert")
    answer = await authority.stamp(parse_der(asked), NOW)
    another = query(tmp_path, "-digest", hashlib.sha256(b"another").hexdigest(), "-sha256", "-cert")
    assert "Verification: OK" not in verified(directory, tmp_path, another, answer)
    again = query(tmp_path, "-digest", digest, "-sha256", "-cert")
    assert "Verification: OK" not in verified(directory, tmp_path, again, answer)


async def test_openssl_verifies_what_a_p384_key_signs(tmp_path: Path) -> None:
    root = create_root("Dayfly tests", "root", NOW - timedelta(days=1))
    issued = timestamper(root, key := ec.generate_private_key(ec.SECP384R1()))
    (tmp_path / "root.crt.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "timestamp-chain.pem").write_bytes(issued.public_bytes(Encoding.PEM))
    authority = TimestampAuthority(LocalKey.of(key), Chain.of([issued, root.certificate]))
    asked = query(tmp_path, "-digest", hashlib.sha256(ARTIFACT).hexdigest(), "-sha256", "-cert")
    assert "Verification: OK" in verified(tmp_path, tmp_path, asked, await authority.stamp(parse_der(asked), NOW))


def verified(ca: Path, directory: Path, asked: bytes, answer: bytes) -> str:
    (directory / "asked.tsq").write_bytes(asked)
    (directory / "answer.tsr").write_bytes(answer)
    command = ["openssl", "ts", "-verify", "-queryfile", directory / "asked.tsq", "-in", directory / "answer.tsr"]
    command += ["-CAfile", ca / "root.crt.pem", "-untrusted", ca / "timestamp-chain.pem"]
    command += ["-attime", str(int(NOW.timestamp()))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


async def test_sigstore_pythons_client_verifies_it_and_reads_the_time(authority: TimestampAuthority) -> None:
    asked = TimestampRequestBuilder().data(ARTIFACT).nonce(nonce=True).build()
    answer = decode_timestamp_response(await authority.stamp(parse_der(asked.as_bytes()), NOW))
    leaf, root = authority.chain.certificates
    verifier = VerifierBuilder().tsa_certificate(leaf).add_root_certificate(root).build()
    assert verifier.verify_message(answer, ARTIFACT)
    assert answer.tst_info.gen_time == NOW.replace(microsecond=0)
    assert answer.tst_info.nonce == asked.nonce
    assert answer.tst_info.serial_number.bit_length() <= 159
    with pytest.raises(VerificationError):
        verifier.verify_message(answer, b"another")


async def test_sigstore_pythons_client_refuses_it_under_another_root(authority: TimestampAuthority) -> None:
    asked = TimestampRequestBuilder().data(ARTIFACT).build()
    answer = decode_timestamp_response(await authority.stamp(parse_der(asked.as_bytes()), NOW))
    stranger = create_root("Dayfly tests", "Dayfly tests", NOW - timedelta(days=1)).certificate
    verifier = VerifierBuilder().tsa_certificate(authority.chain.certificates[0]).add_root_certificate(stranger).build()
    with pytest.raises(VerificationError):
        verifier.verify_message(answer, ARTIFACT)


async def test_nothing_is_signed_while_the_chain_is_not_valid(authority: TimestampAuthority, tmp_path: Path) -> None:
    asked = parse_der(query(tmp_path, "-digest", hashlib.sha256(ARTIFACT).hexdigest(), "-sha256"))
    for moment in (NOW - timedelta(days=2), NOW + timedelta(days=4000)):
        with pytest.raises(SignerUnavailable, match="the timestamp authority cannot sign"):
            await authority.stamp(asked, moment)


def test_no_settings_are_no_authority() -> None:
    assert load_timestamp_authority(TimestampSettings(), NOW) is None


@pytest.mark.parametrize("given", ["chain", "key"])
def test_chain_and_key_belong_together(given: str) -> None:
    with pytest.raises(ValueError, match="belong together"):
        TimestampSettings.model_validate({given: "x.pem"})


def timestamper(
    root: Authority,
    key: ec.EllipticCurvePrivateKey,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    *,
    critical: bool = True,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .serial_number(7)
        .issuer_name(root.certificate.subject)
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "timestamps")]))
        .public_key(key.public_key())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    return builder.sign(root.private_key, SHA384())


def refusal(directory: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_timestamp_authority(settings(directory), NOW)
    return str(caught.value)


def write(directory: Path, chain: list[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> Path:
    (directory / "timestamp-chain.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    (directory / "timestamp.key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return directory


@pytest.mark.parametrize(
    ("usages", "critical"),
    [
        ((), True),
        ((ExtendedKeyUsageOID.CODE_SIGNING,), True),
        ((ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING), True),
        ((ExtendedKeyUsageOID.TIME_STAMPING,), False),
    ],
)
def test_certificate_for_anything_else_is_refused(
    tmp_path: Path, usages: tuple[x509.ObjectIdentifier, ...], critical: bool
) -> None:
    root = create_root("Dayfly tests", "root", NOW - timedelta(days=1))
    key = ec.generate_private_key(ec.SECP256R1())
    write(tmp_path, [timestamper(root, key, usages, critical=critical), root.certificate], key)
    assert "is not for timestamps alone" in refusal(tmp_path)


def test_chain_without_its_root_another_root_or_in_another_order_is_refused(tmp_path: Path) -> None:
    root, stranger = (create_root("Dayfly tests", "root", NOW - timedelta(days=1)) for _ in range(2))
    issued = create_timestamper(root, "Dayfly tests", "timestamps", NOW)
    for chain, said in (
        ([issued.certificate], "is no root"),
        ([issued.certificate, stranger.certificate], "is not by the key of"),
        ([root.certificate, issued.certificate], "is a root"),
        ([root.certificate], "has the root alone"),
    ):
        assert said in refusal(write(tmp_path, chain, issued.private_key)), said


def test_key_of_another_certificate_and_of_another_kind_are_refused(tmp_path: Path) -> None:
    root = create_root("Dayfly tests", "root", NOW - timedelta(days=1))
    issued = create_timestamper(root, "Dayfly tests", "timestamps", NOW)
    chain = [issued.certificate, root.certificate]
    assert "is not the key of" in refusal(write(tmp_path, chain, ec.generate_private_key(ec.SECP256R1())))
    assert "P-256 or P-384" in refusal(write(tmp_path, chain, ec.generate_private_key(ec.SECP521R1())))


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "timestamp-chain.pem: cannot be read" in refusal(tmp_path)
