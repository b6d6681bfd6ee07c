"""Issuers of type `ci-provider`: build jobs, described by the templates of `ci-issuer-metadata`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ca.errors import IdentityNotCertifiable
from ca.identity.claims import scalar_text, subject
from ca.identity.model import Claims, Extension, Identity, Naming
from ca.identity.names import uri_name
from ca.identity.template_nodes import MissingKeyError
from ca.identity.templates import Key, Template


class _Values(dict[str, str]):
    """What templates see: claims, and defaults where there is none.

    A claim becomes text when a template first asks for it, so a list that no template uses does no harm.
    """

    __slots__ = ("_claims", "_defaults")

    def __init__(self, claims: Claims, defaults: Mapping[str, str]) -> None:
        super().__init__()
        self._claims = claims
        self._defaults = defaults

    def __missing__(self, key: str) -> str:
        text = scalar_text(key, self._claims[key]) if key in self._claims else self._defaults[key]
        self[key] = text
        return text


@dataclass(frozen=True, slots=True)
class CIProvider:
    """SAN: the URI that a template makes of the claims."""

    name: ClassVar[str] = "ci-provider"
    subject_alternative_name: Key | Template
    extensions: tuple[tuple[Extension, Key | Template], ...]
    defaults: Mapping[str, str]
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        template = self.subject_alternative_name
        return Naming(_as_written(template.begins()).lower(), (self.name, template, self.defaults))

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing, ClaimInvalid or IdentityNotCertifiable."""
        sub = subject(claims)
        values = _Values(claims, self.defaults)
        extensions: dict[Extension, str] = {}
        place: Extension | None = None
        try:
            name = uri_name(self.subject_alternative_name.render(values))
            for place, template in self.extensions:
                if text := template.render(values):
                    extensions[place] = text
        except MissingKeyError as missing:
            raise _not_certifiable(missing, place, issuer) from None
        return Identity(issuer, sub, name, challenge=sub, extensions=extensions)


def _as_written(text: str) -> str:
    """As much of the text as a URI has unchanged."""
    return re.split(r"[^A-Za-z0-9:/._-]", text, maxsplit=1)[0]


def _not_certifiable(missing: MissingKeyError, place: Extension | None, issuer: str) -> IdentityNotCertifiable:
    """Begins with the text of Fulcio's error, which for a plain key shows where it was needed."""
    where = {"ExtensionName": place.go_name if place else "SubjectAlternativeName", "Issuer": issuer}
    shown = json.dumps(where, indent="\t", ensure_ascii=False)
    fulcio = missing.go_message or f"value <{missing.key}> not present in either claims or defaults. {shown}"
    advice = f"the token has no {missing.key} claim, and ci-issuer-metadata no default for it"
    return IdentityNotCertifiable(f"{fulcio}; {advice}", claim=missing.key)
