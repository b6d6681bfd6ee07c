"""What both servers are given alike: a CA, two issuers that are really there, and requests made beforehand."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.routing import Mount

from ca.dev.issuer import issuer_app
from ca.dev.tokens import IssuerKey, generate_issuer_key, identity_claims
from ca.keys.ceremony import write_ca
from tests.dev.server import listener, serving

PUBLIC_INSTANCE = Path(__file__).parents[1] / "vectors" / "fulcio-public-instance.yaml"
TOKEN_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class World:
    chain: Path
    key: Path
    identity_config: Path
    issuer: str
    """The URL above the two issuers."""
    issuer_key: IssuerKey


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Both issuers answer for as long as the context lasts."""
    key, socket = generate_issuer_key(), listener()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"

    def clock() -> datetime:
        return datetime.now(UTC)

    site = Starlette(routes=[Mount(f"/{name}", issuer_app(f"{url}/{name}", key, clock)) for name in ("email", "ci")])
    made = World(directory / "chain.pem", directory / "intermediate.key.pem", directory / "identity.yaml", url, key)
    write_ca(directory, "dayfly", "bench", clock())
    _write_identity_config(made)
    with serving(site, socket):
        yield made


def requests(world: World, numbers: Iterable[int]) -> Iterator[bytes]:
    """HTTP bodies and tokens as JSON lines, of a fresh key and a fresh token each: half people, half CI jobs.

    `numbers` tell them apart.
    """
    now = datetime.now(UTC)
    for n in numbers:
        email = f"person-{n}@example.com"
        if n % 2:
            claims, challenge = identity_claims(f"{world.issuer}/email", email, {}), email
        else:
            claims = github_claims(f"{world.issuer}/ci", n)
            challenge = str(claims["sub"])
        yield json.dumps(
            {"token": world.issuer_key.mint(claims, now, TOKEN_LIFETIME), "body": _body(challenge)}
        ).encode()


def _body(challenge: str) -> str:
    """What cosign sends."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    proof = base64.b64encode(key.sign(challenge.encode(), ec.ECDSA(SHA256()))).decode()
    request = {"publicKey": {"algorithm": "ECDSA", "content": pem}, "proofOfPossession": proof}
    return json.dumps({"publicKeyRequest": request})


def github_claims(issuer: str, n: int) -> dict[str, object]:
    """The claims of a GitHub Actions token, as long as they are there."""
    sha, workflow = f"{n:040x}", "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main"
    return {
        "iss": issuer,
        "aud": "sigstore",
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
        "jti": f"00000000-0000-4000-8000-{n:012d}",
        "ref": "refs/heads/main",
        "sha": sha,
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "repository_owner_id": "65",
        "repository_id": "74",
        "repository_visibility": "public",
        "run_id": f"{10_000_000_000 + n}",
        "run_number": f"{n}",
        "run_attempt": "1",
        "actor": "octocat",
        "actor_id": "12",
        "workflow": "Release",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "true",
        "ref_type": "branch",
        "workflow_ref": workflow,
        "workflow_sha": sha,
        "job_workflow_ref": workflow,
        "job_workflow_sha": sha,
        "runner_environment": "github-hosted",
    }


def _write_identity_config(world: World) -> None:
    """The public instance's templates for GitHub, on an issuer of ours."""
    templates = yaml.safe_load(PUBLIC_INSTANCE.read_text())["ci-issuer-metadata"]["github-workflow"]
    people = {"issuer-url": f"{world.issuer}/email", "client-id": "sigstore", "type": "email"}
    jobs = {"issuer-url": f"{world.issuer}/ci", "client-id": "sigstore"}
    jobs |= {"type": "ci-provider", "ci-provider": "github-workflow"}
    config = {
        "oidc-issuers": {people["issuer-url"]: people, jobs["issuer-url"]: jobs},
        "ci-issuer-metadata": {"github-workflow": templates},
    }
    world.identity_config.write_text(yaml.safe_dump(config))
