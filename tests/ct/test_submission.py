"""What the log takes, and why it refuses the rest."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca.certificate import structures
from ca.certificate.chain import Chain, ChainInvalid
from ca.certificate.structures import Extension, TBSCertificate
from ca.ct.model import MAX_CERTIFICATE, MAX_CHAIN, Submission
from ca.ct.submission import AcceptedRoots, SubmissionInvalid, SubmissionTooLarge
from tests.certificate.pki import CA, CA_KINDS, CLIENT_KINDS, GITHUB, NOW, ca_builder, issue, make_ca, private_key, tlv
from tests.ct.pki import without_poison

POISON = Extension(oid=ExtensionOID.PRECERT_POISON, critical=True, value=b"\x05\x00")


@pytest.fixture(scope="module")
def ca() -> CA:
    return make_ca()


@pytest.fixture(scope="module")
def roots(ca: CA) -> AcceptedRoots:
    return AcceptedRoots([ca.chain.certificates[-1]])


@pytest.fixture(scope="module")
def pre(ca: CA) -> bytes:
    return issue(ca).precertificate


@pytest.fixture(scope="module")
def final(ca: CA) -> bytes:
    return issue(ca).final


def resigned(ca: CA, der: bytes, **replaced) -> bytes:
    """The same certificate but for some fields, signed anew."""
    tbs = asn1.decode_der(TBSCertificate, x509.load_der_x509_certificate(der).tbs_certificate_bytes)
    return ca.signed(structures.encode(dataclasses.replace(tbs, **replaced)))


def extensions(der: bytes) -> list[Extension]:
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    return asn1.decode_der(TBSCertificate, tbs).extensions


def others(der: bytes) -> list[Extension]:
    return [extension for extension in extensions(der) if extension.oid != POISON.oid]


def encoded(*certificates: x509.Certificate) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


# ---- what is taken ----


def test_a_precertificate_becomes_its_clean_tbs_and_the_hash_of_its_issuers_key(ca: CA, roots, pre: bytes) -> None:
    issuing_key = ca.chain.certificates[0].public_key()
    spki = issuing_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert roots.precertificate([pre, *ca.chain.ders]) == Submission(
        is_precert=True,
        certificate=without_poison(x509.load_der_x509_certificate(pre).tbs_certificate_bytes),
        issuer_key_hash=hashlib.sha256(spki).digest(),
        precertificate=pre,
        chain=ca.chain.ders,
    )


def test_the_clean_tbs_is_that_of_the_final_certificate_without_its_scts(ca: CA, roots) -> None:
    issued = issue(ca)
    final = x509.load_der_x509_certificate(issued.final)
    submission = roots.precertificate([issued.precertificate, *ca.chain.ders])
    assert submission.certificate == final.tbs_precertificate_bytes


@pytest.mark.parametrize("place", range(3))
def test_the_poison_may_stand_anywhere_among_the_extensions(ca: CA, roots, pre: bytes, place: int) -> None:
    kept = others(pre)
    moved = resigned(ca, pre, extensions=[*kept[:place], POISON, *kept[place:]])
    unmoved = roots.precertificate([pre, *ca.chain.ders])
    assert roots.precertificate([moved, *ca.chain.ders]).certificate == unmoved.certificate


def test_a_certificate_is_taken_as_it_is(ca: CA, roots, final: bytes) -> None:
    assert roots.certificate([final, *ca.chain.ders]) == Submission(
        is_precert=False, certificate=final, issuer_key_hash=b"", precertificate=b"", chain=ca.chain.ders
    )


def test_a_root_that_was_left_out_is_appended(ca: CA, roots, pre: bytes, final: bytes) -> None:
    assert roots.precertificate([pre, ca.chain.ders[0]]).chain == ca.chain.ders
    assert roots.certificate([final, ca.chain.ders[0]]).chain == ca.chain.ders


@pytest.mark.parametrize("kind", CA_KINDS)
def test_a_ca_may_have_any_kind_of_key(kind: str) -> None:
    ca = make_ca(kind)
    roots = AcceptedRoots([ca.chain.certificates[-1]])
    assert roots.precertificate([issue(ca).precertificate, *ca.chain.ders]).chain == ca.chain.ders


def test_a_root_may_issue_by_itself() -> None:
    ca = alone()
    roots = AcceptedRoots(ca.chain.certificates)
    precertificate = issue(ca).precertificate
    assert roots.precertificate([precertificate]).chain == ca.chain.ders
    assert roots.precertificate([precertificate, *ca.chain.ders]).chain == ca.chain.ders


def test_of_roots_with_one_name_the_one_that_signed_is_found(ca: CA, pre: bytes) -> None:
    namesake_key = private_key("P-256", 55)
    namesake = ca_builder(namesake_key, "root").sign(namesake_key, SHA256())
    roots = AcceptedRoots([namesake, ca.chain.certificates[-1]])
    assert roots.precertificate([pre, ca.chain.ders[0]]).chain == ca.chain.ders


def test_dates_do_not_matter_to_the_record(roots, ca: CA) -> None:
    expired = issue(ca, now=NOW - timedelta(days=20)).precertificate
    assert roots.precertificate([expired, *ca.chain.ders]).is_precert


def test_a_remembered_path_is_checked_against_each_certificate(roots, ca: CA, pre: bytes) -> None:
    roots.precertificate([pre, *ca.chain.ders])
    with pytest.raises(SubmissionInvalid, match="not signed by the next one"):
        roots.precertificate([flipped(pre), *ca.chain.ders])


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_but_for_the_poison_every_byte_stays_whatever_the_key(ca: CA, roots, kind: str) -> None:
    issued = issue(ca, GITHUB, kind)
    clean = roots.precertificate([issued.precertificate, *ca.chain.ders]).certificate
    assert clean == x509.load_der_x509_certificate(issued.final).tbs_precertificate_bytes


# ---- the roots ----


def test_roots_are_read_from_a_bundle_of_whole_chains(ca: CA, pre: bytes) -> None:
    other = alone()
    roots = AcceptedRoots.parse("".join([*ca.chain.pems, *other.chain.pems]).encode())
    assert roots.ders == (ca.chain.ders[-1], other.chain.ders[0])
    assert roots.precertificate([pre, *ca.chain.ders]).chain == ca.chain.ders


def test_a_root_counts_once(ca: CA) -> None:
    assert AcceptedRoots.parse((ca.chain.pems[-1] * 2).encode()).ders == ca.chain.ders[-1:]


def test_a_bundle_without_a_root_is_refused(ca: CA) -> None:
    with pytest.raises(ChainInvalid, match="no root"):
        AcceptedRoots.parse(ca.chain.pems[0].encode())


def test_a_root_that_is_no_ca_is_refused() -> None:
    key = private_key("P-256", 56)
    builder = ca_builder(key, "root", basic_constraints=(x509.BasicConstraints(ca=False, path_length=None), True))
    with pytest.raises(ChainInvalid, match="not a CA"):
        AcceptedRoots([builder.sign(key, SHA256())])


# ---- chains that are refused ----


def test_an_empty_chain_is_refused(roots) -> None:
    for take in (roots.certificate, roots.precertificate):
        with pytest.raises(SubmissionInvalid, match="empty"):
            take([])


def test_a_certificate_alone_is_refused_where_a_chain_is_needed(roots, pre: bytes) -> None:
    with pytest.raises(SubmissionInvalid, match="send the chain above it"):
        roots.precertificate([pre])


def test_a_chain_in_another_order_is_refused(ca: CA, roots, pre: bytes) -> None:
    issuing, root = ca.chain.ders
    for chain in ([pre, root, issuing], [issuing, pre, root], [root, issuing, pre], [issuing, root, pre]):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate(chain)


def test_a_chain_with_a_certificate_left_out_is_refused(ca: CA, roots, pre: bytes) -> None:
    with pytest.raises(SubmissionInvalid, match="not signed by the next one"):
        roots.precertificate([pre, ca.chain.ders[-1]])


def test_a_chain_with_a_certificate_too_many_is_refused(ca: CA, roots, pre: bytes) -> None:
    issuing, root = ca.chain.ders
    for chain in ([pre, issuing, issuing, root], [pre, issuing, root, root], [pre, issuing, root, issuing]):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate(chain)


def test_a_chain_to_another_root_is_refused(roots) -> None:
    other_key, issuing_key = private_key("P-384", 57), private_key("P-256", 58)
    root = ca_builder(other_key, "another root").sign(other_key, SHA384())
    issuing = ca_builder(issuing_key, "issuing", "another root").sign(other_key, SHA384())
    foreign = under(issuing_key, issuing, root)
    for chain in (foreign.chain.ders, foreign.chain.ders[:1]):
        with pytest.raises(SubmissionInvalid, match="no root of this log has issued"):
            roots.precertificate([issue(foreign).precertificate, *chain])


def test_a_root_of_the_same_name_by_another_key_is_refused(roots) -> None:
    other_key, issuing_key = private_key("P-384", 57), private_key("P-256", 58)
    root = ca_builder(other_key, "root").sign(other_key, SHA384())
    issuing = ca_builder(issuing_key, "issuing", "root").sign(other_key, SHA384())
    foreign = under(issuing_key, issuing, root)
    for chain in (foreign.chain.ders, foreign.chain.ders[:1]):
        with pytest.raises(SubmissionInvalid, match="no path to a root of this log"):
            roots.precertificate([issue(foreign).precertificate, *chain])


@pytest.mark.parametrize(
    ("replaced", "says"),
    [
        ({"basic_constraints": (x509.BasicConstraints(ca=False, path_length=None), True)}, "not a CA"),
        ({"basic_constraints": None}, "not a CA"),
        ({"key_usage": None}, "keyCertSign"),
        ({"extended_key_usage": None}, "code signing"),
        (
            {"extended_key_usage": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)},
            "code signing",
        ),
        (
            {
                "extended_key_usage": (
                    x509.ExtendedKeyUsage(
                        [ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.CERTIFICATE_TRANSPARENCY]
                    ),
                    False,
                )
            },
            "Precertificate Signing Certificate",
        ),
    ],
)
def test_an_issuer_that_may_not_issue_is_refused(replaced, says: str) -> None:
    ca = make_ca(**replaced)
    roots = AcceptedRoots([ca.chain.certificates[-1]])
    with pytest.raises(SubmissionInvalid, match=says):
        roots.precertificate([issue(ca).precertificate, *ca.chain.ders])


def test_a_leaf_that_plays_issuer_is_refused(ca: CA, roots, final: bytes) -> None:
    below = CA(ca.chain, private_key("P-256"), ca.algorithm)  # the key of the certificate `issue` made
    subject = tlv(x509.load_der_x509_certificate(final).subject.public_bytes())
    forged = resigned(below, issue(ca).precertificate, issuer=subject)
    with pytest.raises(SubmissionInvalid):
        roots.precertificate([forged, final, *ca.chain.ders])


# ---- certificates that are refused ----


@pytest.mark.parametrize("garbage", [b"", b"0", b"\x30\x80", b"garbage", bytes(100), b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate_is_refused_in_every_place(ca: CA, roots, pre: bytes, garbage: bytes) -> None:
    for chain in ([garbage, *ca.chain.ders], [pre, garbage], [pre, ca.chain.ders[0], garbage]):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate(chain)


def test_a_name_that_no_library_reads_is_refused(ca: CA, roots, pre: bytes) -> None:
    """A BIT STRING, which is for X.500 unique identifiers alone, and for which pyca has an exception of its own."""
    tag = pre.index(b"\x55\x04\x0a\x0c") + 3
    odd = pre[:tag] + b"\x03" + pre[tag + 1 : tag + 2] + b"\x00" + pre[tag + 3 :]
    with pytest.raises(SubmissionInvalid, match="certificate 1 of the chain cannot be read"):
        roots.precertificate([odd, *ca.chain.ders])


def test_bytes_behind_a_certificate_are_refused(ca: CA, roots, pre: bytes) -> None:
    issuing, root = ca.chain.ders
    for chain in ([pre + b"\0", issuing, root], [pre, issuing + b"\0", root], [pre, issuing, root + b"\0"]):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate(chain)


def test_every_cut_certificate_is_refused(ca: CA, roots, pre: bytes) -> None:
    for length in range(0, len(pre), 7):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate([pre[:length], *ca.chain.ders])


def test_a_flipped_bit_anywhere_is_refused(ca: CA, roots, pre: bytes) -> None:
    for position in range(0, len(pre), 5):
        with pytest.raises(SubmissionInvalid):
            roots.precertificate([flipped(pre, position), *ca.chain.ders])


@pytest.mark.parametrize(
    ("der", "ber"),
    [
        ("0603551d25", "0603551d25 010100"),  # critical FALSE, which DER leaves out
        ("06082b06010505070303", "0681082b06010505070303"),  # a length in more octets than it takes
        ("0101ff", "010101"),  # a TRUE other than FF
        ("a003020102", "a00402020002"),  # an INTEGER with a leading zero
    ],
)
def test_ber_that_is_not_der_is_refused_though_it_is_signed(ca: CA, roots, pre: bytes, der: str, ber: str) -> None:
    tbs = x509.load_der_x509_certificate(pre).tbs_certificate_bytes
    old, new = bytes.fromhex(der), bytes.fromhex(ber)
    with pytest.raises(SubmissionInvalid):
        roots.precertificate([ca.signed(spliced(tbs, tbs.index(old), old, new)), *ca.chain.ders])


@pytest.mark.parametrize("serial", [0, -1, -(2**64)])
def test_a_serial_number_that_is_not_positive_is_refused(ca: CA, roots, pre: bytes, serial: int) -> None:
    with pytest.raises(SubmissionInvalid, match="serial number"):
        roots.precertificate([resigned(ca, pre, serial_number=serial), *ca.chain.ders])


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_refused(ca: CA, roots, pre: bytes, version: int) -> None:
    with pytest.raises(SubmissionInvalid, match="expected 3"):
        roots.precertificate([resigned(ca, pre, version=version), *ca.chain.ders])


def test_an_extension_that_is_there_twice_is_refused(ca: CA, roots, pre: bytes) -> None:
    twice = resigned(ca, pre, extensions=[*extensions(pre), extensions(pre)[0]])
    with pytest.raises(SubmissionInvalid):
        roots.precertificate([twice, *ca.chain.ders])


@pytest.mark.parametrize(
    "usages", [None, [], [ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]]
)
def test_a_certificate_that_is_not_for_code_signing_is_refused(ca: CA, roots, pre: bytes, usages) -> None:
    oid = ExtensionOID.EXTENDED_KEY_USAGE
    replaced = [extension for extension in extensions(pre) if extension.oid != oid]
    if usages is not None:
        replaced.append(Extension(oid=oid, critical=False, value=x509.ExtendedKeyUsage(usages).public_bytes()))
    with pytest.raises(SubmissionInvalid, match=r"code signing|cannot be read"):
        roots.precertificate([resigned(ca, pre, extensions=replaced), *ca.chain.ders])


def test_a_signature_algorithm_that_is_not_the_signed_one_is_refused(ca: CA, roots, pre: bytes) -> None:
    other = CA(ca.chain, ca.key, bytes.fromhex("300a06082a8648ce3d040303"))
    tbs = x509.load_der_x509_certificate(pre).tbs_certificate_bytes
    with pytest.raises(SubmissionInvalid):
        roots.precertificate([other.signed(tbs), *ca.chain.ders])


# ---- the poison ----


def test_a_final_certificate_is_refused_as_precertificate(ca: CA, roots, final: bytes) -> None:
    with pytest.raises(SubmissionInvalid, match="submit it to add-chain"):
        roots.precertificate([final, *ca.chain.ders])


def test_a_precertificate_is_refused_as_certificate(ca: CA, roots, pre: bytes) -> None:
    with pytest.raises(SubmissionInvalid, match="submit it to add-pre-chain"):
        roots.certificate([pre, *ca.chain.ders])


@pytest.mark.parametrize(
    "poisons",
    [
        [dataclasses.replace(POISON, critical=False)],
        [dataclasses.replace(POISON, value=b"")],
        [dataclasses.replace(POISON, value=b"\x05\x01\x00")],
        [dataclasses.replace(POISON, value=b"\x05\x00\x00")],
        [dataclasses.replace(POISON, value=b"\x04\x00")],
        [POISON, POISON],
        [POISON, dataclasses.replace(POISON, critical=False)],
    ],
)
def test_any_other_poison_is_refused_by_both(ca: CA, roots, pre: bytes, poisons: list[Extension]) -> None:
    poisoned = resigned(ca, pre, extensions=[*others(pre), *poisons])
    for take in (roots.certificate, roots.precertificate):
        with pytest.raises(SubmissionInvalid):
            take([poisoned, *ca.chain.ders])


def test_a_precertificate_with_scts_is_refused(ca: CA, roots, final: bytes) -> None:
    both = resigned(ca, final, extensions=[*extensions(final), POISON])
    with pytest.raises(SubmissionInvalid, match="SCT list"):
        roots.precertificate([both, *ca.chain.ders])


# ---- sizes ----


def test_a_certificate_as_large_as_an_entry_can_be_is_taken_and_a_larger_one_is_not(ca: CA, roots, pre: bytes) -> None:
    def of_size(padding: int) -> bytes:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.99")
        return resigned(
            ca, pre, extensions=[*extensions(pre), Extension(oid=oid, critical=False, value=bytes(padding))]
        )

    room = MAX_CERTIFICATE - len(of_size(60_000)) - 3  # signatures differ in length
    roots.precertificate([of_size(60_000 + room), *ca.chain.ders])
    with pytest.raises(SubmissionTooLarge, match=str(MAX_CERTIFICATE)):
        roots.precertificate([of_size(60_000 + room + 10), *ca.chain.ders])


def test_a_longer_chain_than_the_log_stores_is_refused_unread(roots) -> None:
    with pytest.raises(SubmissionTooLarge, match="certificates"):
        roots.precertificate([b"garbage"] * (MAX_CHAIN + 1))


def alone() -> CA:
    """A root that issues by itself."""
    key = private_key("P-256", 59)
    return under(key, ca_builder(key, "alone").sign(key, SHA256()))


def under(key, *certificates: x509.Certificate) -> CA:
    return CA(Chain.of(certificates), key, bytes.fromhex("300a06082a8648ce3d040302"))


def flipped(der: bytes, position: int = 100) -> bytes:
    return der[:position] + bytes([der[position] ^ 1]) + der[position + 1 :]


def spliced(element: bytes, at: int, old: bytes, new: bytes) -> bytes:
    """`element` with `new` for `old` at offset `at`, and the lengths of all that it stands in set right."""
    start = header(element)
    if at < start:
        assert at == 0
        return new + element[len(old) :]
    position, end = start, start
    while end <= at:
        position, end = end, end + whole(element[end:])
    content = element[start:position] + spliced(element[position:end], at - position, old, new) + element[end:]
    return element[:1] + length_octets(len(content)) + content


def header(element: bytes) -> int:
    return 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)


def whole(content: bytes) -> int:
    size = content[1] if content[1] < 0x80 else int.from_bytes(content[2 : header(content)], "big")
    return header(content) + size


def length_octets(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
