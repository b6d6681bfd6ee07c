"""An issuer that wants to be spoken to as Kubernetes' API server does: a CA of its own, and a token."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from ca.documents import parse
from ca.errors import IssuerUnavailable
from ca.oidc.identity_config import read_identity_config
from ca.oidc.issuer_keys import IssuerKeyCache
from ca.oidc.registry import IssuerRegistry
from ca.oidc.verifier import TokenVerifier
from tests.oidc import provider as misbehaving
from tests.oidc.internet import LocalInternet
from tests.oidc.pki import self_signed
from tests.oidc.provider import NOW, Provider
from tests.oidc.trusting import metrics, trusted

pytestmark = pytest.mark.anyio

HOST = "kubernetes.default.svc"
SERVICE_ACCOUNT = "secrets/kubernetes.io/serviceaccount"
CLAIMS = {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "u"}, "pod": {"name": "p"}}}


def asked(provider: Provider) -> list[str | None]:
    """Wrap the provider so that it wants a token; returns the tokens that it was shown."""
    shown: list[str | None] = []

    async def wanting(itself, request):
        shown.append(request.headers.get("authorization"))
        document = "jwks" if request.url.path.endswith("jwks") else "discovery"
        itself.misbehave(document, None)
        answer = await itself.answer(document, request)
        itself.misbehave(document, wanting)
        itself.fetches[document] -= 1
        return answer if shown[-1] else await misbehaving.status(401)(itself, request)

    for document in ("discovery", "jwks"):
        provider.misbehave(document, wanting)
    return shown


@pytest.fixture
def pod(tmp_path):
    directory = tmp_path / "run" / SERVICE_ACCOUNT
    directory.mkdir(parents=True)
    (directory / "token").write_text("first\n")
    return tmp_path / "run"


@pytest.fixture
def cluster(tmp_path, pod):
    tls = self_signed(tmp_path, host=HOST)
    (pod / SERVICE_ACCOUNT / "ca.crt").write_text(tls[0].read_text())
    with Provider(algorithm="ES256", tls=tls) as provider:
        provider.port = provider._socket.getsockname()[1]
        provider.issuer = f"https://{HOST}"
        yield provider


async def test_fulcios_configuration_of_the_clusters_issuer_works_in_a_pod(cluster, pod):
    shown = asked(cluster)
    text = f"oidc-issuers:\n  https://{HOST}:\n    issuer-url: https://{HOST}\n    client-id: sigstore\n    type: kubernetes\n"
    issuers = read_identity_config(parse(text, "identity.yaml", text_only=True), pod)
    internet = LocalInternet({HOST: [["10.96.0.1"]]}, {"10.96.0.1": cluster.port})
    tokens = TokenVerifier(IssuerRegistry(issuers), metrics(), internet)
    assert await tokens.verify(cluster.token(**CLAIMS), NOW)
    (pod / SERVICE_ACCOUNT / "token").write_text("second\n")
    cluster.rotate()
    assert await tokens.verify(cluster.token(**CLAIMS), NOW + timedelta(seconds=1))
    assert shown == ["Bearer first"] * 2 + ["Bearer second"] * 2
    await tokens.aclose()


@pytest.fixture
def entry(cluster, pod):
    directory = pod / SERVICE_ACCOUNT
    return trusted(
        cluster.issuer,
        network="private",
        ca_cert_file=str(directory / "ca.crt"),
        bearer_token_file=str(directory / "token"),
    )


@asynccontextmanager
async def cache(cluster, **others):
    ports = {"10.96.0.1": cluster.port, "10.0.0.9": others.get("port", 0)}
    keys = IssuerKeyCache(metrics(), LocalInternet({HOST: [["10.96.0.1"]], "other.svc": [["10.0.0.9"]]}, ports))
    try:
        yield keys
    finally:
        await keys.aclose()


async def test_the_token_is_not_sent_to_another_host_not_even_by_a_redirect(cluster, entry, tmp_path):
    tls = self_signed(tmp_path, host="other.svc")
    with Provider(algorithm="ES256", tls=tls) as other:
        shown = asked(other)
        port = other._socket.getsockname()[1]
        for how in ("jwks_uri", "redirect"):
            asked(cluster)
            if how == "jwks_uri":
                cluster.metadata = {"jwks_uri": "https://other.svc/jwks"}
            else:
                cluster.misbehave(
                    "discovery", misbehaving.redirect("https://other.svc/.well-known/openid-configuration")
                )
            async with cache(cluster, port=port) as keys:
                with pytest.raises(IssuerUnavailable, match="another host"):
                    await keys.get(cluster.issuer, entry, NOW)
        assert shown == []


async def test_the_token_is_not_sent_to_another_port_of_the_host(cluster, entry):
    asked(cluster)
    cluster.metadata = {"jwks_uri": f"https://{HOST}:8443/jwks"}
    async with cache(cluster) as keys:
        with pytest.raises(IssuerUnavailable, match="another host"):
            await keys.get(cluster.issuer, entry, NOW)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
async def test_without_its_token_the_issuer_is_not_asked(cluster, entry, content):
    entry.reach.bearer_token_file.unlink()
    if content:
        entry.reach.bearer_token_file.write_bytes(content)
    async with cache(cluster) as keys:
        with pytest.raises(IssuerUnavailable, match="bearer-token-file") as unavailable:
            await keys.get(cluster.issuer, entry, NOW)
        assert str(entry.reach.bearer_token_file) not in unavailable.value.detail
        assert not cluster.fetches


async def test_the_tokens_text_is_in_no_error(cluster, entry):
    entry.reach.bearer_token_file.write_text("secret\r\nX-Evil: 1")
    async with cache(cluster) as keys:
        with pytest.raises(IssuerUnavailable) as unavailable:
            await keys.get(cluster.issuer, entry, NOW)
        assert "secret" not in unavailable.value.detail
        assert not cluster.fetches


async def test_a_new_ca_is_trusted_when_its_file_changes(cluster, entry, tmp_path):
    asked(cluster)
    good = entry.reach.ca_certificate_file.read_text()
    (tmp_path / "other").mkdir()
    entry.reach.ca_certificate_file.write_text(self_signed(tmp_path / "other", host=HOST)[0].read_text())
    async with cache(cluster) as keys:
        with pytest.raises(IssuerUnavailable, match="not trusted"):
            await keys.get(cluster.issuer, entry, NOW)
        entry.reach.ca_certificate_file.write_text("no certificate")
        with pytest.raises(IssuerUnavailable, match="ca-cert-file"):
            await keys.get(cluster.issuer, entry, NOW + timedelta(seconds=10))
        entry.reach.ca_certificate_file.write_text(good)
        assert await keys.get(cluster.issuer, entry, NOW + timedelta(seconds=30))
