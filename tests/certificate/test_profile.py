"""The writer, held against pyca/cryptography's CertificateBuilder, which shares nothing with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.certificate.chain import Chain
from ca.certificate.profile import Profile, assemble, new_serial
from ca.errors import Misissuance, SignerUnavailable
from ca.identity.model import EmailName, Extension, Identity, URIName, UserName
from tests.certificate.pki import (
    ALGORITHMS,
    CA,
    CA_KINDS,
    CLIENT_KINDS,
    EMAIL,
    GITHUB,
    NOW,
    SCT_LIST,
    START,
    ca_builder,
    hash_of,
    issue,
    key_usage,
    make_ca,
    private_key,
    proven,
)

OPTIONAL = [number for number in Extension if number not in {1, 8, 24}]
ASCII = st.characters(min_codepoint=0x21, max_codepoint=0x7E)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
emails = st.from_regex(r"[a-z]{1,20}@[a-z]{1,60}(\.[a-z]{2,60}){1,4}", fullmatch=True).map(EmailName)
uris = st.text(ASCII, min_size=1, max_size=300).map(URIName)
users = texts.map(UserName)
identities = st.builds(
    Identity,
    issuer=texts,
    subject=st.just("") | texts,
    subject_alt_name=emails | uris | users,
    challenge=st.just("unused"),
    extensions=st.dictionaries(st.sampled_from(OPTIONAL), texts),
)
serials = st.integers(1, 2**159 - 1)
moments = st.datetimes(datetime(2026, 11, 1), datetime(2027, 6, 1), timezones=st.just(UTC))


def builder(ca, identity: Identity, key, serial: int, start: datetime, end: datetime) -> x509.CertificateBuilder:
    """What Fulcio's certificate specification says, in the words of another library."""
    made = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .issuer_name(ca.chain.certificates[0].subject)
        .subject_name(x509.Name([]))
        .public_key(key.public_key)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key), critical=False)
    )
    if ca.chain.key_identifier:
        made = made.add_extension(x509.AuthorityKeyIdentifier(ca.chain.key_identifier, None, None), critical=False)
    made = made.add_extension(x509.SubjectAlternativeName([general_name(identity)]), critical=True)
    values = {1: identity.issuer, **identity.extensions, 8: identity.issuer}
    if identity.subject:
        values[24] = identity.subject
    for number in sorted(values):
        text = values[number]
        value = text.encode() if number <= 6 else utf8_string(text)
        oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{int(number)}")
        made = made.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return made


def general_name(identity: Identity) -> x509.GeneralName:
    match identity.subject_alt_name:
        case EmailName(value):
            return x509.RFC822Name(value)
        case URIName(value):
            return x509.UniformResourceIdentifier(value)
        case UserName(value):
            return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), utf8_string(value))


def utf8_string(text: str) -> bytes:
    return b"\x0c" + der_length(text.encode()) + text.encode()


def der_length(content: bytes) -> bytes:
    size = len(content)
    return bytes([size]) if size < 128 else (b"\x81%c" % size if size < 256 else b"\x82" + size.to_bytes(2, "big"))


@settings(deadline=None, max_examples=150)
@given(identities, serials, moments, st.sampled_from(CA_KINDS), st.sampled_from(CLIENT_KINDS), st.integers(1, 600))
def test_the_three_tbs_equal_those_of_another_library(identity, serial, now, ca_kind, client_kind, seconds) -> None:
    ca, key, lifetime = make_ca(ca_kind), proven(private_key(client_kind)), timedelta(seconds=seconds)
    draft = Profile(lifetime).draft(identity, key, ca.chain, ca.algorithm, serial, now)

    start = now.replace(microsecond=0)
    expected = builder(ca, identity, key, serial, start, start + lifetime)
    poisoned = expected.add_extension(x509.PrecertPoison(), critical=True)
    octets = b"\x04" + der_length(SCT_LIST) + SCT_LIST
    oid = ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS
    stamped = expected.add_extension(x509.UnrecognizedExtension(oid, octets), critical=False)

    def tbs(certificate: x509.CertificateBuilder) -> bytes:
        return certificate.sign(ca.key, hash_of(ca.key)).tbs_certificate_bytes

    assert draft.clean_tbs == tbs(expected)
    assert draft.precertificate_tbs() == tbs(poisoned)
    assert draft.certificate_tbs(SCT_LIST) == tbs(stamped)
    assert draft.certificate_tbs(None) == draft.clean_tbs


@pytest.mark.parametrize("kind", CA_KINDS)
def test_an_assembled_certificate_is_what_another_library_writes(kind: str) -> None:
    ca, key = make_ca(kind), proven(private_key("P-256"))
    draft = Profile().draft(GITHUB, key, ca.chain, ca.algorithm, 4711, NOW)
    expected = builder(ca, GITHUB, key, 4711, START, START + timedelta(minutes=10)).sign(ca.key, hash_of(ca.key))
    assert (
        assemble(draft.clean_tbs, ca.algorithm, expected.signature).hex() == expected.public_bytes(Encoding.DER).hex()
    )
    if not isinstance(ca.key, EllipticCurvePrivateKey):  # the others sign alike every time
        assert ca.signed(draft.clean_tbs) == expected.public_bytes(Encoding.DER)


