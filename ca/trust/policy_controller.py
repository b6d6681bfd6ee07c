"""Sigstore's policy controller for Kubernetes: what a cluster needs to accept what was signed with this instance.

Kinds of `policy.sigstore.dev/v1alpha1`, https://docs.sigstore.dev/policy-controller/overview/
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ca.trust.documents import subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.trust.model import Authority, TransparencyLog, TrustMaterial

_API_VERSION = "policy.sigstore.dev/v1alpha1"


def trust_root(material: TrustMaterial, name: str) -> dict[str, Any]:
    """A TrustRoot with the keys themselves, so that the cluster fetches nothing."""
    keys: dict[str, Any] = {
        "certificateAuthorities": [_authority(authority) for authority in material.authorities],
        "ctLogs": [_log(log) for log in material.ctlogs],
    }
    if material.tlogs:
        keys["tLogs"] = [_log(log) for log in material.tlogs]
    if material.timestamp_authorities:
        keys["timestampAuthorities"] = [_authority(authority) for authority in material.timestamp_authorities]
    return {
        "apiVersion": _API_VERSION,
        "kind": "TrustRoot",
        "metadata": {"name": name},
        "spec": {"sigstoreKeys": keys},
    }


def cluster_image_policy(
    material: TrustMaterial, name: str, globs: Sequence[str], identities: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Images that match any of `globs` must be signed by one of `identities`: members of its `identities` list.

    A trusted time is the timestamp authority's where there is one, else the log's of signatures.
    """
    authority: dict[str, Any] = {
        "name": name,
        # The form in which the controller verifies image signatures; of bundles it reads attestations alone.
        "signatureFormat": "legacy",
        "keyless": {
            "url": material.ca_services[0].url,
            "trustRootRef": name,
            "identities": list(identities),
            **({} if material.ctlogs else {"insecureIgnoreSCT": True}),
        },
    }
    if material.timestamp_authorities:
        authority["rfc3161timestamp"] = {"trustRootRef": name}
    if material.tlogs:
        authority["ctlog"] = {"url": material.tlogs[0].base_url, "trustRootRef": name}
    return {
        "apiVersion": _API_VERSION,
        "kind": "ClusterImagePolicy",
        "metadata": {"name": name},
        "spec": {"images": [{"glob": glob} for glob in globs], "authorities": [authority]},
    }


def _authority(authority: Authority) -> dict[str, Any]:
    return {
        "subject": subject(authority),
        "uri": authority.uri,
        "certChain": _base64("".join(ssl.DER_cert_to_PEM_cert(der) for der in authority.chain.ders)),
    }


def _log(log: TransparencyLog) -> dict[str, Any]:
    pem = load_der_public_key(log.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {"baseURL": log.base_url, "hashAlgorithm": "sha-256", "publicKey": _base64(pem.decode())}


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
