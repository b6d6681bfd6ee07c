"""The vectors of this package: what Go, Fulcio and our own refusals make of claims."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import yaml

from ca.identity.configure import CIMetadata, IssuerFields, identity_type
from ca.identity.model import EmailName, Extension, Identity, IdentityType, URIName, UserName

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = {"email": EmailName, "uri": URIName, "username": UserName}


def load(name: str) -> list[dict]:
    return json.loads((VECTORS / name).read_text())


@cache
def public_metadata() -> dict[str, CIMetadata]:
    """The `ci-issuer-metadata` of sigstore's public instance, by provider."""
    configuration = yaml.safe_load((VECTORS / "fulcio-public-instance.yaml").read_text())
    extensions = {extension.config_key: extension for extension in Extension}
    return {
        provider: CIMetadata(
            default_template_values=entry["default-template-values"],
            extension_templates={extensions[key]: text for key, text in entry["extension-templates"].items()},
            subject_alternative_name_template=entry["subject-alternative-name-template"],
        )
        for provider, entry in configuration["ci-issuer-metadata"].items()
    }


def type_of(case: dict) -> IdentityType:
    entry = {key.replace("-", "_"): value for key, value in case["issuer"].items()}
    fields = IssuerFields(issuer_url=case["iss"], **entry)
    return identity_type(fields, public_metadata().get(fields.ci_provider))


def identity_of(case: dict) -> Identity:
    """The identity that the vector expects."""
    expected = case["identity"]
    ((kind, name),) = expected["san"].items()
    return Identity(
        issuer=expected["issuer"],
        subject=expected["subject"],
        subject_alt_name=NAMES[kind](name),
        challenge=expected["challenge"],
        extensions={Extension(int(arc)): text for arc, text in expected["extensions"].items()},
    )
