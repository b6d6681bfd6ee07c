from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import CTKeyring, Keyring
from sigstore_models.common.v1 import PublicKey, PublicKeyDetails

from ca.ct.rfc6962 import SCT, precert_signature_input, sct_list
from ca.errors import SCTInvalid
from tests.ct.logs import HonestLog, signed_by_log
from tests.ct.pki import leaf, precertificate, with_sct_list
from tests.ct.published import EMBEDDED, ISSUER_KEY_HASH, LOG_KEY, as_sct, embedded_scts, submitted

# ---- Against the certificates of certificate-transparency-go ----


def test_sct_list_is_byte_for_byte_that_of_the_published_certificate():
    written = sct_list(as_sct(parsed) for parsed in embedded_scts(EMBEDDED))
    inner_octet_string = b"\x04" + bytes([len(written)]) + written
    assert inner_octet_string in EMBEDDED.public_bytes(Encoding.DER)


def test_signature_input_is_what_the_published_log_signed():
    (parsed,) = embedded_scts(EMBEDDED)
    signed = precert_signature_input(as_sct(parsed), submitted().clean_tbs, ISSUER_KEY_HASH)
    LOG_KEY.verify(parsed.signature, signed, ECDSA(SHA256()))
    # It is a MerkleTreeLeaf too (RFC 6962 §3.4): TestPreCertB64LeafHash of the same collection.
    leaf_hash = hashlib.sha256(b"\x00" + signed).digest()
    assert base64.b64encode(leaf_hash) == b"mbk+d5FDW3oNZJCbOi828rqC3hf+qhigTWVGcXEZq1U="


# ---- Against pyca/cryptography and sigstore's verifier ----


def answered(log: HonestLog, ders: list[bytes]) -> SCT:
    return SCT.from_add_response(json.dumps(log.answer(ders)).encode())


def sigstore_keyring(log: HonestLog) -> CTKeyring:
    spki = log.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    details = PublicKeyDetails.PKIX_ECDSA_P256_SHA_256
    return CTKeyring(Keyring([PublicKey(raw_bytes=base64.b64encode(spki), key_details=details)]))


@pytest.mark.parametrize("extensions", [b"", bytes.fromhex("0000050000000001")], ids=["none", "leaf index"])
def test_embedded_sct_is_read_and_verified_by_others(ca, extensions):
    log = HonestLog(ca.root, extensions=extensions)
    builder = leaf(ca)
    precert = precertificate(ca, builder)
    sct = answered(log, [precert.der, *precert.chain])
    final = with_sct_list(ca, builder, sct_list([sct]))
    assert final.tbs_precertificate_bytes == precert.clean_tbs
    assert [as_sct(parsed) for parsed in embedded_scts(final)] == [sct]
    verify_sct(final, [ca.issuing, ca.root], sigstore_keyring(log))


def test_sct_list_of_several_is_read_back_in_order(ca):
    builder = leaf(ca)
    precert = precertificate(ca, builder)
    scts = [answered(HonestLog(ca.root), [precert.der, *precert.chain]) for _ in range(3)]
    final = with_sct_list(ca, builder, sct_list(scts))
    assert [as_sct(parsed) for parsed in embedded_scts(final)] == scts


def test_signature_input_matches_a_second_writing_of_it():
    sct = SCT(bytes(32), 2**64 - 1, b"\x01\x02", b"")
    clean_tbs = bytes(70_000)
    assert precert_signature_input(sct, clean_tbs, b"k" * 32) == signed_by_log(
        clean_tbs, b"k" * 32, 2**64 - 1, b"\x01\x02"
    )


# ---- A log's JSON ----


def answer(**changes: object) -> bytes:
    fields = {
        "sct_version": 0,
        "id": base64.b64encode(bytes(32)).decode(),
        "timestamp": 1337,
        "extensions": "AAAFAAAAAAA=",
        "signature": "BAMAAQA=",
    }
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not ...}).encode()


def test_add_response_is_read():
    assert SCT.from_add_response(answer()) == SCT(
        bytes(32), 1337, bytes.fromhex("0000050000000000"), bytes.fromhex("0403000100")
    )


def test_add_response_may_have_fields_of_the_future():
    assert SCT.from_add_response(answer(hint="x")) == SCT.from_add_response(answer())


def test_add_chain_response_reads_back():
    sct = SCT.from_add_response(answer())
    assert SCT.from_add_response(sct.add_chain_response()) == sct
    assert json.loads(sct.add_chain_response()) == json.loads(answer())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"{",
        b'{"a":' * 10_000,
        b"\xff\xfe",
        answer() + b"x",
        *(answer(**{name: ...}) for name in ("sct_version", "id", "timestamp", "extensions", "signature")),
        *(answer(**{name: None}) for name in ("sct_version", "id", "timestamp", "extensions", "signature")),
        answer(sct_version=1),
        answer(sct_version="0"),
        answer(sct_version=False),
        answer(id="AA=="),
        answer(id=base64.b64encode(bytes(33)).decode()),
        answer(id="!" * 44),
        answer(timestamp=-1),
        answer(timestamp=2**64),
        answer(timestamp=1337.5),
        answer(timestamp="1337"),
        answer(extensions=base64.b64encode(bytes(2**16)).decode()),
        answer(signature=base64.b64encode(bytes(2**16)).decode()),
        answer(signature="BAMAAQA"),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_add_response_of_another_shape_is_refused(body):
    with pytest.raises(SCTInvalid):
        SCT.from_add_response(body)
