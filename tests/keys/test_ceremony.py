"""A new CA: certificates per Fulcio's specification, files that overwrite nothing."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca.certificate.chain import Chain
from ca.errors import ConfigurationError
from ca.keys.ceremony import create_intermediate, create_root, write_ca
from ca.keys.file import load_file_key
from tests.certificate.pki import key_usage
from tests.keys.conftest import NOW

FILES = {
    "root.key.pem": 0o600,
    "root.password": 0o600,
    "root.crt.pem": 0o644,
    "intermediate.key.pem": 0o600,
    "intermediate.crt.pem": 0o644,
    "chain.pem": 0o644,
    "ctlog.key.pem": 0o600,
    "timestamp.key.pem": 0o600,
    "timestamp-chain.pem": 0o644,
    "ctlog.pub.pem": 0o644,
}


@pytest.fixture(scope="module")
def root():
    return create_root("Example", "example", NOW)


@pytest.fixture(scope="module")
def intermediate(root):
    return create_intermediate(root, "Example", "example-intermediate", NOW)


def extensions(certificate: x509.Certificate) -> dict:
    return {extension.oid._name: (extension.critical, extension.value) for extension in certificate.extensions}


def test_the_root_follows_the_specification(root) -> None:
    certificate = root.certificate
    assert certificate.version is x509.Version.v3
    assert certificate.subject.rfc4514_string() == "CN=example,O=Example"
    assert certificate.issuer == certificate.subject
    assert root.private_key.curve.name == "secp384r1"
    assert certificate.signature_hash_algorithm.name == "sha384"
    assert certificate.not_valid_before_utc == NOW
    assert timedelta(days=3650) <= certificate.not_valid_after_utc - NOW <= timedelta(days=3653)
    assert 0 < certificate.serial_number < 2**159
    assert extensions(certificate) == {
        "basicConstraints": (True, x509.BasicConstraints(ca=True, path_length=None)),
        "keyUsage": (True, key_usage(key_cert_sign=True, crl_sign=True)),
        "subjectKeyIdentifier": (False, x509.SubjectKeyIdentifier.from_public_key(root.private_key.public_key())),
    }


def test_the_intermediate_follows_the_specification(root, intermediate) -> None:
    certificate = intermediate.certificate
    assert certificate.subject.rfc4514_string() == "CN=example-intermediate,O=Example"
    assert intermediate.private_key.curve.name == "secp256r1"
    assert certificate.not_valid_after_utc == NOW + timedelta(days=1095)
    root_key = root.private_key.public_key()
    assert extensions(certificate) == {
        "basicConstraints": (True, x509.BasicConstraints(ca=True, path_length=0)),
        "keyUsage": (True, key_usage(key_cert_sign=True, crl_sign=True)),
        "extendedKeyUsage": (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),
        "subjectKeyIdentifier": (
            False,
            x509.SubjectKeyIdentifier.from_public_key(intermediate.private_key.public_key()),
        ),
        "authorityKeyIdentifier": (False, x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key)),
    }
    certificate.verify_directly_issued_by(root.certificate)
    Chain.of([certificate, root.certificate]).check(NOW)


def test_the_issuers_name_is_the_roots_subject_byte_for_byte(root, intermediate) -> None:
    assert intermediate.certificate.issuer.public_bytes() == root.certificate.subject.public_bytes()
    assert root.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "example"


def test_the_intermediate_never_outlives_the_root(root) -> None:
    late = NOW + timedelta(days=3000)
    certificate = create_intermediate(root, "Example", "late", late).certificate
    assert certificate.not_valid_after_utc == root.certificate.not_valid_after_utc
    Chain.of([certificate, root.certificate]).check(late)


def test_fractions_of_a_second_are_cut() -> None:
    moment = NOW.replace(microsecond=999_999)
    root = create_root("Example", "example", moment)
    Chain.of([create_intermediate(root, "Example", "i", moment).certificate, root.certificate]).check(NOW)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_the_files_and_their_modes(tmp_path: Path) -> None:
    written = write_ca(tmp_path / "new/ca", "Example", "example", NOW)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in written} == FILES
    assert {path.name for path in (tmp_path / "new/ca").iterdir()} == set(FILES)


@pytest.mark.anyio
async def test_a_server_loads_them(tmp_path: Path) -> None:
    write_ca(tmp_path, "Example", "example", NOW)
    ca_key = await load_file_key(tmp_path / "chain.pem", tmp_path / "intermediate.key.pem", None, NOW)
    names = [certificate.subject.rfc4514_string() for certificate in ca_key.chain.certificates]
    assert names == ["CN=example-intermediate,O=Example", "CN=example,O=Example"]
    assert [*ca_key.chain.pems] == [(tmp_path / name).read_text() for name in ("intermediate.crt.pem", "root.crt.pem")]


def test_the_roots_key_is_encrypted_with_a_password_of_its_own(tmp_path: Path) -> None:
    write_ca(tmp_path, "Example", "example", NOW)
    pem, password = (tmp_path / "root.key.pem").read_bytes(), (tmp_path / "root.password").read_bytes().rstrip(b"\n")
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert len(password) >= 43
    root = x509.load_pem_x509_certificate((tmp_path / "root.crt.pem").read_bytes())
    assert load_pem_private_key(pem, password).public_key() == root.public_key()
    with pytest.raises(ValueError):
        load_pem_private_key(pem, b"wrong")


def test_a_given_password_is_used_and_not_written(tmp_path: Path) -> None:
    written = write_ca(tmp_path, "Example", "example", NOW, root_password=b"given")
    assert "root.password" not in {path.name for path in written}
    load_pem_private_key((tmp_path / "root.key.pem").read_bytes(), b"given")
    assert not any(b"given" in path.read_bytes() for path in written)


def test_the_logs_key_is_p256_and_sec1(tmp_path: Path) -> None:
    """TesseraCT reads no other form, and clients verify no other curve."""
    write_ca(tmp_path, "Example", "example", NOW)
    pem = (tmp_path / "ctlog.key.pem").read_bytes()
    assert pem.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    key = load_pem_private_key(pem, None)
    assert isinstance(key.curve, ec.SECP256R1)
    assert load_pem_public_key((tmp_path / "ctlog.pub.pem").read_bytes()) == key.public_key()


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(ConfigurationError, match=f"{name}: exists and is not overwritten"):
        write_ca(tmp_path, "Example", "example", NOW)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_not_even_through_a_dangling_symlink(tmp_path: Path) -> None:
    (tmp_path / "root.key.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="exists and is not overwritten"):
        write_ca(tmp_path, "Example", "example", NOW)
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_ca(tmp_path / "file/ca", "Example", "example", NOW)
