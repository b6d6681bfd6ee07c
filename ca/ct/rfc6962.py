"""The structures of RFC 6962 that a submitter needs. Pure: bytes in, bytes out; integers are big-endian."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ca.errors import SCTInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

_V1 = 0  # Version.v1, RFC 6962 §3.2
_CERTIFICATE_TIMESTAMP = 0  # SignatureType, RFC 6962 §3.2
_PRECERT_ENTRY = 1  # LogEntryType, RFC 6962 §3.1
_MAX_UINT16 = 2**16 - 1
_MAX_UINT64 = 2**64 - 1


class _AddResponse(msgspec.Struct):
    """The answer to `add-pre-chain`, RFC 6962 §4.1, §4.2; bytes are base64."""

    sct_version: int
    id: bytes
    timestamp: int
    extensions: bytes
    signature: bytes


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
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise SCTInvalid("the log's answer is not the JSON object of RFC 6962 section 4.1") from problem
        if answer.sct_version != _V1:
            raise SCTInvalid(f"the SCT has version {answer.sct_version}; expected 0, which is version 1")
        if len(answer.id) != 32:
            raise SCTInvalid(f"the SCT's log id has {len(answer.id)} bytes; expected 32")
        if not 0 <= answer.timestamp <= _MAX_UINT64:
            raise SCTInvalid("the SCT's timestamp does not fit into 64 bits")
        if max(len(answer.extensions), len(answer.signature)) > _MAX_UINT16:
            raise SCTInvalid("the SCT's extensions or signature are longer than their length field can say")
        return cls(answer.id, answer.timestamp, answer.extensions, answer.signature)

    def encode(self) -> bytes:
        """The TLS encoding, RFC 6962 §3.2."""
        return b"".join(
            (
                bytes([_V1]),
                self.log_id,
                self.timestamp.to_bytes(8, "big"),
                _opaque16(self.extensions),
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
    return _opaque16(b"".join(_opaque16(sct.encode()) for sct in scts))


def precert_signature_input(sct: SCT, clean_tbs: bytes, issuer_key_hash: bytes) -> bytes:
    """What the log signs for a precertificate, RFC 6962 §3.2.

    `clean_tbs` is the DER TBSCertificate without the poison, `issuer_key_hash` the SHA-256 of the DER
    SubjectPublicKeyInfo that signs the final certificate.
    """
    return b"".join(
        (
            bytes([_V1, _CERTIFICATE_TIMESTAMP]),
            sct.timestamp.to_bytes(8, "big"),
            _PRECERT_ENTRY.to_bytes(2, "big"),
            issuer_key_hash,  # PreCert.issuer_key_hash
            len(clean_tbs).to_bytes(3, "big"),  # PreCert.tbs_certificate<1..2^24-1>
            clean_tbs,
            _opaque16(sct.extensions),
        )
    )


def _opaque16(data: bytes) -> bytes:
    """`opaque data<0..2^16-1>`, RFC 5246 §4.3."""
    return len(data).to_bytes(2, "big") + data
