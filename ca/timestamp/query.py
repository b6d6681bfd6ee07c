"""What a client asks a timestamp authority: RFC 3161 §2.4.1 in DER, or the same in JSON, which sigstore-js sends."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Annotated, Any, Final

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ca.errors import TimestampRefused
from ca.timestamp.structures import AlgorithmIdentifier, MessageImprint, TimeStampReq

HASHES: Final = {
    "sha256": (ObjectIdentifier("2.16.840.1.101.3.4.2.1"), 32),
    "sha384": (ObjectIdentifier("2.16.840.1.101.3.4.2.2"), 48),
    "sha512": (ObjectIdentifier("2.16.840.1.101.3.4.2.3"), 64),
}
"""By the names of the JSON form: OID and bytes of a digest (RFC 5754 §2)."""
POLICY: Final = ObjectIdentifier("1.3.6.1.4.1.57264.2")
"""The policy of sigstore's timestamp authorities, and the only one here."""

_LENGTHS: Final = dict(HASHES.values())
_MAX_NONCE_BITS: Final = 512


@dataclass(frozen=True, slots=True)
class Query:
    """One digest that somebody wants to have existed now."""

    imprint: MessageImprint
    """As it was asked, since the answer repeats it (§2.4.2)."""
    nonce: int | None
    certificates: bool
    """Whether the answer shall carry the authority's certificate."""


def parse_der(content: bytes) -> Query:
    """Raises TimestampRefused."""
    try:
        request = asn1.decode_der(TimeStampReq, content)
    except ValueError as problem:
        raise TimestampRefused("the request is no DER TimeStampReq (RFC 3161 §2.4.1)") from problem
    if request.version != 1:
        raise TimestampRefused(f"its version is {request.version}; expected 1")
    if request.extensions:
        raise TimestampRefused("it has extensions, and none is understood here")
    return _checked(request.message_imprint, request.req_policy, request.nonce, certificates=request.cert_req)


def parse_json(content: bytes) -> Query:
    """Raises TimestampRefused."""
    try:
        request = _Request.model_validate(json.loads(content, parse_int=_integer))
        digest = b64decode(request.artifact_hash, validate=True)
        policy = ObjectIdentifier(request.tsa_policy_oid) if request.tsa_policy_oid else None
    except (ValidationError, RecursionError, binascii.Error, ValueError) as problem:
        raise TimestampRefused(
            "the request is no JSON object with artifactHash (base64) and hashAlgorithm, and perhaps nonce (an "
            "integer), certificates (true or false) and tsaPolicyOID"
        ) from problem
    if request.hash_algorithm.lower() not in HASHES:
        raise TimestampRefused(f"its hashAlgorithm is not {', '.join(HASHES)}")
    oid, _ = HASHES[request.hash_algorithm.lower()]
    # With NULL, as Go and OpenSSL write it.
    imprint = MessageImprint(
        hash_algorithm=AlgorithmIdentifier(algorithm=oid, parameters=asn1.Null()), hashed_message=digest
    )
    return _checked(imprint, policy, request.nonce, certificates=request.certificates)


class _Request(BaseModel):
    """As Go reads it: unknown members are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)

    artifact_hash: str
    hash_algorithm: str
    nonce: int | None = None
    certificates: bool = False
    tsa_policy_oid: Annotated[str, Field(alias="tsaPolicyOID")] = ""


def _integer(digits: str) -> Any:
    """Converting a number costs the square of its length."""
    if len(digits) > _MAX_NONCE_BITS // 3:
        raise ValueError("an integer is too long")
    return int(digits)


def _checked(
    imprint: MessageImprint, policy: ObjectIdentifier | None, nonce: int | None, *, certificates: bool
) -> Query:
    length = _LENGTHS.get(imprint.hash_algorithm.algorithm)
    if length is None:
        raise TimestampRefused(
            f"hash algorithm {imprint.hash_algorithm.algorithm.dotted_string} is not accepted; "
            f"expected {', '.join(HASHES)}"
        )
    if len(imprint.hashed_message) != length:
        raise TimestampRefused(f"the digest has {len(imprint.hashed_message)} bytes; one of its algorithm has {length}")
    if policy is not None and policy != POLICY:
        raise TimestampRefused(
            f"policy {policy.dotted_string} is not offered; ask for none or for {POLICY.dotted_string}"
        )
    if nonce is not None and nonce.bit_length() > _MAX_NONCE_BITS:
        raise TimestampRefused(f"the nonce has more than {_MAX_NONCE_BITS} bits")
    return Query(imprint, nonce, certificates)
