"""A PKCS#10 request (RFC 2986) as a proof of possession.

Of the request the key counts, its signature and the hash of that signature. Subject, extensions and
attributes are not looked at: whom a certificate names is the identity token's to say.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from ca.errors import AlgorithmUnknown, CSRUnparsable, KeyWeak, ProofFailed
from ca.proof import pem
from ca.proof.algorithms import Hash
from ca.proof.parse import ParsedKey, certifiable

_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})
_EXPECTED = "send a PKCS#10 request in PEM (`CERTIFICATE REQUEST`)"

_HASHES = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: Hash.SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: Hash.SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: Hash.SHA512,
    SignatureAlgorithmOID.RSA_WITH_SHA256: Hash.SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384: Hash.SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512: Hash.SHA512,
    SignatureAlgorithmOID.ED25519: Hash.NONE,
}

_SHA1 = {
    SignatureAlgorithmOID.RSA_WITH_SHA1: "SHA1-RSA",
    SignatureAlgorithmOID.ECDSA_WITH_SHA1: "ECDSA-SHA1",
}
_USABLE = "sign with ECDSA or RSA PKCS#1 v1.5 and SHA-256, SHA-384 or SHA-512, or with Ed25519"

_GO_KEY_TYPES = frozenset(
    {
        PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
        PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        PublicKeyAlgorithmOID.ED25519,
        PublicKeyAlgorithmOID.DSA,
    }
)


def parse_csr(unverified_csr: bytes) -> x509.CertificateSigningRequest:
    """Read the first PEM block. Raises CSRUnparsable."""
    block = pem.first_block(unverified_csr)
    if block is None:
        raise CSRUnparsable(f"{pem.what_it_is(unverified_csr)}; {_EXPECTED}")
    if block.label not in _LABELS:
        raise CSRUnparsable(f"the PEM block is a {block.quoted_label}, not a certificate request; {_EXPECTED}")
    try:
        return x509.load_der_x509_csr(block.der)
    except (ValueError, x509.InvalidVersion) as error:
        raise CSRUnparsable(f"not the DER of a certificate request; {_EXPECTED}") from error


def key_of(csr: x509.CertificateSigningRequest) -> ParsedKey:
    """The key to certify.

    Raises CSRUnparsable, and KeyWeak for a type of key that Go does not know: Fulcio calls such a key
    insecure, whereas a broken key of a known type breaks the whole request.
    """
    try:
        public_key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable_key(csr) from error
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = certifiable(public_key, spki)
    # The canonical encoding is the only one taken (see `ca.proof.parse`), so the request contains it.
    if key is None or spki not in csr.tbs_certrequest_bytes:
        raise _unusable_key(csr)
    return key


def verify(csr: x509.CertificateSigningRequest) -> Hash:
    """Check the signature with the request's own key, and say which hash it was made with.

    Raises ProofFailed, and AlgorithmUnknown for an algorithm that Go checks and Fulcio then refuses.
    """
    algorithm = csr.signature_algorithm_oid
    if name := _SHA1.get(algorithm):  # pyca/cryptography does not check these
        raise AlgorithmUnknown(f"{name}; {_USABLE}")
    try:
        valid = csr.is_signature_valid
    except UnsupportedAlgorithm:
        valid = False
    if not valid:
        raise ProofFailed("the certificate request is not signed by the key in it")
    if hash_ := _HASHES.get(algorithm):
        return hash_
    if algorithm == SignatureAlgorithmOID.RSASSA_PSS and csr.signature_hash_algorithm:
        raise AlgorithmUnknown(f"{csr.signature_hash_algorithm.name.upper()}-RSAPSS; {_USABLE}")
    raise ProofFailed(f"signatures of algorithm {algorithm.dotted_string} are not accepted; {_USABLE}")


def _unusable_key(csr: x509.CertificateSigningRequest) -> CSRUnparsable | KeyWeak:
    if csr.public_key_algorithm_oid in _GO_KEY_TYPES:  # type: ignore[attr-defined]  # missing from the stubs
        return CSRUnparsable("its public key is broken, not canonical DER, or on an unsupported curve")
    return KeyWeak("unsupported public key type; use P-256, P-384, P-521, RSA or Ed25519")
