"""The issuer of the Kubernetes cluster that we run in: what Fulcio does for it, in terms of an issuer's settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ca.oidc.addresses import Scope

if TYPE_CHECKING:
    from ca.oidc.model import Reach

POD: Final = Path("/var/run")
_HOST: Final = "kubernetes.default.svc"
_SERVICE_ACCOUNT: Final = Path("secrets/kubernetes.io/serviceaccount")


def in_cluster(reach: Reach, url: str, pod: Path) -> Reach:
    """The same, with the private network, the CA and the token that a pod has; whatever an operator set stays.

    `pod`: what a pod has under /var/run, `fulcio/ca.crt` where Fulcio's own deployment puts it. Without these files
    we are in no pod.
    """
    host = urlsplit(url).hostname or ""
    if (host != _HOST and not host.startswith(_HOST + ".")) or reach.jwks_file:
        return reach
    authorities = [pod / "fulcio" / "ca.crt", pod / _SERVICE_ACCOUNT / "ca.crt"]
    token = pod / _SERVICE_ACCOUNT / "token"
    if reach.ca_certificate is None and reach.ca_certificate_file is None:
        found = next((path for path in authorities if path.exists()), None)
        reach = replace(reach, ca_certificate_file=found)
    if reach.bearer_token_file is None and token.exists():
        reach = replace(reach, bearer_token_file=token)
    return replace(reach, scope=Scope.PRIVATE, key_hosts=reach.key_hosts or frozenset())
