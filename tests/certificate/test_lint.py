"""The reader: it takes what was asked and nothing else, down to the bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.certificate import lint
from ca.certificate.chain import Chain
from ca.certificate.profile import Profile
from ca.errors import Misissuance
from ca.identity.model import EmailName, Extension, Identity, URIName, UserName
from tests.certificate.pki import (
    CA_KINDS,
    CLIENT_KINDS,
    EMAIL,
    GITHUB,
    SCT,
    SCT_LIST,
    START,
    USER,
    ca_builder,
    hash_of,
    issue,
    key_usage,
    make_ca,
    private_key,
    proven,
    sign,
)
from tests.certificate.test_profile import builder, identities

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
OTHER_KEY = private_key("P-256", 7)


def der(content: bytes, tag: int = 0x30) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else (b"\x81%c" % size if size < 256 else b"\x82" + size.to_bytes(2, "big"))
    return bytes([tag]) + length + content


def resigned(issued, tbs: bytes) -> bytes:
    """A certificate of any bytes as TBS, signed by the CA."""
    return der(tbs + issued.ca.algorithm + der(b"\0" + sign(issued.ca.key, tbs), 0x03))


@pytest.mark.parametrize("ca_kind", CA_KINDS)
@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
@pytest.mark.parametrize("identity", [EMAIL, GITHUB, USER], ids=["email", "github", "user"])
def test_what_was_asked_passes(ca_kind: str, client_kind: str, identity: Identity) -> None:
    issued = issue(make_ca(ca_kind), identity, client_kind)
    lint.check(issued.final, **issued.asked)


@settings(deadline=None, max_examples=100)
@given(identities, st.booleans())
def test_any_identity_that_the_writer_writes_passes(identity: Identity, with_sct: bool) -> None:
    issued = issue(make_ca(), identity, sct_list=SCT_LIST if with_sct else None)
    lint.check(issued.final, **issued.asked)


def test_a_chain_without_key_identifier_passes() -> None:
    issued = issue(make_ca(ski=None))
    lint.check(issued.final, **issued.asked)


def test_an_end_cut_by_the_chain_passes() -> None:
    issued = issue(make_ca(end=START + timedelta(seconds=20)))
    lint.check(issued.final, **issued.asked)


def test_addresses_that_pyca_would_not_write_itself_pass() -> None:
    odd = replace(EMAIL, subject_alt_name=EmailName("a..b(c)@x"))
    issued = issue(make_ca(), odd)
    lint.check(issued.final, **issued.asked)


# ---- another question than the one answered -------------------------------------------------------------------


def asked_otherwise():
    identity = GITHUB
    other = {
        "issuer": replace(identity, issuer="https://evil.example.com"),
        "no issuer": replace(identity, issuer=""),
        "subject": replace(identity, subject="repo:octo-org/octo-repo:ref:refs/heads/evil"),
        "no subject": replace(identity, subject=""),
        "name": replace(identity, subject_alt_name=URIName("https://github.com/evil")),
        "kind of name": replace(identity, subject_alt_name=EmailName(identity.subject_alt_name.value)),
        "user name": replace(identity, subject_alt_name=UserName(identity.subject_alt_name.value)),
    }
    for number in identity.extensions:
        left = {n: text for n, text in identity.extensions.items() if n != number}
        other[f"without {number.name}"] = replace(identity, extensions=left)
        other[f"other {number.name}"] = replace(identity, extensions={**identity.extensions, number: "evil"})
    return [pytest.param({"identity": changed}, id=name) for name, changed in other.items()]


@pytest.mark.parametrize(
    "change",
    [
        *asked_otherwise(),
        pytest.param({"key": proven(OTHER_KEY)}, id="key"),
        pytest.param({"serial": 4711}, id="serial"),
        pytest.param({"serial": 0}, id="serial 0"),
        pytest.param({"serial": -1}, id="serial negative"),
        pytest.param({"not_before": START + timedelta(seconds=1)}, id="later"),
        pytest.param({"not_before": START - timedelta(seconds=1)}, id="earlier"),
        pytest.param({"lifetime": timedelta(seconds=599)}, id="shorter"),
        pytest.param({"lifetime": timedelta(seconds=601)}, id="longer"),
        pytest.param({"precertificate": None}, id="no precertificate"),
        pytest.param({"sct_list": None}, id="no SCT list"),
        pytest.param({"sct_list": None, "precertificate": None}, id="no CT"),
        pytest.param({"sct_list": SCT_LIST.replace(b"i" * 32, b"j" * 32)}, id="another SCT"),
    ],
)  # fmt: skip
def test_anything_else_than_was_asked_is_misissuance(change: dict) -> None:
    issued = issue(make_ca(), GITHUB)
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, **change})


def test_the_detail_names_the_extension_that_differs() -> None:
    issued = issue(make_ca(), GITHUB)
    changed = replace(GITHUB, extensions={**GITHUB.extensions, Extension.RUN_INVOCATION_URI: "evil"})
    with pytest.raises(Misissuance, match=r"1\.3\.6\.1\.4\.1\.57264\.1\.21"):
        lint.check(issued.final, **{**issued.asked, "identity": changed})


def test_a_chain_of_another_issuing_key_is_misissuance() -> None:
    issued = issue(make_ca())
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, "chain": make_ca("P-384").chain})


def test_a_chain_of_the_same_key_and_another_name_is_misissuance() -> None:
    issued = issue(make_ca())
    renamed = make_ca(subject=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "renamed")]))
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, "chain": renamed.chain})


def test_the_certificate_of_another_request_is_misissuance() -> None:
    one, other = issue(make_ca(), GITHUB), issue(make_ca(), GITHUB)
    for change in ({"serial": other.asked["serial"]}, {"precertificate": other.precertificate}):
        with pytest.raises(Misissuance):
            lint.check(one.final, **{**one.asked, **change})


def test_a_precertificate_is_no_certificate() -> None:
    issued = issue(make_ca())
    for change in ({}, {"precertificate": None, "sct_list": None}):
        with pytest.raises(Misissuance):
            lint.check(issued.precertificate, **{**issued.asked, **change})


def test_two_scts_are_misissuance() -> None:
    two = b"\0\xf2" + SCT_LIST[2:] + b"\0\x77" + SCT
    issued = issue(make_ca(), sct_list=two)
    assert len(list(x509.load_der_x509_certificate(issued.final).extensions[-1].value)) == 2
    with pytest.raises(Misissuance, match="2 SCTs"):
        lint.check(issued.final, **issued.asked)


def test_no_sct_in_the_list_is_misissuance() -> None:
    issued = issue(make_ca(), sct_list=b"\0\0")
    with pytest.raises(Misissuance):
        lint.check(issued.final, **issued.asked)


# ---- every extension and field of a certificate by another builder, changed and signed by the CA ----------------


def by_pyca(ca, change=lambda extensions: extensions, **fields) -> bytes:
    """The certificate for EMAIL without CT, its extensions as a list for `change` to spoil."""
    key = proven(private_key("P-256"))
    good = builder(ca, EMAIL, key, 77, START, START + timedelta(minutes=10)).sign(ca.key, hash_of(ca.key))
    made = (
        x509.CertificateBuilder()
        .serial_number(fields.get("serial", 77))
        .issuer_name(fields.get("issuer", good.issuer))
        .subject_name(fields.get("subject", good.subject))
        .public_key(fields.get("public_key", good.public_key()))
        .not_valid_before(fields.get("start", START))
        .not_valid_after(fields.get("end", START + timedelta(minutes=10)))
    )
    for extension in change([(extension.value, extension.critical) for extension in good.extensions]):
        value, critical = extension
        made = made.add_extension(value, critical=critical)
    signer = fields.get("signer", ca.key)
    return made.sign(signer, fields.get("hash", hash_of(signer))).public_bytes(Encoding.DER)


def check_email(ca, certificate: bytes) -> None:
    lint.check(
        certificate,
        identity=EMAIL,
        key=proven(private_key("P-256")),
        chain=ca.chain,
        serial=77,
        not_before=START,
        lifetime=timedelta(minutes=10),
        precertificate=None,
        sct_list=None,
    )


def test_the_unspoiled_certificate_of_the_other_builder_passes() -> None:
    check_email(make_ca(), by_pyca(make_ca()))


NAMES = ["key usage", "extended key usage", "ski", "aki", "san", "issuer", "issuer v2", "token subject"]


@pytest.mark.parametrize("position", range(len(NAMES)), ids=NAMES)
def test_each_extension_is_required_with_its_criticality_and_place(position: int) -> None:
    ca = make_ca()

    def without(extensions):
        return extensions[:position] + extensions[position + 1 :]

    def flipped(extensions):
        value, critical = extensions[position]
        return [*extensions[:position], (value, not critical), *extensions[position + 1 :]]

    def last(extensions):
        return [*without(extensions), extensions[position]]

    def first(extensions):
        return [extensions[position], *without(extensions)]

    moves = [move for move in (first, last) if move([*range(len(NAMES))]) != [*range(len(NAMES))]]
    for change in (without, flipped, *moves):
        certificate = by_pyca(ca, change)
        with pytest.raises(Misissuance):
            check_email(ca, certificate)


def at(position: int, value: x509.ExtensionType):
    return lambda extensions: [
        (value, critical) if index == position else (old, critical) for index, (old, critical) in enumerate(extensions)
    ]


def oid(suffix: str) -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{suffix}")


USAGES = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"]
ADA = x509.RFC822Name("ada@example.com")
ISSUER = EMAIL.issuer.encode()


@pytest.mark.parametrize(
    "change",
    [
        *[at(0, key_usage(digital_signature=True, **{usage: True})) for usage in USAGES],
        at(0, key_usage(key_cert_sign=True)),
        at(1, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        at(1, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
        at(1, x509.ExtendedKeyUsage([CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH])),
        at(1, x509.ExtendedKeyUsage([CODE_SIGNING, CODE_SIGNING])),
        at(2, x509.SubjectKeyIdentifier(b"x" * 20)),
        at(2, x509.SubjectKeyIdentifier(b"")),
        at(3, x509.AuthorityKeyIdentifier(b"x" * 20, None, None)),
        at(3, x509.AuthorityKeyIdentifier(make_ca().chain.key_identifier, [x509.DNSName("a.example")], 5)),
        at(4, x509.SubjectAlternativeName([ADA, ADA])),
        at(4, x509.SubjectAlternativeName([ADA, x509.UniformResourceIdentifier("https://evil.example")])),
        at(4, x509.SubjectAlternativeName([x509.UniformResourceIdentifier("ada@example.com")])),
        at(4, x509.SubjectAlternativeName([x509.DNSName("ada@example.com")])),
        at(4, x509.SubjectAlternativeName([x509.RFC822Name("Ada@example.com")])),
        at(4, x509.SubjectAlternativeName([])),
        at(5, x509.UnrecognizedExtension(oid("1"), b"\x0c\x1c" + ISSUER)),
        at(5, x509.UnrecognizedExtension(oid("1"), ISSUER + b"/")),
        at(6, x509.UnrecognizedExtension(oid("8"), ISSUER)),
        at(6, x509.UnrecognizedExtension(oid("8"), b"\x0c\x81\x1c" + ISSUER)),
        at(6, x509.UnrecognizedExtension(oid("8"), b"\x13\x1c" + ISSUER)),
        at(6, x509.UnrecognizedExtension(oid("8"), b"\x0c\x1c" + ISSUER + b"\0")),
        at(7, x509.UnrecognizedExtension(oid("24"), b"1234567890")),
        at(7, x509.UnrecognizedExtension(oid("23"), b"\x0c\x0a1234567890")),
        at(7, x509.UnrecognizedExtension(oid("25"), b"\x0c\x0a1234567890")),
        at(7, x509.UnrecognizedExtension(oid("24.1"), b"\x0c\x0a1234567890")),
        lambda extensions: [*extensions, (x509.BasicConstraints(ca=True, path_length=None), True)],
        lambda extensions: [*extensions, (x509.BasicConstraints(ca=False, path_length=None), True)],
        lambda extensions: [*extensions, (x509.UnrecognizedExtension(oid("9"), b"\x0c\x01x"), False)],
        lambda extensions: [*extensions, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), False)],
        lambda extensions: [*extensions, (x509.PrecertPoison(), True)],
        lambda extensions: [*extensions, (x509.OCSPNoCheck(), False)],
        lambda extensions: [],
    ],
)
def test_an_extension_of_another_value_is_misissuance(change) -> None:
    ca = make_ca()
    certificate = by_pyca(ca, change)
    with pytest.raises(Misissuance):
        check_email(ca, certificate)


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": 78},
        {"subject": x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ada")])},
        {"issuer": x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuing")])},
        {"issuer": x509.Name([])},
        {"public_key": OTHER_KEY.public_key()},
        {"start": START - timedelta(seconds=1)},
        {"start": START + timedelta(seconds=1)},
        {"end": START + timedelta(minutes=10, seconds=1)},
        {"end": START + timedelta(days=3650)},
        {"signer": OTHER_KEY},
        {"signer": private_key("P-384", 99)},
        {"signer": private_key("RSA-2048")},
        {"signer": private_key("Ed25519")},
        {"hash": SHA384()},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_of_another_value_is_misissuance(fields: dict) -> None:
    ca = make_ca()
    certificate = by_pyca(ca, **fields)
    with pytest.raises(Misissuance):
        check_email(ca, certificate)


# ---- every bit ------------------------------------------------------------------------------------------------------


def flips(data: bytes):
    for position in range(len(data)):
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


@pytest.mark.parametrize("sct_list", [SCT_LIST, None], ids=["SCT", "no CT"])
@pytest.mark.parametrize(("ca_kind", "identity"), [("Ed25519", EMAIL), ("P-256", USER)], ids=["email", "user"])
def test_no_bit_of_the_tbs_can_change_even_if_the_ca_signs_it(ca_kind: str, identity: Identity, sct_list) -> None:
    """Without CT there is no precertificate to give the change away."""
    issued = issue(make_ca(ca_kind), identity, sct_list=sct_list)
    lint.check(resigned(issued, issued.tbs), **issued.asked)
    for tbs in flips(issued.tbs):
        with pytest.raises(Misissuance):
            lint.check(resigned(issued, tbs), **issued.asked)


@pytest.mark.parametrize("ca_kind", ["P-256", "Ed25519"])
def test_no_bit_of_the_certificate_can_change(ca_kind: str) -> None:
    issued = issue(make_ca(ca_kind))
    for certificate in flips(issued.final):
        with pytest.raises(Misissuance):
            lint.check(certificate, **issued.asked)


def test_unused_bits_in_a_signature_are_misissuance() -> None:
    """Where the last bits of the signature are zero, a reader that does not look takes it."""
    while True:
        issued = issue(make_ca())
        signatures = [x509.load_der_x509_certificate(der).signature for der in (issued.final, issued.precertificate)]
        if all(signature[-1] % 2 == 0 for signature in signatures):
            break
    final, precertificate = (
        der[: -len(signature) - 1] + b"\1" + signature
        for der, signature in zip((issued.final, issued.precertificate), signatures, strict=True)
    )
    x509.load_der_x509_certificate(final).verify_directly_issued_by(issued.ca.chain.certificates[0])
    with pytest.raises(Misissuance):
        lint.check(final, **issued.asked)
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, "precertificate": precertificate})


def test_no_bit_of_the_precertificates_tbs_can_change() -> None:
    issued = issue(make_ca())
    signature = len(issued.precertificate) - len(x509.load_der_x509_certificate(issued.precertificate).signature)
    for flipped in flips(issued.precertificate[:signature]):
        precertificate = flipped + issued.precertificate[signature:]
        with pytest.raises(Misissuance):
            lint.check(issued.final, **{**issued.asked, "precertificate": precertificate})


@pytest.fixture(scope="module")
def one():
    return issue(make_ca())


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_bytes_can_be_cut_repeated_or_added_even_if_the_ca_signs_it(one, data) -> None:
    issued = one
    start = data.draw(st.integers(0, len(issued.tbs)))
    end = data.draw(st.integers(start, len(issued.tbs)))
    middle = data.draw(st.sampled_from([b"", issued.tbs[start:end] * 2]) | st.binary(max_size=40))
    tbs = issued.tbs[:start] + middle + issued.tbs[end:]
    if tbs == issued.tbs:
        return
    with pytest.raises(Misissuance):
        lint.check(resigned(issued, tbs), **issued.asked)


@pytest.mark.parametrize(
    "garbage", [b"", b"\x30", b"0" * 500, b"\x30\x84\xff\xff\xff\xff", b"-----BEGIN CERTIFICATE-----"]
)
def test_garbage_is_misissuance(garbage: bytes) -> None:
    issued = issue(make_ca())
    with pytest.raises(Misissuance):
        lint.check(garbage, **issued.asked)
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, "precertificate": garbage})


@pytest.mark.parametrize("serial", [2**159, 2**160 - 1, 2**400], ids=["160 bits", "ones", "401 bits"])
def test_a_serial_that_is_too_long_is_misissuance_even_if_asked_for(serial: int) -> None:
    issued = issue(make_ca(), serial=serial, sct_list=None)
    with pytest.raises(Misissuance, match="serial number"):
        lint.check(issued.final, **issued.asked)


def test_version_2_is_misissuance() -> None:
    issued = issue(make_ca(), sct_list=None)
    with pytest.raises(Misissuance):
        lint.check(resigned(issued, issued.tbs.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\1")), **issued.asked)


def test_a_unique_identifier_is_misissuance() -> None:
    """RFC 5280 §4.1.2.8."""
    issued = issue(make_ca(), sct_list=None)
    extensions = issued.tbs.index(b"\xa3\x81")
    tbs = der(issued.tbs[4:extensions] + b"\x81\2\0\x41" + issued.tbs[extensions:])
    x509.load_der_x509_certificate(resigned(issued, tbs)).verify_directly_issued_by(issued.ca.chain.certificates[0])
    with pytest.raises(Misissuance, match="9 fields"):
        lint.check(resigned(issued, tbs), **issued.asked)


def test_an_algorithm_that_the_signature_is_not_made_with_is_misissuance() -> None:
    issued = issue(make_ca(), sct_list=None)
    sha384 = bytes.fromhex("300a06082a8648ce3d040303")
    tbs = issued.tbs.replace(issued.ca.algorithm, sha384)
    assert tbs != issued.tbs
    with pytest.raises(Misissuance, match="signature algorithm"):
        lint.check(replace(issued.ca, algorithm=sha384).signed(tbs), **issued.asked)


def test_an_issuing_key_of_another_kind_is_misissuance() -> None:
    issued = issue(make_ca(), sct_list=None)
    key = Ed448PrivateKey.generate()
    chain = Chain.of([ca_builder(key, "ed448").sign(key, None)])
    with pytest.raises(Misissuance, match="neither ECDSA nor RSA nor Ed25519"):
        lint.check(issued.final, **{**issued.asked, "chain": chain})


def test_a_certificate_with_something_behind_it_is_misissuance() -> None:
    issued = issue(make_ca())
    with pytest.raises(Misissuance):
        lint.check(issued.final + b"\0", **issued.asked)
    with pytest.raises(Misissuance):
        lint.check(issued.final, **{**issued.asked, "precertificate": issued.precertificate + b"\0"})


def test_flags_in_another_encoding_are_misissuance() -> None:
    """`03 02 06 80` says the same as `03 02 07 80`, and only DER tells them apart."""
    issued = issue(make_ca())
    with pytest.raises(Misissuance, match="key usages' encoding"):
        lint.check(resigned(issued, issued.tbs.replace(b"\3\2\7\x80", b"\3\2\6\x80")), **issued.asked)


def test_a_final_certificate_of_another_draft_is_misissuance() -> None:
    """Same identity, key, serial; one second between precertificate and certificate."""
    ca = make_ca()
    issued = issue(ca)
    later = Profile().draft(
        EMAIL, issued.asked["key"], ca.chain, ca.algorithm, issued.asked["serial"], START + timedelta(seconds=1)
    )
    precertificate = ca.signed(later.precertificate_tbs())
    with pytest.raises(Misissuance, match="precertificate"):
        lint.check(issued.final, **{**issued.asked, "precertificate": precertificate})


def test_the_sct_list_has_to_be_last() -> None:
    issued = issue(make_ca())
    certificate = x509.load_der_x509_certificate(issued.final)
    last = certificate.extensions[-1]
    assert last.oid == ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS
    made = (
        x509.CertificateBuilder()
        .serial_number(certificate.serial_number)
        .issuer_name(certificate.issuer)
        .subject_name(certificate.subject)
        .public_key(certificate.public_key())
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    for extension in [last, *certificate.extensions][: len(certificate.extensions)]:
        made = made.add_extension(extension.value, critical=extension.critical)
    moved = made.sign(issued.ca.key, hash_of(issued.ca.key)).public_bytes(Encoding.DER)
    with pytest.raises(Misissuance):
        lint.check(moved, **issued.asked)
