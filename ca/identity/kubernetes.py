"""Issuers of type `kubernetes`: service accounts of clusters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from ca.errors import ClaimInvalid, ClaimMissing
from ca.identity.claims import json_type, required_string, subject
from ca.identity.model import Claims, Identity, Naming, URIName

_CLAIM: Final = "kubernetes.io"
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_SERVICE_ACCOUNT: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class KubernetesServiceAccount:
    """SAN: `https://kubernetes.io/namespaces/<namespace>/serviceaccounts/<name>`.

    The cluster is in the issuer alone. Names are held to what Kubernetes gives out (RFC 1123 label and subdomain),
    so that no issuer can write one that reads like another.
    """

    name: ClassVar[str] = "kubernetes"
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        return Naming("https://kubernetes.io/namespaces/", self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing or ClaimInvalid."""
        sub = subject(claims)
        facts = _member(claims, _CLAIM, _CLAIM)
        account = _member(facts, "serviceaccount", f"{_CLAIM}.serviceaccount")
        namespace = _kubernetes_name(facts, "namespace", f"{_CLAIM}.namespace", _NAMESPACE)
        name = _kubernetes_name(account, "name", f"{_CLAIM}.serviceaccount.name", _SERVICE_ACCOUNT)
        uri = URIName(f"https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}")
        return Identity(issuer=issuer, subject=sub, subject_alt_name=uri, challenge=sub)


def _member(claims: Claims, key: str, path: str) -> Claims:
    value = claims.get(key)
    if value is None:
        raise ClaimMissing(f"missing {path} claim in ID token", claim=path)
    if not isinstance(value, Mapping):
        raise ClaimInvalid(f"{path} claim must be an object, not {json_type(value)}", claim=path)
    return value


def _kubernetes_name(claims: Claims, key: str, path: str, form: re.Pattern[str]) -> str:
    value = required_string({path: claims.get(key)}, path)
    if not form.fullmatch(value):
        raise ClaimInvalid(f"{path} claim is no name that Kubernetes gives out", claim=path)
    return value
