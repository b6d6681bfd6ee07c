"""A CA key in files: every form people have it in, and words that help where it is not right."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.errors import ConfigurationError
from ca.keys.file import load_file_key
from ca.keys.model import verify
from tests.certificate.pki import START, ca_builder, make_ca, private_key
from tests.keys.conftest import NOW
from tests.keys.pems import PKCS8, TRADITIONAL, private_pem

pytestmark = pytest.mark.anyio

PASSWORD = b"correct horse"


async def load(settings, password: bytes | None = None):
    return await load_file_key(settings.cert, settings.key, password, NOW)


async def refusal(settings, password: bytes | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await load(settings, password)
    assert PASSWORD.decode() not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "form", "password"),
    [
        ("P-256", PKCS8, None),
        ("P-256", PKCS8, PASSWORD),
        ("P-256", TRADITIONAL, None),
        ("P-256", TRADITIONAL, PASSWORD),
        ("P-384", PKCS8, PASSWORD),
        ("P-521", TRADITIONAL, None),
        ("RSA-2048", PKCS8, None),
        ("RSA-2048", PKCS8, PASSWORD),
        ("RSA-2048", TRADITIONAL, None),
        ("RSA-2048", TRADITIONAL, PASSWORD),
        ("Ed25519", PKCS8, None),
        ("Ed25519", PKCS8, PASSWORD),
    ],
)
async def test_every_form_of_key_is_read(write, kind: str, form, password: bytes | None) -> None:
    ca = make_ca(kind)
    ca_key = await load(write(ca, private_pem(ca.key, form, password)), password)
    assert ca_key.chain == ca.chain
    verify(ca.key.public_key(), await ca_key.signing_key.sign(b"x"), b"x")


async def test_what_openssl_writes_before_an_ec_key_does_not_matter(write) -> None:
    ca = make_ca()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    await load(write(ca, parameters + private_pem(ca.key, TRADITIONAL)))


@pytest.mark.parametrize("kind", ["P-256", "P-384"])
async def test_keys_that_all_clients_take_load_without_a_word(write, logs, kind: str) -> None:
    await load(write(make_ca(kind)))
    assert logs == []


@pytest.mark.parametrize(
    ("kind", "named", "client"),
    [
        ("P-521", "P-521", "sigstore-rs"),
        ("RSA-2048", "RSA", "sigstore-rs"),
        ("Ed25519", "Ed25519", "sigstore-python"),
    ],
)
async def test_keys_that_some_clients_refuse_load_with_a_warning_that_names_them(
    write, logs, kind, named, client
) -> None:
    await load(write(make_ca(kind)))
    (record,) = logs
    assert record["log_level"] == "warning"
    assert (record["kind"], record["clients"]) == (named, client)


async def test_a_critical_eku_loads_with_a_warning(write, logs) -> None:
    await load(write(make_ca(extended_key_usage=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True))))
    (record,) = logs
    assert "sigstore-python refuses" in record["event"]


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
async def test_a_key_that_everybody_can_read_loads_with_a_warning(write, logs, mode: int, warned: bool) -> None:
    settings = write(make_ca())
    settings.key.chmod(mode)
    await load(settings)
    assert [record["event"] for record in logs] == [
        "every user of this machine can read the CA key: chmod o-r"
    ] * warned


async def test_a_password_that_is_not_needed_loads_with_a_warning(write, logs) -> None:
    """Fulcio wants one in any case."""
    await load(write(make_ca()), PASSWORD)
    (record,) = logs
    assert "its password is not used" in record["event"]
    assert PASSWORD.decode() not in str(record)


# ---- refusals: each begins with the file -----------------------------------------------------------------------


async def test_a_key_of_another_ca_is_refused(write) -> None:
    settings = write(make_ca(), private_pem(private_key("P-256", 3)))
    said = await refusal(settings)
    assert said.startswith(f"{settings.key}: ")
    assert "public keys are not equal" in said
    assert str(settings.cert) in said


@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
async def test_a_wrong_password_is_refused(write, form) -> None:
    ca = make_ca()
    settings = write(ca, private_pem(ca.key, form, PASSWORD))
    assert await refusal(settings, b"wrong") == f"{settings.key}: the password is wrong, or the key is damaged"


@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
@pytest.mark.parametrize("password", [None, b""])
async def test_no_password_is_refused(write, form, password: bytes | None) -> None:
    ca = make_ca()
    settings = write(ca, private_pem(ca.key, form, PASSWORD))
    assert "the key is encrypted; configure its password" in await refusal(settings, password)


async def test_a_key_in_der_is_refused_with_the_remedy(write) -> None:
    ca = make_ca()
    settings = write(ca, ca.key.private_bytes(Encoding.DER, PKCS8, NoEncryption()))
    assert (
        await refusal(settings) == f"{settings.key}: is DER; expected PEM: convert it with `openssl pkey -inform DER`"
    )


async def test_a_chain_in_der_is_refused_with_the_remedy(write) -> None:
    ca = make_ca()
    settings = write(ca)
    settings.cert.write_bytes(ca.chain.ders[0])
    said = await refusal(settings)
    assert said.startswith(f"{settings.cert}: is DER; expected PEM")


async def test_a_chain_in_the_wrong_order_is_refused(write) -> None:
    ca = make_ca()
    settings = write(ca)
    settings.cert.write_text(ca.chain.pems[1] + ca.chain.pems[0])
    said = await refusal(settings)
    assert said.startswith(f"{settings.cert}: ")
    assert "the issuing certificate comes first, the root last" in said


async def test_a_chain_without_its_root_is_refused(write) -> None:
    ca = make_ca()
    settings = write(ca)
    settings.cert.write_text(ca.chain.pems[0])
    said = await refusal(settings)
    assert said.startswith(f"{settings.cert}: ")
    assert "is no root but was issued by" in said


async def test_an_expired_chain_is_refused(write) -> None:
    settings = write(make_ca(end=START.replace(year=2026, month=11, day=1)))
    assert "has expired" in await refusal(settings)


@pytest.mark.parametrize("which", ["cert", "key"])
async def test_a_missing_file_is_refused(write, which: str) -> None:
    settings = write(make_ca())
    path: Path = getattr(settings, which)
    path.unlink()
    assert (await refusal(settings)).startswith(f"{path}: cannot be read: No such file")


@pytest.mark.parametrize("which", ["cert", "key"])
async def test_a_directory_in_its_place_is_refused(write, which: str) -> None:
    settings = write(make_ca())
    path: Path = getattr(settings, which)
    path.unlink()
    path.mkdir()
    assert (await refusal(settings)).startswith(f"{path}: cannot be read: Is a directory")


def spoiled(pem: bytes) -> bytes:
    lines = pem.splitlines()
    lines[1] = lines[1][:10] + b"////" + lines[1][14:]
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected one private key in PEM, found 0"),
        (b"hello", "expected one private key in PEM, found 0"),
        (private_key("P-256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "found 0"),
        (private_pem(private_key("P-256")) * 2, "expected one private key in PEM, found 2"),
        (private_pem(private_key("P-256"))[:-40], "the key is damaged"),
        (spoiled(private_pem(private_key("P-256"))), "the key is damaged"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "cannot be read; convert it to PKCS#8"),
        (private_key("Ed25519").private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), "cannot be read; convert it to PKCS#8"),
        (private_pem(ec.generate_private_key(ec.SECP224R1())), "ECDSA curve P-224 not allowed"),
    ],
    ids=["empty", "text", "public", "two", "cut", "spoiled", "cosign", "OpenSSH", "P-224"],
)  # fmt: skip
async def test_what_is_no_key_is_refused(write, content: bytes, said: str) -> None:
    settings = write(make_ca(), content or b"\n")
    answer = await refusal(settings)
    assert answer.startswith(f"{settings.key}: ")
    assert said in answer


async def test_what_is_said_never_holds_the_key(write) -> None:
    ca = make_ca()
    pem = private_pem(ca.key)
    for content in (pem[:-40], pem * 2, pem.replace(b"PRIVATE KEY", b"ODD PRIVATE KEY"), spoiled(pem)):
        said = await refusal(write(ca, content))
        assert pem.splitlines()[1][:16].decode() not in said


async def test_a_self_signed_certificate_is_a_whole_chain(write) -> None:
    key = private_key("P-256", 4)
    settings = write(make_ca(), private_pem(key))
    settings.cert.write_bytes(ca_builder(key, "alone").sign(key, SHA256()).public_bytes(Encoding.PEM))
    assert len((await load(settings)).chain.certificates) == 1
