"""Which chains may issue, and what is said of those that may not."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.certificate import structures
from ca.certificate.chain import Chain, ChainInvalid, certificate_pem
from tests.certificate.pki import CA_KINDS, NOW, START, ca_builder, hash_of, key_usage, make_ca, private_key, tlv

ROOT, MIDDLE, ISSUING = (private_key("P-256", number) for number in (21, 22, 23))
CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING


def usages(*oids, critical: bool = False):
    return x509.ExtendedKeyUsage(oids), critical


def constraints(path_length: int | None, *, ca: bool = True):
    return x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), True


def root(**replace) -> x509.Certificate:
    return ca_builder(ROOT, "root", **replace).sign(ROOT, SHA256())


def issuing(signer=ROOT, issuer="root", **replace) -> x509.Certificate:
    return ca_builder(ISSUING, "issuing", issuer, **replace).sign(signer, hash_of(signer))


def middle(**replace) -> x509.Certificate:
    return ca_builder(MIDDLE, "middle", "root", **replace).sign(ROOT, SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def refused(*certificates: x509.Certificate, now: datetime = NOW) -> str:
    chain = Chain.parse(pem(*certificates))
    with pytest.raises(ChainInvalid) as caught:
        chain.check(now)
    return str(caught.value)


# ---- parsing --------------------------------------------------------------------------------------------------------


def test_a_chain_knows_what_leaves_need() -> None:
    certificates = (issuing(), root())
    chain = Chain.parse(pem(*certificates))
    spki = ISSUING.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert chain.certificates == certificates
    assert chain.ders == tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    assert "".join(chain.pems).encode() == pem(*certificates)
    assert all(text.endswith("-----END CERTIFICATE-----\n") for text in chain.pems)
    assert chain.issuer == certificates[0].subject.public_bytes()
    assert chain.spki == spki
    assert chain.issuer_key_hash == hashlib.sha256(spki).digest()
    assert chain.key_identifier == x509.SubjectKeyIdentifier.from_public_key(ISSUING.public_key()).digest


def test_its_time_is_that_of_all_its_certificates() -> None:
    late, early = START - timedelta(days=1), START + timedelta(days=1)
    chain = Chain.parse(pem(issuing(start=late), root(end=early)))
    assert (chain.not_before, chain.not_after) == (late, early)


def test_without_subject_key_identifier_there_is_none() -> None:
    assert Chain.parse(pem(issuing(ski=None), root())).key_identifier is None


def test_text_around_the_certificates_and_crlf_do_not_matter() -> None:
    bundle = b"# the issuing CA\n" + pem(issuing()) + b"\nissuer=/CN=root\n" + pem(root())
    Chain.parse(bundle).check(NOW)
    Chain.parse(bundle.replace(b"\n", b"\r\n")).check(NOW)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must contain at least one certificate"),
        (b"hello", "must contain at least one certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "must contain at least one certificate"),
        (root().public_bytes(Encoding.DER), "is DER; expected PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (pem(root())[:-60], "cannot be read"),
        (pem(root()) + b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_what_is_no_bundle_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ChainInvalid, match=said):
        Chain.parse(content)


@pytest.mark.parametrize("broken", [b"\x0c\x04\xff\xff\xff\xff", b"\x8d\x04root"], ids=["not UTF-8", "no string"])
def test_a_name_that_cannot_be_read_is_refused_anywhere(broken: bytes) -> None:
    spoilt = x509.load_der_x509_certificate(root().public_bytes(Encoding.DER).replace(b"\x0c\x04root", broken))
    for certificates in [(issuing(), spoilt), (spoilt, root()), (spoilt,)]:
        with pytest.raises(ChainInvalid, match="cannot be read as PEM certificates"):
            Chain.parse(pem(*certificates))


def test_a_compressed_issuing_key_is_refused() -> None:
    """pyca writes it back uncompressed, and the two have different hashes in SCTs."""
    tbs = asn1.decode_der(structures.TBSCertificate, root().tbs_certificate_bytes)
    point = ROOT.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = asn1.decode_der(
        structures.SubjectPublicKeyInfo, structures.encode(tbs.subject_public_key_info)
    ).algorithm
    spki = structures.SubjectPublicKeyInfo(algorithm=algorithm, subject_public_key=asn1.BitString(point, 0))
    tbs.subject_public_key_info = tlv(structures.encode(spki))
    message = structures.encode(tbs)
    certificate = structures.Certificate(
        tbs_certificate=tlv(message),
        signature_algorithm=tbs.signature,
        signature=asn1.BitString(ROOT.sign(message, ec.ECDSA(SHA256())), 0),
    )
    with pytest.raises(ChainInvalid, match="unusual encoding"):
        Chain.of([x509.load_der_x509_certificate(structures.encode(certificate))])


def test_certificate_pem_is_what_pyca_and_go_write() -> None:
    certificate = root()
    text = certificate_pem(certificate.public_bytes(Encoding.DER))
    assert text.encode() == certificate.public_bytes(Encoding.PEM)
    assert max(len(line) for line in text.splitlines()) == 64


# ---- chains that may issue -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CA_KINDS)
def test_an_intermediate_under_a_root_may_issue(kind: str) -> None:
    make_ca(kind).chain.check(NOW)


@pytest.mark.parametrize("kind", CA_KINDS)
def test_one_self_signed_certificate_may_issue(kind: str) -> None:
    key = private_key(kind)
    Chain.of([ca_builder(key, "alone").sign(key, hash_of(key))]).check(NOW)


@pytest.mark.parametrize(
    "certificates",
    [
        pytest.param([issuing(MIDDLE, "middle"), middle(), root()], id="three"),
        pytest.param([issuing(MIDDLE, "middle"), middle(basic_constraints=constraints(1)), root()], id="pathlen"),
        pytest.param([issuing(basic_constraints=constraints(0)), root(basic_constraints=constraints(1))], id="least"),
        pytest.param([issuing(), root(extended_key_usage=usages(CODE_SIGNING))], id="root's EKU"),
        pytest.param(
            [issuing(), root(extended_key_usage=usages(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))], id="any"
        ),
        pytest.param([issuing(ski=None), root(ski=None)], id="no SKI"),
        pytest.param(
            [issuing(key_usage=(key_usage(key_cert_sign=True, digital_signature=True), True)), root()], id="KU"
        ),
        pytest.param([issuing(extended_key_usage=usages(CODE_SIGNING, critical=True)), root()], id="critical EKU"),
    ],
)
def test_these_may_issue(certificates: list) -> None:
    Chain.of(certificates).check(NOW)


def test_both_ends_of_its_time_belong_to_it() -> None:
    chain = Chain.of([issuing(), root()])
    chain.check(chain.not_before)
    chain.check(chain.not_after)


# ---- and those that may not -------------------------------------------------------------------------------------------


def test_the_root_first_is_refused() -> None:
    assert "the issuing certificate comes first, the root last" in refused(root(), issuing())


def test_a_leaf_first_is_refused() -> None:
    assert "certificate is not a CA" in refused(issuing(basic_constraints=constraints(None, ca=False)), root())


def test_no_basic_constraints_are_refused() -> None:
    assert "certificate is not a CA" in refused(issuing(basic_constraints=None), root())
    assert "certificate is not a CA" in refused(issuing(), root(basic_constraints=None))


def test_a_missing_root_is_refused_and_named() -> None:
    said = refused(issuing())
    assert "is no root" in said
    assert "CN=root" in said


def test_a_missing_intermediate_is_refused_and_named() -> None:
    said = refused(issuing(MIDDLE, "middle"), root())
    assert "CN=middle" in said
    assert "CN=root" in said


def test_certificates_in_the_wrong_order_are_refused() -> None:
    assert "each one's issuer next" in refused(middle(), issuing(MIDDLE, "middle"), root())
    assert "each one's issuer next" in refused(issuing(MIDDLE, "middle"), root(), middle())


def test_a_certificate_that_does_not_belong_is_refused() -> None:
    assert "each one's issuer next" in refused(issuing(), middle(), root())


def test_a_certificate_twice_is_refused() -> None:
    assert "each one's issuer next" in refused(issuing(), issuing(), root())
    assert "pathlen" in refused(
        issuing(), root(basic_constraints=constraints(1)), root(basic_constraints=constraints(1))
    )


def test_a_signature_by_another_key_is_refused() -> None:
    assert "is not by the key of" in refused(issuing(MIDDLE, "root"), root())
    assert "is not by the key of" in refused(issuing(private_key("RSA-2048"), "root"), root())


def test_a_root_that_another_key_signed_is_refused() -> None:
    forged = ca_builder(ROOT, "root").sign(MIDDLE, SHA256())
    assert "is not by the key of" in refused(issuing(), forged)


def test_a_signature_over_sha1_is_refused() -> None:
    """By pyca, which verifies none."""
    key = private_key("RSA-2048")
    rsa_root = ca_builder(key, "root").sign(key, SHA256())
    tbs = asn1.decode_der(structures.TBSCertificate, issuing(key).tbs_certificate_bytes)
    tbs.signature = tlv(bytes.fromhex("300d06092a864886f70d0101050500"))  # sha1WithRSAEncryption
    message = structures.encode(tbs)
    certificate = structures.Certificate(
        tbs_certificate=tlv(message),
        signature_algorithm=tbs.signature,
        signature=asn1.BitString(key.sign(message, PKCS1v15(), SHA1()), 0),
    )
    assert "is not by the key of" in refused(x509.load_der_x509_certificate(structures.encode(certificate)), rsa_root)


def test_a_root_that_allows_no_intermediate_is_refused() -> None:
    said = refused(issuing(), root(basic_constraints=constraints(0)))
    assert "allows 0 CA certificates below it" in said
    assert "there are 1" in said


def test_an_intermediate_that_allows_none_below_is_refused() -> None:
    said = refused(issuing(MIDDLE, "middle"), middle(basic_constraints=constraints(0)), root())
    assert "allows 0" in said


@pytest.mark.parametrize("usage", [None, (key_usage(digital_signature=True), True), (key_usage(crl_sign=True), True)])
def test_without_key_cert_sign_is_refused(usage) -> None:
    assert "keyCertSign" in refused(issuing(key_usage=usage), root())
    assert "keyCertSign" in refused(issuing(), root(key_usage=usage))


def test_an_intermediate_without_code_signing_is_refused() -> None:
    said = refused(issuing(extended_key_usage=None), root())
    assert said.startswith(
        "certificate must have extended key usage code signing set to sign code signing certificates"
    )


def test_an_intermediate_for_any_usage_is_refused_as_fulcio_does() -> None:
    said = refused(issuing(extended_key_usage=usages(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)), root())
    assert "must have extended key usage code signing" in said


@pytest.mark.parametrize("place", ["issuing", "middle", "root"])
def test_usages_without_code_signing_are_refused_anywhere(place: str) -> None:
    server = {"extended_key_usage": usages(ExtendedKeyUsageOID.SERVER_AUTH)}
    certificates = (
        issuing(MIDDLE, "middle", **(server if place == "issuing" else {})),
        middle(**(server if place == "middle" else {})),
        root(**(server if place == "root" else {})),
    )
    assert f"CN={place}" in refused(*certificates)
    assert "not code signing" in refused(*certificates)


def test_an_unknown_critical_extension_is_refused() -> None:
    strange = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b""), True)
    assert "1.2.3.4" in refused(issuing(strange=strange), root())
    assert "1.2.3.4" in refused(issuing(), root(strange=strange))


def test_an_unknown_extension_that_is_not_critical_passes() -> None:
    strange = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b""), False)
    Chain.of([issuing(strange=strange), root(strange=strange)]).check(NOW)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("place", ["issuing", "root"])
def test_an_expired_certificate_is_refused_wherever_it_stands(place: str) -> None:
    ends = {"end": START - SECOND}
    said = refused(issuing(**(ends if place == "issuing" else {})), root(**(ends if place == "root" else {})))
    assert f"CN={place}" in said
    assert "has expired: it is 2026-11-03T12:30:15Z, it ended 2026-11-03T12:30:14Z" in said


@pytest.mark.parametrize("place", ["issuing", "root"])
def test_a_certificate_that_is_not_yet_valid_is_refused_wherever_it_stands(place: str) -> None:
    begins = {"start": START + SECOND}
    said = refused(issuing(**(begins if place == "issuing" else {})), root(**(begins if place == "root" else {})))
    assert f"CN={place}" in said
    assert "is not yet valid: it is 2026-11-03T12:30:15Z, it begins 2026-11-03T12:30:16Z" in said


def test_time_alone_is_checked_by_check_time() -> None:
    chain = Chain.of([issuing(basic_constraints=None), root()])
    chain.check_time(NOW)
    with pytest.raises(ChainInvalid, match="expired"):
        chain.check_time(chain.not_after + SECOND)
