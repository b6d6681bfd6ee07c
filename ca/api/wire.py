"""The bodies that ask for a certificate: the v2 API's and the deprecated v1 API's.

The messages are those of Fulcio's `fulcio.proto` and `fulcio_legacy.proto`:
https://github.com/sigstore/fulcio/blob/main/fulcio.proto
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ca.api.protojson import Field, Message, Values, decode
from ca.errors import KeyUnparsable
from ca.proof.model import KeyMaterial, KeyWithProof, SigningRequestPEM


@dataclass(frozen=True, slots=True)
class SigningBody:
    """What a body asks for. None is what it leaves out or empty."""

    unverified_token: str | None = field(repr=False)
    """v1 carries the token in a header alone."""
    key_material: KeyMaterial | None = field(repr=False)


def parse_v2(body: bytes) -> SigningBody:
    """Read `dev.sigstore.fulcio.v2.CreateSigningCertificateRequest`. Raises MalformedRequest."""
    values = decode(body, _V2)
    token: str = values.get("credentials", {}).get("oidcIdentityToken", "")
    request: Values = values.get("publicKeyRequest", {})
    key: str = request.get("publicKey", {}).get("content", "")
    proof: bytes = request.get("proofOfPossession", b"")
    material = key_material(values.get("certificateSigningRequest", b""), KeyWithProof(key.encode(), proof))
    return SigningBody(token or None, material)


def parse_v1(body: bytes) -> SigningBody:
    """Read `dev.sigstore.fulcio.v1beta.CreateSigningCertificateRequest`.

    Raises MalformedRequest, and KeyUnparsable for a body without a key, which Fulcio asks for before the token here.
    """
    values = decode(body, _V1)
    if not values.get("certificateSigningRequest") and "publicKey" not in values:
        raise KeyUnparsable("the request has neither publicKey nor certificateSigningRequest")
    key: bytes = values.get("publicKey", {}).get("content", b"")
    proof: bytes = values.get("signedEmailAddress", b"")
    with_proof = KeyWithProof(key, proof, der_allowed=True)
    return SigningBody(None, key_material(values.get("certificateSigningRequest", b""), with_proof))


def key_material(csr: bytes, with_proof: KeyWithProof) -> KeyMaterial | None:
    """As in Fulcio a certificate request goes before a key, and an empty field is an absent one."""
    if csr:
        return SigningRequestPEM(csr)
    return with_proof if with_proof.unverified_key else None


def _message(**fields: Field) -> Message:
    """A message whose fields go by their name in the .proto file and by their JSON name."""
    return Message(fields | {field.name: field for field in fields.values()})


_KEY_ONEOF = "dev.sigstore.fulcio.v2.CreateSigningCertificateRequest.key"

_V2_CREDENTIALS = _message(
    oidc_identity_token=Field("oidcIdentityToken", "string", oneof="dev.sigstore.fulcio.v2.Credentials.credentials"),
)
_V2_PUBLIC_KEY = _message(
    algorithm=Field("algorithm", "enum"),
    content=Field("content", "string"),
)
_V2_PUBLIC_KEY_REQUEST = _message(
    public_key=Field("publicKey", _V2_PUBLIC_KEY),
    proof_of_possession=Field("proofOfPossession", "bytes"),
)
_V2 = _message(
    credentials=Field("credentials", _V2_CREDENTIALS),
    public_key_request=Field("publicKeyRequest", _V2_PUBLIC_KEY_REQUEST, oneof=_KEY_ONEOF),
    certificate_signing_request=Field("certificateSigningRequest", "bytes", oneof=_KEY_ONEOF),
)

_V1_PUBLIC_KEY = _message(
    algorithm=Field("algorithm", "string"),
    content=Field("content", "bytes"),
)
_V1 = _message(
    publicKey=Field("publicKey", _V1_PUBLIC_KEY),
    signedEmailAddress=Field("signedEmailAddress", "bytes"),
    certificateSigningRequest=Field("certificateSigningRequest", "bytes"),
)
