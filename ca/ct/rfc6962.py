"""The structures of RFC 6962. Pure: bytes in, bytes out; integers are big-endian."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from ca.errors import SCTInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_V1 = 0  # Version.v1, RFC 6962 §3.2
_CERTIFICATE_TIMESTAMP, _TREE_HASH = 0, 1  # SignatureType, RFC 6962 §3.2
_TIMESTAMPED_ENTRY = 0  # MerkleLeafType, RFC 6962 §3.4
SHA256_ECDSA = b"\x04\x03"
"""SignatureAndHashAlgorithm of a log's signatures, RFC 5246 §7.4.1.4.1."""
_MAX_SCT = 2**16 - 1 - 64  # what the lengths of RFC 6962 §3.3 leave beside the fixed fields
_MAX_UINT64 = 2**64 - 1


class _AddResponse(msgspec.Struct):
    """The answer to `add-pre-chain`, RFC 6962 §4.1, §4.2; bytes are base64."""

    sct_version: int
    id: bytes
    timestamp: int
    extensions: bytes
    signature: bytes


class LogEntryType(IntEnum):
    """RFC 6962 §3.1."""

    X509_ENTRY = 0
    PRECERT_ENTRY = 1


_ADD_RESPONSE = msgspec.json.Decoder(_AddResponse)


@dataclass(frozen=True, slots=True)
class SCT:
    """A version 1 SignedCertificateTimestamp, RFC 6962 §3.2. Holding one says nothing about its signature."""

    log_id: bytes
    """LogID.key_id: SHA-256 of the log's DER SubjectPublicKeyInfo, 32 bytes."""
    timestamp: int
    """Milliseconds since the epoch, uint64."""
    extensions: bytes
    """CtExtensions without their length; static-ct logs put the leaf index here, RFC 6962 logs nothing."""
    signature: bytes
    """A DigitallySigned of RFC 5246 §4.7: hash, signature algorithm, uint16 length, signature."""

    @classmethod
    def from_add_response(cls, body: bytes) -> SCT:
        """Read the JSON that a log answers to `add-pre-chain`. Raises SCTInvalid for anything else."""
        try:
            answer = _ADD_RESPONSE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:  # deep nesting is the last
            raise SCTInvalid("the log's answer is not the JSON object of RFC 6962 section 4.1") from problem
        if answer.sct_version != _V1:
            raise SCTInvalid(f"the SCT has version {answer.sct_version}; expected 0, which is version 1")
        if len(answer.id) != 32:
            raise SCTInvalid(f"the SCT's log id has {len(answer.id)} bytes; expected 32")
        if not 0 <= answer.timestamp <= _MAX_UINT64:
            raise SCTInvalid("the SCT's timestamp does not fit into 64 bits")
        if len(answer.extensions) + len(answer.signature) > _MAX_SCT:
            raise SCTInvalid("the SCT's extensions or signature are longer than a list of SCTs can hold")
        return cls(answer.id, answer.timestamp, answer.extensions, answer.signature)

    def encode(self) -> bytes:
        """The TLS encoding, RFC 6962 §3.2."""
        return b"".join(
            (
                bytes([_V1]),
                self.log_id,
                self.timestamp.to_bytes(8, "big"),
                opaque16(self.extensions),
                self.signature,
            )
        )

    def add_chain_response(self) -> bytes:
        """The same SCT as a log answers it in JSON, RFC 6962 §4.1: what Fulcio's detached SCT carries."""
        return msgspec.json.encode(
            {
                "sct_version": _V1,
                "id": b64encode(self.log_id).decode(),
                "timestamp": self.timestamp,
                "extensions": b64encode(self.extensions).decode(),
                "signature": b64encode(self.signature).decode(),
            }
        )


def sct_list(scts: Iterable[SCT]) -> bytes:
    """A SignedCertificateTimestampList, RFC 6962 §3.3: the content of the extension's inner OCTET STRING."""
    return opaque16(b"".join(opaque16(sct.encode()) for sct in scts))


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A signed tree head, RFC 6962 §3.5. Holding one says nothing about its signature."""

    timestamp: int
    """Milliseconds since the epoch."""
    size: int
    root: bytes
    """32 bytes."""
    signature: bytes
    """A DigitallySigned over `sth_input`."""

    def get_sth_response(self) -> bytes:
        """What a log answers to `get-sth`, RFC 6962 §4.3: JSON."""
        return msgspec.json.encode(
            {
                "tree_size": self.size,
                "timestamp": self.timestamp,
                "sha256_root_hash": b64encode(self.root).decode(),
                "tree_head_signature": b64encode(self.signature).decode(),
            }
        )


def signed_x509(certificate: bytes) -> bytes:
    """`entry_type` and `signed_entry` of a DER certificate, RFC 6962 §3.1."""
    return LogEntryType.X509_ENTRY.to_bytes(2, "big") + opaque24(certificate)


def signed_precert(clean_tbs: bytes, issuer_key_hash: bytes) -> bytes:
    """`entry_type` and `signed_entry` of a precertificate, RFC 6962 §3.2.

    `clean_tbs` is the DER TBSCertificate without the poison, `issuer_key_hash` the SHA-256 of the DER
    SubjectPublicKeyInfo that signs the final certificate.
    """
    return LogEntryType.PRECERT_ENTRY.to_bytes(2, "big") + issuer_key_hash + opaque24(clean_tbs)


def timestamped_entry(timestamp: int, signed_entry: bytes, extensions: bytes) -> bytes:
    """A TimestampedEntry, RFC 6962 §3.4; `signed_entry` with its type before it."""
    return timestamp.to_bytes(8, "big") + signed_entry + opaque16(extensions)


def merkle_tree_leaf(entry: bytes) -> bytes:
    """The MerkleTreeLeaf of a TimestampedEntry, RFC 6962 §3.4.

    Byte for byte it is also what the log signs in the SCT: the two enumerations before the entry are both 0.
    """
    return bytes([_V1, _TIMESTAMPED_ENTRY]) + entry


def precert_signature_input(sct: SCT, clean_tbs: bytes, issuer_key_hash: bytes) -> bytes:
    """What the log signs for a precertificate, RFC 6962 §3.2; arguments as for `signed_precert`."""
    signed_entry = signed_precert(clean_tbs, issuer_key_hash)
    return bytes([_V1, _CERTIFICATE_TIMESTAMP]) + timestamped_entry(sct.timestamp, signed_entry, sct.extensions)


def sth_input(timestamp: int, size: int, root: bytes) -> bytes:
    """What the log signs for a tree head, RFC 6962 §3.5; `timestamp` in milliseconds."""
    return bytes([_V1, _TREE_HASH]) + timestamp.to_bytes(8, "big") + size.to_bytes(8, "big") + root


def digitally_signed(key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """A DigitallySigned of RFC 5246 §4.7 by a P-256 key.

    Deterministic (RFC 6979): the answer to a resubmission is the first SCT to the last byte.
    """
    return SHA256_ECDSA + opaque16(key.sign(message, ECDSA(SHA256(), deterministic_signing=True)))


def opaque24(data: bytes) -> bytes:
    """`opaque data<0..2^24-1>`, RFC 5246 §4.3; an ASN.1Cert of RFC 6962 §3.1."""
    return len(data).to_bytes(3, "big") + data


def opaque16(data: bytes) -> bytes:
    """`opaque data<0..2^16-1>`, RFC 5246 §4.3."""
    return len(data).to_bytes(2, "big") + data
