"""The documents, as sigstore's own models read them."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from sigstore.models import ClientTrustConfig
from sigstore.models import SigningConfig as SigstoreSigningConfig
from sigstore.models import TrustedRoot as SigstoreTrustedRoot
from sigstore_models.trustroot.v1 import SigningConfig, TrustedRoot

from ca.trust.documents import client_trust_config, signing_config, trusted_root
from ca.trust.material import Operated
from ca.trust.settings import TrustSettings
from tests.trust.instances import chain, own_parts, write_ed25519

if TYPE_CHECKING:
    from pathlib import Path

    from ca.trust.model import TrustMaterial


@pytest.fixture
def settings(tmp_path: Path) -> TrustSettings:
    write_ed25519(tmp_path / "rekor.pub.pem")
    (tmp_path / "tsa.pem").write_text("".join(chain("tsa").pems))
    return TrustSettings.model_validate(
        {
            "url": "https://ca.example.org/",
            "oidc": [{"url": "https://login.example.org"}],
            "rekor": [
                {
                    "url": "https://rekor.example.org",
                    "public-key": tmp_path / "rekor.pub.pem",
                    "start": "2026-02-01T00:00:00Z",
                }
            ],
            "timestamp-authorities": [
                {"url": "https://tsa.example.org/api/v1/timestamp", "chain": tmp_path / "tsa.pem"}
            ],
        }
    )


@pytest.fixture
def material(settings: TrustSettings) -> TrustMaterial:
    return Operated(settings).material(own_parts())


def test_trusted_root_is_read_by_sigstores_models_and_by_its_verifier(material: TrustMaterial) -> None:
    text = json.dumps(trusted_root(material))
    TrustedRoot.from_json(text)
    root = SigstoreTrustedRoot(TrustedRoot.from_json(text))
    assert len(root.get_fulcio_certs()) == 4
    assert len(root.get_timestamp_authorities()) == 1


def test_trusted_root_holds_each_chain_byte_for_byte_issuing_certificate_first(material: TrustMaterial) -> None:
    document = trusted_root(material)
    written = [
        [b64decode(certificate["rawBytes"]) for certificate in authority["certChain"]["certificates"]]
        for authority in document["certificateAuthorities"]
    ]
    assert written == [list(authority.chain.ders) for authority in material.authorities]


def test_trusted_root_says_until_when_an_old_ca_and_an_old_log_were_in_use(material: TrustMaterial) -> None:
    document = trusted_root(material)
    start, end = "2026-01-02T03:04:05Z", "2026-04-12T03:04:05Z"
    assert [authority["validFor"] for authority in document["certificateAuthorities"]] == [
        {"start": start, "end": end},
        {"start": start},
    ]
    assert [log["publicKey"]["validFor"] for log in document["ctlogs"]] == [
        {"start": start, "end": end},
        {"start": start},
    ]


def test_ct_log_id_is_the_hash_of_its_key(material: TrustMaterial) -> None:
    for log in trusted_root(material)["ctlogs"]:
        assert b64decode(log["logId"]["keyId"]) == sha256(b64decode(log["publicKey"]["rawBytes"])).digest()
        assert "checkpointKeyId" not in log


def test_root_without_a_log_of_signatures_has_the_empty_list_that_sigstore_python_wants() -> None:
    assert trusted_root(Operated(TrustSettings()).material(own_parts()))["tlogs"] == []


def test_signing_config_is_read_by_sigstores_models_and_by_its_signer(material: TrustMaterial) -> None:
    text = json.dumps(signing_config(material))
    config = SigstoreSigningConfig(SigningConfig.from_json(text))
    assert config.get_fulcio().url == "https://ca.example.org"
    assert config.get_oidc_url() == "https://login.example.org"
    assert len(config.get_tlogs()) == 1
    assert len(config.get_tsas()) == 1


def test_every_service_has_what_cosign_cannot_do_without(material: TrustMaterial) -> None:
    document = signing_config(material)
    for services in (document["caUrls"], document["oidcUrls"], document["rekorTlogUrls"], document["tsaUrls"]):
        for service in services:
            assert service["operator"] == "ca.example.org"
            assert service["majorApiVersion"] in {1, 2}
            assert service["validFor"]["start"].endswith("Z")
    assert document["caUrls"][0]["majorApiVersion"] == 1
    assert document["rekorTlogUrls"][0]["majorApiVersion"] == 2
    assert document["rekorTlogConfig"] == document["tsaConfig"] == {"selector": "ANY"}


def test_selector_stands_beside_services_alone() -> None:
    document = signing_config(Operated(TrustSettings(url="https://ca.example.org")).material(own_parts()))
    assert set(document) == {"mediaType", "caUrls", "oidcUrls"}


def test_client_trust_config_is_read_by_sigstore_python(material: TrustMaterial) -> None:
    ClientTrustConfig.from_json(json.dumps(client_trust_config(material)))
