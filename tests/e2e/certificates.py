"""Taking a certificate's SCT apart, and certificates that are wrong in one thing and signed all the same."""

from __future__ import annotations

from datetime import UTC

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ca.ct.model import Precertificate
from ca.ct.rfc6962 import SCT
from tests.ct.pki import element, key_hash

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def embedded_sct(certificate: x509.Certificate) -> SCT:
    """The one that is in it."""
    (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    timestamp = int(sct.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
    signature = bytes([4, 3]) + len(sct.signature).to_bytes(2, "big") + sct.signature
    return SCT(sct.log_id, timestamp, sct.extension_bytes, signature)


def logged(chain: list[x509.Certificate]) -> Precertificate:
    """What the SCT in a certificate is over."""
    ders = tuple(certificate.public_bytes(Encoding.DER) for certificate in chain[1:])
    return Precertificate(
        b"", chain[0].tbs_precertificate_bytes, key_hash(chain[1].public_key()), ders, chain[0].not_valid_after_utc
    )


def signed(tbs: bytes, key: EllipticCurvePrivateKey) -> x509.Certificate:
    """The certificate of a TBSCertificate that names ecdsa-with-SHA256."""
    signature = key.sign(tbs, ECDSA(SHA256()))
    return x509.load_der_x509_certificate(
        element(b"\x30", tbs + ECDSA_WITH_SHA256 + element(b"\x03", b"\0" + signature))
    )


def replaced(
    certificate: x509.Certificate, part: bytes, other: bytes, key: EllipticCurvePrivateKey
) -> x509.Certificate:
    """The same with `other`, of the same length, for a `part` that is in it once, and signed again."""
    tbs = certificate.tbs_certificate_bytes
    assert tbs.count(part) == 1
    assert len(part) == len(other)
    return signed(tbs.replace(part, other), key)


def flipped(part: bytes) -> bytes:
    """With its last bit the other way round."""
    return part[:-1] + bytes([part[-1] ^ 1])
