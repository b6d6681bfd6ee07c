"""Trust material from a configuration, as a table or as the files that clients read."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Final

import yaml
from rich.table import Table

from ca.config import load_settings
from ca.errors import ConfigurationError
from ca.main import environment, trust_material
from ca.trust import documents
from ca.trust import policy_controller as kubernetes
from ca.trust.model import key_details

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from ca.trust.model import Period, TrustMaterial

FILES: Final = {
    "trusted_root.json": documents.trusted_root,
    "signing_config.v0.2.json": documents.signing_config,
    "client_trust_config.json": documents.client_trust_config,
}
_KUBERNETES_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def load(config: Path, url: str | None) -> TrustMaterial:
    """Raises ConfigurationError with the place of what is wrong, also where nobody says how clients reach the CA."""
    settings = load_settings(config, {"trust-url": url}, environment())
    if settings.trust.url is None:
        raise ConfigurationError(f"{config}: trust.url is missing: the CA as clients reach it; or give it as --url")
    return asyncio.run(trust_material(settings))


def write(material: TrustMaterial, directory: Path, out: Console) -> None:
    """Raises ConfigurationError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, document in FILES.items():
            path = directory / name
            path.write_text(json.dumps(document(material), indent=2) + "\n")
            out.print(f"  {path}", highlight=False, markup=False)
    except OSError as problem:
        raise ConfigurationError(f"{problem.filename}: cannot be written: {problem.strerror}") from problem


def table(material: TrustMaterial) -> Table:
    shown = Table(title=f"Trust in {material.operator}", title_justify="left")
    for column in ("what", "where", "which"):
        shown.add_column(column, overflow="fold")
    shown.add_column("from", no_wrap=True)
    shown.add_column("until", no_wrap=True)
    for what, where, which, period in _rows(material):
        shown.add_row(what, where, which, f"{period.start:%Y-%m-%d}", f"{period.end:%Y-%m-%d}" if period.end else "")
    return shown


def policy_controller(
    material: TrustMaterial, name: str, globs: Sequence[str], identities: Sequence[dict[str, str]]
) -> str:
    """YAML of two objects. Raises ConfigurationError where a cluster would refuse them."""
    if not identities:
        raise ConfigurationError("--identity or --identity-regexp: say who may sign; anybody would be nobody's policy")
    if not _KUBERNETES_NAME.fullmatch(name):
        raise ConfigurationError(f"--name: {name!r} is no name in Kubernetes: lower-case letters, digits, - and .")
    if not material.timestamp_authorities and not material.tlogs:
        raise ConfigurationError(
            "nothing says when a signature was made: a certificate lives ten minutes, so configure "
            "trust.timestamp-authorities or trust.rekor"
        )
    for identity in identities:
        _check_pattern(identity.get("subjectRegExp", ""))
    objects = [
        kubernetes.trust_root(material, name),
        kubernetes.cluster_image_policy(material, name, globs, identities),
    ]
    return yaml.safe_dump_all(objects, sort_keys=False, width=10_000)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ConfigurationError(f"--identity-regexp: {pattern!r}: {problem}") from problem


def _rows(material: TrustMaterial) -> Iterator[tuple[str, str, str, Period]]:
    for what, authorities in (("CA", material.authorities), ("timestamps", material.timestamp_authorities)):
        for authority in authorities:
            first = authority.chain.certificates[0]
            which = f"{first.subject.rfc4514_string()}, serial {first.serial_number:x}"
            yield what, authority.uri, which, authority.period
    for what, logs in (("CT log", material.ctlogs), ("Rekor", material.tlogs)):
        for log in logs:
            yield what, log.base_url, f"{key_details(log.public_key)}, id {log.log_id.hex()}", log.period
    for what, services in (
        ("sign with", material.ca_services),
        ("log in at", material.oidc_services),
        ("log to", material.rekor_services),
        ("timestamps of", material.timestamp_services),
    ):
        for service in services:
            yield what, service.url, f"API version {service.major_api_version}", service.period
