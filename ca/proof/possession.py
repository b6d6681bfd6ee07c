"""From what a client says about its key to a key that it has proven to hold."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ca.errors import AlgorithmNotPermitted, KeyBlocked, ProofFailed
from ca.proof import csr as pkcs10
from ca.proof.algorithms import DEFAULT_BY_KIND, KeyKind
from ca.proof.model import KeyMaterial, KeyWithProof, ProvenKey, PublicKey, SigningRequestPEM
from ca.proof.parse import ParsedKey, parse_key
from ca.proof.policy import KeyPolicy
from ca.proof.weak import strong_kind

_ECDSA = {
    KeyKind.P256: ec.ECDSA(hashes.SHA256()),
    KeyKind.P384: ec.ECDSA(hashes.SHA384()),
    KeyKind.P521: ec.ECDSA(hashes.SHA512()),
}
_PKCS1V15 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()


def prove(material: KeyMaterial, challenge: str, policy: KeyPolicy) -> ProvenKey:
    """Check the key, and the proof that whoever sent it holds it. `challenge` is what the proof signs; pure.

    The checks are made in Fulcio's order, so that the same request meets the same refusal.

    Raises KeyUnparsable or CSRUnparsable, KeyWeak, KeyBlocked, ProofFailed, AlgorithmUnknown,
    AlgorithmNotPermitted.
    """
    match material:
        case SigningRequestPEM(unverified_csr):
            csr = pkcs10.parse_csr(unverified_csr)
            key = pkcs10.key_of(csr)
            kind = _acceptable(key, policy)
            hash_ = pkcs10.verify(csr)
        case KeyWithProof(unverified_proof=proof):
            key = parse_key(material)
            kind = _acceptable(key, policy)
            hash_ = DEFAULT_BY_KIND[kind].hash
            verify_proof(key.public_key, kind, proof, challenge.encode())
    name = policy.permitted.get((kind, hash_))
    if name is None:
        raise AlgorithmNotPermitted(f"{_go_type(kind)}, {hash_}; permitted are {', '.join(policy.names)}")
    return ProvenKey(key.public_key, key.spki, name)


def _acceptable(key: ParsedKey, policy: KeyPolicy) -> KeyKind:
    kind = strong_kind(key.public_key)
    if policy.blocked_spki_sha256 and hashlib.sha256(key.spki).digest() in policy.blocked_spki_sha256:
        raise KeyBlocked("the operator has blocked this key; make a new one")
    return kind


def verify_proof(public_key: PublicKey, kind: KeyKind, unverified_proof: bytes, message: bytes) -> None:
    """Check a signature made in the way a key of this kind signs a challenge. Raises ProofFailed."""
    try:
        match public_key:
            case ec.EllipticCurvePublicKey():
                public_key.verify(_in_der(unverified_proof, public_key.key_size), message, _ECDSA[kind])
            case rsa.RSAPublicKey():
                public_key.verify(unverified_proof, message, _PKCS1V15, _SHA256)
            case _:
                public_key.verify(unverified_proof, message)
    except InvalidSignature as error:
        raise ProofFailed(_proof_expected(kind, unverified_proof)) from error


def _in_der(unverified_proof: bytes, key_size: int) -> bytes:
    """As in Fulcio r and s may also come one after the other (IEEE P1363), which is how browsers sign."""
    half = (key_size + 7) // 8
    if len(unverified_proof) != 2 * half:
        return unverified_proof
    try:
        decode_dss_signature(unverified_proof)
    except ValueError:
        r, s = unverified_proof[:half], unverified_proof[half:]
        return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    return unverified_proof


def _proof_expected(kind: KeyKind, unverified_proof: bytes) -> str:
    """Most failures are the wrong claim, the wrong hash, or a raw signature where DER is expected."""
    wrong = "it does not verify with the public key sent" if unverified_proof else "it is empty"
    match kind:
        case KeyKind.P256 | KeyKind.P384 | KeyKind.P521:
            form = f"ECDSA with {DEFAULT_BY_KIND[kind].hash} in ASN.1 DER or IEEE P1363 form"
        case KeyKind.ED25519:
            form = "PureEd25519"
        case _:
            form = "RSA PKCS#1 v1.5 with SHA-256"
    return (
        f"{wrong}; for a {kind} key it has to be {form}, over the UTF-8 bytes of the identity token's"
        " challenge claim (`email` for an issuer of type email, else `sub`)"
    )


def _go_type(kind: KeyKind) -> str:
    match kind:
        case KeyKind.P256 | KeyKind.P384 | KeyKind.P521:
            return "*ecdsa.PublicKey"
        case KeyKind.ED25519:
            return "ed25519.PublicKey"
        case _:
            return "*rsa.PublicKey"
