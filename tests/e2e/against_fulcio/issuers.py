"""One identity provider on loopback that is every issuer both servers trust, and signs whatever a case needs."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.dev.server import listener, serving
from tests.identity.vectors import VECTORS

PUBLIC_INSTANCE = yaml.safe_load((VECTORS / "fulcio-public-instance.yaml").read_text())

ISSUERS: dict[str, dict[str, Any]] = {
    "email": {"type": "email"},
    "dex": {"type": "email", "issuer-claim": "$.federated_claims.connector_id"},
    "unverified": {"type": "email", "skip-email-verification": True},
    "uri": {"type": "uri", "subject-domain": "http://127.0.0.1"},
    "username": {"type": "username", "subject-domain": "127.0.0.1"},
    "spiffe": {"type": "spiffe", "spiffe-trust-domain": "foo.com"},
    "kubernetes": {"type": "kubernetes"},
    "chainguard": {"type": "chainguard-identity"},
    "github": {"type": "ci-provider", "ci-provider": "github-workflow"},
    "advertised": {"type": "buildkite-job", "challenge-claim": "email"},
    "audience": {"type": "email", "client-id": "another-audience"},
    "rs256-only": {"type": "email"},
}
"""By the path of the issuer's URL; the audience is `sigstore` where nothing else is said."""

WILDCARDS: dict[str, dict[str, Any]] = {
    "clusters/*": {"type": "kubernetes"},
    "organizations/*/jobs": {"type": "ci-provider", "ci-provider": "github-workflow"},
}


@dataclass(frozen=True)
class Issuers:
    """The provider, and what signs its tokens."""

    url: str
    rsa: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "rsa"}))
    ec: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "ec"}))
    ed: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519", {"kid": "ed"}))

    def issuer(self, path: str) -> str:
        return f"{self.url}/{path}"

    def token(
        self,
        path: str = "email",
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        payload: bytes | None = None,
    ) -> str:
        """A token with the usual claims and these; `...` leaves one out. `payload` stands for all claims."""
        now = int(time.time())
        usual = {"iss": self.issuer(path), "aud": "sigstore", "iat": now, "exp": now + 300}
        chosen = {name: value for name, value in {**usual, **(claims or {})}.items() if value is not ...}
        fields = {
            name: value for name, value in {"alg": "RS256", "kid": "rsa", **(header or {})}.items() if value is not ...
        }
        signed = f"{base64url(json.dumps(fields).encode())}.{base64url(payload or json.dumps(chosen).encode())}"
        return f"{signed}.{base64url(self._sign(fields['alg'], signed.encode()))}"

    def _sign(self, algorithm: str, message: bytes) -> bytes:
        match algorithm:
            case "ES256":
                private: ec.EllipticCurvePrivateKey = self.ec.private_key
                r, s = utils.decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))
                return r.to_bytes(32) + s.to_bytes(32)
            case "EdDSA":
                signing: ed25519.Ed25519PrivateKey = self.ed.private_key
                return signing.sign(message)
            case "none":
                return b""
            case "PS256":
                pss = padding.PSS(padding.MGF1(SHA256()), 32)
                return self._rsa().sign(message, pss, SHA256())
            case _:
                return self._rsa().sign(message, padding.PKCS1v15(), SHA256())

    def _rsa(self) -> rsa.RSAPrivateKey:
        return self.rsa.private_key

    async def discovery(self, request: Request) -> JSONResponse:
        path = request.path_params["path"]
        algorithms = ["RS256"] if path == "rs256-only" else ["RS256", "ES256", "EdDSA", "PS256"]
        issuer = self.issuer(path)
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/auth",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{self.url}/jwks",
                "id_token_signing_alg_values_supported": algorithms,
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
            }
        )

    async def jwks(self, _request: Request) -> JSONResponse:
        return JSONResponse({"keys": [key.as_dict(private=False) for key in (self.rsa, self.ec, self.ed)]})


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def serving_issuers() -> Iterator[Issuers]:
    socket = listener()
    issuers = Issuers(f"http://127.0.0.1:{socket.getsockname()[1]}")
    app = Starlette(
        routes=[
            Route("/jwks", issuers.jwks),
            Route("/{path:path}/.well-known/openid-configuration", issuers.discovery),
        ]
    )
    with serving(app, socket):
        yield issuers


def write_identity_configuration(issuers: Issuers, more: Mapping[str, Mapping[str, Any]], file: Path) -> Path:
    """One file that both servers read: the issuers on loopback, the CI metadata of the public instance."""

    def entries(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {
            issuers.issuer(path): {"issuer-url": issuers.issuer(path), "client-id": "sigstore", **fields}
            for path, fields in paths.items()
        }

    dead = "http://127.0.0.1:9/dead"  # nobody listens on the discard port
    configuration = {
        "oidc-issuers": {
            **entries({**ISSUERS, **more}),
            dead: {"issuer-url": dead, "client-id": "sigstore", "type": "email"},
        },
        "meta-issuers": {
            pattern: {key: value for key, value in entry.items() if key != "issuer-url"}
            for pattern, entry in entries(WILDCARDS).items()
        },
        "ci-issuer-metadata": PUBLIC_INSTANCE["ci-issuer-metadata"],
    }
    file.write_text(yaml.safe_dump(configuration))
    return file
