"""What a client can see of an answer, in a form in which two servers' answers can be compared."""

from __future__ import annotations

from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

TRANSPORT = frozenset({"date", "content-length", "transfer-encoding", "connection"})
"""Headers that differ between two answers of one server."""

OURS = frozenset({"x-request-id", "access-control-expose-headers", "x-content-type-options", "cache-control"})
"""Headers that Dayfly adds to every answer: clients ignore what they do not know."""

_SCT_LIST = ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS


def summary(answer: httpx.Response) -> str:
    """Status and, of a refusal, the message. Go's protobuf puts a no-break space into some builds' messages."""
    if answer.is_success or not answer.content:
        return f"{answer.status_code}"
    is_json = answer.headers["content-type"] == "application/json"
    return f"{answer.status_code} {answer.json()['message'] if is_json else answer.text}".replace("\u00a0", " ")


def visible(answer: httpx.Response, like: httpx.Response | None = None) -> dict[str, Any]:
    """Status, headers and body. Of a refusal `like` Fulcio's only so much as Fulcio says."""
    seen: dict[str, Any] = {
        "status": answer.status_code,
        "headers": {name: value for name, value in answer.headers.items() if name not in TRANSPORT | OURS},
    }
    match answer.headers.get("content-type"):
        case "application/json" if answer.content:
            seen["body"] = _json(answer.json())
        case "application/pem-certificate-chain":
            seen["body"] = _pem(answer.text)
        case _:
            seen["body"] = answer.text
    if answer.is_client_error or answer.is_server_error:
        seen["body"] = _refusal(answer, summary(like if like is not None else answer))
    return seen


def _refusal(answer: httpx.Response, shown: str) -> Any:
    """A `google.rpc.Status`; Fulcio's has no details, ours says more in message and details."""
    if answer.headers["content-type"] != "application/json" or not answer.content:
        return answer.text
    body = answer.json()
    return {
        "members": list(body),
        "code": body["code"],
        "message": summary(answer)[: len(shown)],
        "details": type(body["details"]),
    }


def _json(body: Any) -> Any:
    match body:
        case {"issuers": issuers}:  # in random order
            return sorted(issuers, key=lambda issuer: issuer.get("issuerUrl") or issuer["wildcardIssuerUrl"])
        case {"signedCertificateEmbeddedSct": {"chain": {"certificates": [leaf, *chain]}} as signed}:
            return ["embedded", list(signed), certificate(leaf, chain[0]), chain]
        case {"signedCertificateDetachedSct": {"chain": {"certificates": [leaf, *chain]}} as signed}:
            return ["detached", signed["signedCertificateTimestamp"], certificate(leaf, chain[0]), chain]
    return body


def _pem(text: str) -> Any:
    """A chain; the root certificate's endpoint has no leaf."""
    first, second, *_ = x509.load_pem_x509_certificates(text.encode())
    if first.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value.key_cert_sign:
        return text
    end = "-----END CERTIFICATE-----"
    leaf, rest = text.split(end, 1)
    return [certificate(leaf + end, second.public_bytes(Encoding.PEM).decode()), rest]


def certificate(leaf: str, issuing: str) -> dict[str, Any]:
    """Every byte of it but what differs between any two certificates: serial, times, SCT, signature."""
    assert leaf == leaf.strip()
    read = x509.load_pem_x509_certificate(leaf.encode())
    read.verify_directly_issued_by(x509.load_pem_x509_certificate(issuing.encode()))
    tbs, algorithm, _ = children(read.public_bytes(Encoding.DER))
    version, serial, signature, issuer, validity, subject, spki, extensions = children(tbs)
    assert algorithm == signature
    assert 0 < read.serial_number < 2**159
    assert serial[0] == 2  # INTEGER
    return {
        "version": version.hex(),
        "signature": signature.hex(),
        "issuer": issuer.hex(),
        "lifetime": read.not_valid_after_utc - read.not_valid_before_utc,
        "times": [time[:2].hex() for time in children(validity)],
        "subject": subject.hex(),
        "spki": spki.hex(),
        "extensions": [_extension(tlv, read) for tlv in children(children(extensions)[0])],
    }


def _extension(tlv: bytes, read: x509.Certificate) -> Any:
    oid = children(tlv)[0]
    if oid != bytes.fromhex("060a2b06010401d679020402"):
        return tlv.hex()
    extension = read.extensions.get_extension_for_oid(_SCT_LIST)
    assert isinstance(extension.value, x509.PrecertificateSignedCertificateTimestamps)
    return [
        ("SCT", extension.critical, sct.version, sct.log_id.hex(), sct.entry_type, sct.extension_bytes,
         sct.signature_hash_algorithm.name, sct.signature_algorithm)
        for sct in extension.value
    ]  # fmt: skip


def children(tlv: bytes) -> list[bytes]:
    """The encodings inside a constructed one, or inside the OCTET STRING or context tag that wraps it (X.690 §8.1)."""
    _, start, _ = _header(tlv, 0)
    found, at = [], start
    while at < len(tlv):
        _, content, length = _header(tlv, at)
        found.append(tlv[at : content + length])
        at = content + length
    return found


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, where the content begins, and its length."""
    tag, length, content = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, content = int.from_bytes(data[content : content + size]), content + size
    return tag, content, length
