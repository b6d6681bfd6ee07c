"""A whole CA on loopback, composed as `dayfly serve` composes it, with identity providers beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount

from ca.beside import reserved
from ca.config import ServerSettings
from ca.dev.issuer import issuer_app
from ca.dev.tokens import IssuerKey, generate_issuer_key
from ca.keys.ceremony import write_ca
from ca.main import ca_application, clock
from ca.server import Worker
from tests.dev.server import listener, serving

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
METADATA = yaml.safe_load((Path(__file__).parents[1] / "vectors/fulcio-public-instance.yaml").read_text())
TYPES: dict[str, dict[str, str]] = {
    "email": {"type": "email"},
    "github": {"type": "ci-provider", "ci-provider": "github-workflow"},
    "kubernetes": {"type": "kubernetes"},
    "username": {"type": "username", "subject-domain": "127.0.0.1"},
    "uri": {"type": "uri", "subject-domain": "http://127.0.0.1"},
    "spiffe": {"type": "spiffe", "spiffe-trust-domain": "example.org"},
}


@dataclass
class CA:
    """A running CA, and what a client needs to ask it."""

    client: httpx.Client
    issuers: str
    key: IssuerKey
    directory: Path
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    rpc: str = "none"
    """Where it listens for gRPC."""

    def figure(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where nothing was counted yet."""
        return self.registry.get_sample_value(f"dayfly_{name}", labels) or 0.0

    @property
    def final_signatures(self) -> float:
        return self.figure("step_seconds_count", step="certificate")

    def issuer(self, kind: str) -> str:
        return f"{self.issuers}/{kind}"

    def token(self, kind: str = "email", **claims: Any) -> str:
        """A token of the issuer of that kind; a claim of None is left out."""
        defaults: dict[str, Any] = {"iss": self.issuer(kind), "aud": "sigstore", "sub": "ada@example.com"}
        if kind == "email":
            defaults |= {"email": "ada@example.com", "email_verified": True}
        chosen = {name: value for name, value in (defaults | claims).items() if value is not None}
        return self.key.mint(chosen, clock())

    def sign(self, body: Any, version: int = 2, **headers: str) -> httpx.Response:
        return self.client.post(f"/api/v{version}/signingCert", json=body, headers=headers)

    def ask(
        self, token: str | None = None, challenge: str = "ada@example.com", key: PrivateKey | None = None
    ) -> httpx.Response:
        """The usual request: v2, the token in the body."""
        return self.sign(body(token if token is not None else self.token(), challenge, key))


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def proof(key: PrivateKey, challenge: str) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}.get(
                key.key_size, hashes.SHA256()
            )
            signature = key.sign(challenge.encode(), ec.ECDSA(digest))
        case rsa.RSAPrivateKey():
            signature = key.sign(challenge.encode(), PKCS1v15(), hashes.SHA256())
        case _:
            signature = key.sign(challenge.encode())
    return base64.b64encode(signature).decode()


def key_request(challenge: str, key: PrivateKey | None = None) -> dict[str, Any]:
    key = key or p256()
    return {"publicKey": {"algorithm": "ECDSA", "content": pem(key)}, "proofOfPossession": proof(key, challenge)}


def body(token: str, challenge: str = "ada@example.com", key: PrivateKey | None = None) -> dict[str, Any]:
    return {"credentials": {"oidcIdentityToken": token}, "publicKeyRequest": key_request(challenge, key)}


def csr(key: PrivateKey | None = None) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key or p256(), hashes.SHA256())  # type: ignore[arg-type]
    return base64.b64encode(request.public_bytes(Encoding.PEM)).decode()


def leaf(answer: httpx.Response) -> x509.Certificate:
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    signed = reply.get("signedCertificateEmbeddedSct") or reply["signedCertificateDetachedSct"]
    return x509.load_pem_x509_certificate(signed["chain"]["certificates"][0].encode())


def fulcio_extension(certificate: x509.Certificate, number: int) -> bytes:
    oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
    value = certificate.extensions.get_extension_for_oid(oid).value
    assert isinstance(value, x509.UnrecognizedExtension)
    return value.value


@contextmanager
def running_ca(
    directory: Path,
    ct: dict[str, Any] | None = None,
    http: dict[str, Any] | None = None,
    *,
    more_issuers: dict[str, dict[str, str]] | None = None,
    limits: dict[str, Any] | None = None,
    guards: dict[str, str] | None = None,
    named: bool = True,
    grpc: dict[str, Any] | None = None,
) -> Iterator[CA]:
    """A CA whose files are in `directory`; the log of `ct`, else none. `named` if it says how clients reach it.

    `guards` has the token guards of kinds of issuers.
    """
    issuers_socket, ca_socket = listener(), listener()
    issuers = f"http://127.0.0.1:{issuers_socket.getsockname()[1]}"
    url = f"http://127.0.0.1:{ca_socket.getsockname()[1]}"
    key, registry = generate_issuer_key(), CollectorRegistry()
    apps = [Mount(f"/{kind}", issuer_app(f"{issuers}/{kind}", key, clock)) for kind in TYPES]
    identity = {
        "oidc-issuers": {
            f"{issuers}/{kind}": {"issuer-url": f"{issuers}/{kind}", "client-id": "sigstore", **fields}
            | ({"token-guard": guards[kind]} if guards and kind in guards else {})
            for kind, fields in TYPES.items()
        }
        | {dead: {"issuer-url": dead, "client-id": "sigstore", "type": "email"} for dead in [DEAD_ISSUER]}
        | (more_issuers or {}),
        "ci-issuer-metadata": METADATA["ci-issuer-metadata"],
    }
    (directory / "identity.yaml").write_text(yaml.safe_dump(identity))
    if not (directory / "ca").exists():
        write_ca(directory / "ca", "Dayfly tests", "Dayfly tests", clock())
    settings = ServerSettings.model_validate(
        {
            "identity-config": directory / "identity.yaml",
            "ca": {"cert": directory / "ca/chain.pem", "key": directory / "ca/intermediate.key.pem"},
            "ct": ct or {"log": "none"},
            "data": directory,
            "http": http or {},
            "grpc": grpc or {},
            "limits": limits or {},
            "trust": {"url": url} if named else {},
            "timestamp": {
                "chain": directory / "ca/timestamp-chain.pem",
                "key": directory / "ca/timestamp.key.pem",
            },
        }
    )
    with (
        reserved(settings) as settings,
        serving(Starlette(routes=apps), issuers_socket),
        serving(Worker(partial(ca_application, settings, None), settings.log, registry), ca_socket, lifespan="on"),
        httpx.Client(base_url=url) as client,
    ):
        yield CA(client, issuers, key, directory, registry, settings.grpc.listen)


DEAD_ISSUER = "http://127.0.0.1:9/dead"
"""Nobody listens on the discard port."""
