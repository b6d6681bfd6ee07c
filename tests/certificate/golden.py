"""Certificates for other people's linters and verifiers, checked in under tests/vectors/golden.

`python -m tests.certificate.golden` makes them anew, with new keys: needed only when the profile changes.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ca.certificate.chain import Chain, certificate_pem
from ca.certificate.profile import Draft, Profile, assemble
from ca.ct.rfc6962 import SCT, precert_signature_input, sct_list
from ca.identity.model import EmailName, Identity, URIName, UserName
from ca.keys.ceremony import create_intermediate, create_root
from ca.keys.local import LocalKey
from ca.proof.model import ProvenKey
from tests.certificate.pki import GITHUB, private_key

DIRECTORY = Path(__file__).parent.parent / "vectors/golden"
NOW = datetime(2026, 11, 3, 12, 30, 15, tzinfo=UTC)

GOLDEN = {
    "email": (Identity("https://accounts.google.com", "1234567890", EmailName("ada.lovelace@gmail.com"), "x"), "P-256"),
    "uri": (Identity("https://gitlab.com", "project_path:a/b", URIName("https://gitlab.com/a/b"), "x"), "P-384"),
    "spiffe": (Identity("https://oidc.example.com", "spiffe://example.com/a", URIName("spiffe://example.com/a"), "x"), "P-521"),
    "username": (Identity("https://oidc.example.com", "ada", UserName("ada!example.com"), "x"), "RSA-2048"),
    "github": (GITHUB, "Ed25519"),
    "no-subject": (replace(GITHUB, subject=""), "P-256"),
}  # fmt: skip


def draft(name: str, chain: Chain) -> Draft:
    identity, _ = GOLDEN[name]
    key = load_pem_public_key((DIRECTORY / f"{name}.key.pub.pem").read_bytes())
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    serial = int.from_bytes(hashlib.sha1(name.encode()).digest()) >> 1
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return Profile().draft(identity, ProvenKey(key, spki, "any"), chain, algorithm, serial, NOW)


def read_chain() -> Chain:
    return Chain.parse((DIRECTORY / "chain.pem").read_bytes())


def read(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((DIRECTORY / f"{name}.pem").read_bytes())


async def make() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    root = create_root("Dayfly golden certificates", "dayfly", NOW)
    intermediate = create_intermediate(root, "Dayfly golden certificates", "dayfly-intermediate", NOW)
    chain = Chain.of([intermediate.certificate, root.certificate])
    (DIRECTORY / "chain.pem").write_text("".join(chain.pems))
    log_key = ec.generate_private_key(ec.SECP256R1())
    (DIRECTORY / "ctlog.pub.pem").write_bytes(pem(log_key.public_key()))
    signing_key = LocalKey.of(intermediate.private_key)
    for name, (_, kind) in GOLDEN.items():
        (DIRECTORY / f"{name}.key.pub.pem").write_bytes(pem(private_key(kind).public_key()))
        made = draft(name, chain)
        for suffix, tbs in {
            ".precertificate": made.precertificate_tbs(),
            "": made.certificate_tbs(sct_list([stamp(made, chain, log_key)])),
        }.items():
            certificate = assemble(tbs, signing_key.signature_algorithm, await signing_key.sign(tbs))
            (DIRECTORY / f"{name}{suffix}.pem").write_text(certificate_pem(certificate))


def stamp(made: Draft, chain: Chain, log_key: ec.EllipticCurvePrivateKey) -> SCT:
    spki = log_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    unsigned = SCT(hashlib.sha256(spki).digest(), int(NOW.timestamp() * 1000), b"", b"")
    signature = log_key.sign(
        precert_signature_input(unsigned, made.clean_tbs, chain.issuer_key_hash), ec.ECDSA(SHA256())
    )
    return replace(unsigned, signature=b"\4\3" + len(signature).to_bytes(2, "big") + signature)


def pem(key) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


if __name__ == "__main__":
    asyncio.run(make())
