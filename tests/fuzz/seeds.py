"""Where the fuzzers begin: the vectors of this directory's neighbours, and honest examples of everything."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.dev.tokens import generate_issuer_key
from ca.main import clock
from tests.api.server import PrivateKey, p256, proof

VECTORS = Path(__file__).parents[1] / "vectors"
CHALLENGE = "ada@example.com"


def _load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def tokens() -> Iterator[bytes]:
    claims = {"iss": "https://issuer.example.org", "aud": "sigstore", "sub": "ada", "email": CHALLENGE, "x": [1, {}]}
    yield generate_issuer_key().mint(claims, clock()).encode()
    for group in _load("wycheproof/json_web_signature_test.json")["testGroups"]:
        for test in group["tests"]:
            if isinstance(test["jws"], str):
                yield test["jws"].encode()


def json_texts() -> Iterator[bytes]:
    yield from (
        b"{}",
        b"[1e5,-0.1,null,true]",
        b'{"a":"\\u00e9\\ud83d\\ude00","b":{"c":[[]]}}',
        b"1E400",
        b'"\\ud800"',
        b"NaN",
    )
    yield from key_sets()


def key_sets() -> Iterator[bytes]:
    yield json.dumps(generate_issuer_key().jwks()).encode()
    for group in _load("wycheproof/json_web_key_test.json")["testGroups"]:
        for name in ("public", "private"):
            if name in group:
                yield json.dumps({"keys": group[name].get("keys", [group[name]])}).encode()


@cache
def _keys() -> tuple[PrivateKey, ...]:
    return (p256(), ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048))


def csrs() -> Iterator[bytes]:
    for key in _keys():
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, CHALLENGE)])
        alternative = x509.SubjectAlternativeName([x509.RFC822Name(CHALLENGE)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(alternative, critical=True)
        yield builder.sign(key, digest).public_bytes(Encoding.PEM)


def keys() -> Iterator[bytes]:
    for key in _keys():
        signature = base64.b64decode(proof(key, CHALLENGE))
        for encoding in (Encoding.PEM, Encoding.DER):
            yield key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo) + signature
    public = _keys()[-1].public_key()
    yield public.public_bytes(Encoding.PEM, PublicFormat.PKCS1) + bytes(64)


def templates() -> Iterator[bytes]:
    for group in _load("go-template.json"):
        for case in group["cases"]:
            yield case["template"].encode()


def identity_configs() -> Iterator[bytes]:
    yield (VECTORS / "fulcio-public-instance.yaml").read_bytes()
    yield b"""\
oidc-issuers:
  https://a.example.org: &a {issuer-url: https://a.example.org, client-id: 0123, type: email}
  https://b.example.org: {<<: *a, issuer-url: https://b.example.org, enabled: false, algorithms: [ES256]}
meta-issuers:
  https://*.c.example.org/id/*: {client-id: sigstore, type: kubernetes, token-guard: per-key, network: private}
"""


def json_configs() -> Iterator[bytes]:
    yield json.dumps(
        {
            "OIDCIssuers": {
                "https://a.example.org": {"IssuerURL": "https://a.example.org", "ClientID": "sigstore", "Type": "email"}
            },
            "MetaIssuers": {
                "https://*.example.org": {"ClientID": "sigstore", "Type": "spiffe", "SPIFFETrustDomain": "a.b"}
            },
        }
    ).encode()


def urls() -> Iterator[bytes]:
    yield from (case["url"].encode("utf-8", "surrogateescape") for case in _load("go-url.json"))


def bodies() -> Iterator[bytes]:
    for case in _load("protojson.json"):
        yield case["body"].encode() if "body" in case else base64.b64decode(case["body_base64"])


def promises() -> Iterator[bytes]:
    yield (
        b'{"sct_version":0,"id":"%s","timestamp":1795000000123,"extensions":"AAAFAAAAAAE=","signature":"BAMAAQA="}'
        % (base64.b64encode(bytes(32)))
    )
    yield bytes.fromhex("00000500000000ff")
    yield from (bytes.fromhex(entry["sct"]) for entry in _load("ct/ct.json")["entries"])


def tiles() -> Iterator[bytes]:
    vectors = _load("ct/ct.json")
    yield from (bytes.fromhex(entry["tile_leaf"]) for entry in vectors["entries"])
    yield from (case["path"].encode() for case in vectors["tile_paths"])


def checkpoints() -> Iterator[bytes]:
    vectors = _load("ct/ct.json")
    for case in vectors["checkpoints"]:
        yield case["signed"].encode()
        yield case["vkey"].encode()
    yield from (case["text"].encode() for case in vectors["tlog_proofs"])


def _golden(name: str) -> list[bytes]:
    pem = (VECTORS / "golden" / name).read_bytes()
    return [certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(pem)]


def roots() -> bytes:
    return (VECTORS / "golden/chain.pem").read_bytes()


def chains() -> Iterator[bytes]:
    above = _golden("chain.pem")
    for kind in ("email", "github", "spiffe"):
        for name in (f"{kind}.pem", f"{kind}.precertificate.pem"):
            yield b"\0\0\0\0".join([*_golden(name), *above])


def timestamps() -> Iterator[bytes]:
    yield b'{"artifactHash":"%s","hashAlgorithm":"sha256","nonce":7,"certificates":true,"tsaPolicyOID":"1.2.3"}' % (
        base64.b64encode(bytes(32))
    )
    # What `openssl ts -query -sha256 -cert` writes, nonce and policy in it.
    imprint = "3031300d060960864801650304020105000420" + "00" * 32
    for further in ("", "0101ff", "0202" + "0102" + "0101ff"):
        content = bytes.fromhex("020101" + imprint + further)
        yield b"\x30" + bytes([len(content)]) + content
