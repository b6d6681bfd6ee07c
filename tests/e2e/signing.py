"""The bodies that clients send to the CA, with a fresh key each."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

EMAIL = "ada@example.com"


class Signer:
    """A client's key and its proof of possession: a signature over the token's e-mail address."""

    def __init__(self, email: str = EMAIL) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._proof = self._key.sign(email.encode(), ec.ECDSA(SHA256()))

    def public_key(self, encoding: Encoding) -> bytes:
        return self._key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    def cosign_3(self) -> dict[str, Any]:
        """`sigstore-go` to `/api/v2/signingCert`."""
        return {
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.public_key(Encoding.PEM).decode()},
                "proofOfPossession": _base64(self._proof),
            }
        }

    def sigstore_js(self, token: str) -> dict[str, Any]:
        """The same with the token in the body and in no header."""
        return {"credentials": {"oidcIdentityToken": token}, **self.cosign_3()}

    def cosign_2(self) -> dict[str, Any]:
        """`fulcio/pkg/api` to `/api/v1/signingCert`, the key in PEM."""
        return {
            "publicKey": {"content": _base64(self.public_key(Encoding.PEM))},
            "signedEmailAddress": _base64(self._proof),
            "certificateSigningRequest": None,
        }

    def gitsign(self) -> dict[str, Any]:
        """The same path, the key in DER."""
        return {
            "publicKey": {"content": _base64(self.public_key(Encoding.DER)), "algorithm": "ecdsa"},
            "signedEmailAddress": _base64(self._proof),
            "certificateSigningRequest": None,
        }


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