def test_the_username_san_is_an_explicitly_tagged_utf8_string() -> None:
    """Bytes observed of Fulcio v1.8.8."""
    identity = Identity("https://127.0.0.1", "foo", UserName("foo!127.0.0.1"), "foo")
    ca = make_ca()
    tbs = Profile().draft(identity, proven(private_key("P-256")), ca.chain, ca.algorithm, 1, NOW).clean_tbs
    assert bytes.fromhex("301fa01d060a2b0601040183bf300107a00f0c0d") + b"foo!127.0.0.1" in tbs


def test_the_sct_list_is_wrapped_in_two_octet_strings() -> None:
    issued = issue(make_ca())
    assert bytes.fromhex("060a2b06010401d679020402047d047b00790077") in issued.tbs


def test_an_issuing_certificate_without_ski_leaves_the_aki_out() -> None:
    ca = make_ca(ski=None)
    certificate = x509.load_der_x509_certificate(issue(ca).final)
    assert ExtensionOID.AUTHORITY_KEY_IDENTIFIER not in [extension.oid for extension in certificate.extensions]
    key = proven(private_key("P-256"))
    draft = Profile().draft(EMAIL, key, ca.chain, ca.algorithm, 7, NOW)
    expected = builder(ca, EMAIL, key, 7, START, START + timedelta(minutes=10)).sign(ca.key, hash_of(ca.key))
    assert draft.clean_tbs == expected.tbs_certificate_bytes


def test_the_issuer_keeps_the_string_types_of_the_ca() -> None:

    key = private_key("P-256", 5)

    printable = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "printable", _type=_ASN1Type.PrintableString)
    t61 = x509.NameAttribute(NameOID.COMMON_NAME, "teletex", _type=_ASN1Type.T61String)
    root = ca_builder(key, "typed", subject=x509.Name([printable, t61])).sign(key, hash_of(key))

    ca = CA(Chain.of([root]), key, bytes.fromhex(ALGORITHMS["P-256"]))
    certificate = x509.load_der_x509_certificate(issue(ca).final)
    certificate.verify_directly_issued_by(root)
    assert b"\x13\x09printable" in ca.chain.issuer
    assert b"\x14\x07teletex" in ca.chain.issuer
    assert certificate.issuer.public_bytes() == root.subject.public_bytes()


@pytest.mark.parametrize("year", [2049, 2050])
def test_times_are_generalized_from_2050(year: int) -> None:
    """RFC 5280 §4.1.2.5."""
    now = datetime(year, 12, 31, 23, 55, tzinfo=UTC)
    key = private_key("P-256", 6)

    root = ca_builder(key, "long", end=datetime(2080, 1, 1)).sign(key, hash_of(key))
    tbs = issue(CA(Chain.of([root]), key, bytes.fromhex(ALGORITHMS["P-256"])), now=now).tbs
    if year == 2049:
        assert b"\x17\x0d491231235500Z\x18\x0f20500101000500Z" in tbs
    else:
        assert b"\x18\x0f20501231235500Z\x18\x0f20510101000500Z" in tbs


def test_not_after_never_passes_the_end_of_the_chain() -> None:
    ca = make_ca(end=START + timedelta(seconds=90))
    certificate = x509.load_der_x509_certificate(issue(ca).final)
    assert certificate.not_valid_before_utc == START
    assert certificate.not_valid_after_utc == START + timedelta(seconds=90)


@pytest.mark.parametrize("seconds_left", [0, -1, -3600])
def test_no_draft_when_no_time_is_left(seconds_left: int) -> None:
    ca = make_ca(end=START + timedelta(seconds=seconds_left))
    with pytest.raises(SignerUnavailable, match="no certificate can begin"):
        issue(ca)


def test_no_draft_before_the_chain_begins() -> None:
    ca = make_ca(start=START + timedelta(seconds=1))
    with pytest.raises(SignerUnavailable, match="no certificate can begin"):
        issue(ca)


@pytest.mark.parametrize(
    "lifetime",
    [
        timedelta(0),
        timedelta(seconds=-1),
        timedelta(milliseconds=999),
        timedelta(seconds=601),
        timedelta(days=1),
        timedelta(seconds=1.5),
    ],
)
def test_lifetimes_outside_1_to_600_whole_seconds_are_refused(lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="whole number of seconds from 1 to 600"):
        Profile(lifetime)


@pytest.mark.parametrize(
    "identity",
    [
        Identity("https://a.example", "s", EmailName("ädä@example.com"), "s"),
        Identity("https://a.example", "s", URIName("https://ä.example"), "s"),
        Identity("https://a.example", "\ud800", EmailName("ada@example.com"), "s"),
        Identity("https://a.example", "s", EmailName("ada@example.com"), "s", {Extension.BUILD_TRIGGER: "\udfff"}),
    ],
)
def test_what_has_no_encoding_is_refused(identity: Identity) -> None:
    with pytest.raises(Misissuance):
        issue(make_ca(), identity)


def test_serials_are_positive_and_fit_in_20_octets() -> None:
    serials = {new_serial() for _ in range(2000)}
    assert len(serials) == 2000
    assert all(0 < serial < 2**159 for serial in serials)
    assert max(serials).bit_length() == 159
