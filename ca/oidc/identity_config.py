"""Fulcio's identity configuration, read unchanged: whose tokens are accepted, and what they mean.

https://github.com/sigstore/fulcio/blob/main/docs/oidc.md. Stricter than Fulcio: unknown keys and entries that
could not work are refused with their line, and no issuer is trusted that the file does not name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import Field, create_model

from ca.documents import Document, Place, Settings, load, validate
from ca.errors import ConfigurationError
from ca.identity.configure import (
    CIMetadata,
    IdentityConfigurationError,
    IssuerFields,
    ci_provider,
    identity_type,
)
from ca.identity.model import Extension
from ca.oidc.collisions import collisions
from ca.oidc.entry import StricterEntry, stricter_problems
from ca.oidc.in_cluster import POD
from ca.oidc.loopback import is_loopback
from ca.oidc.model import UNGUARDED, TokenGuard, TrustedIssuer
from ca.oidc.registry import overlap, specificity

_TEMPLATE_KEYS: Final[Mapping[str, Extension]] = {
    "issuer": Extension.ISSUER,
    "subject": Extension.TOKEN_SUBJECT,
} | {
    extension.config_key: extension
    for extension in Extension
    if extension not in {Extension.ISSUER, Extension.ISSUER_V2, Extension.TOKEN_SUBJECT}
}


class _Issuer(StricterEntry):
    """An entry of `oidc-issuers` or `meta-issuers`. Nothing reads description, contact and environment."""

    issuer_url: str = ""
    client_id: str = ""
    type: str = ""
    ci_provider: str = ""
    issuer_claim: str = ""
    subject_domain: str = ""
    spiffe_trust_domain: str = ""
    challenge_claim: str = ""
    ca_cert: str = ""
    skip_email_verification: bool = False
    token_guard: TokenGuard = UNGUARDED
    description: str = ""
    contact: str = ""
    environment: str = ""


_ExtensionTemplates: Any = create_model(
    "_ExtensionTemplates",
    __base__=Settings,
    **{key.replace("-", "_"): (str, "") for key in _TEMPLATE_KEYS},  # type: ignore[call-overload]
)


class _Metadata(Settings):
    """An entry of `ci-issuer-metadata`."""

    default_template_values: dict[str, str | None] = Field(default_factory=dict)
    extension_templates: _ExtensionTemplates = Field(default_factory=_ExtensionTemplates)
    subject_alternative_name_template: str = ""

    def as_ci_metadata(self) -> CIMetadata:
        templates = self.extension_templates.model_dump(by_alias=True, exclude_unset=True)
        return CIMetadata(
            {key: value or "" for key, value in self.default_template_values.items()},
            {_TEMPLATE_KEYS[key]: template for key, template in templates.items()},
            self.subject_alternative_name_template,
        )


class _IdentityConfig(Settings):
    define: Any = None
    """Where YAML anchors are kept."""
    oidc_issuers: dict[str, _Issuer | None] = Field(default_factory=dict)
    meta_issuers: dict[str, _Issuer | None] = Field(default_factory=dict)
    ci_issuer_metadata: dict[str, _Metadata | None] = Field(default_factory=dict)


def load_identity_config(path: Path, pod: Path = POD) -> tuple[TrustedIssuer, ...]:
    """The trusted issuers of a file, in its order; `pod` as in `in_cluster`. Files that it names are relative to it.

    Raises ConfigurationError with a line for each problem.
    """
    return read_identity_config(load(path, text_only=True), pod)


def read_identity_config(document: Document, pod: Path = POD) -> tuple[TrustedIssuer, ...]:
    """As `load_identity_config`, of a document parsed as text only."""
    return _Reading(document, pod).issuers()


class _Reading:
    """One document on its way to trusted issuers; problems are gathered so that one run tells all of them."""

    def __init__(self, document: Document, pod: Path) -> None:
        self._pod = pod
        self._document = document.renamed(_yaml_key) if document.is_json else document
        self._config = validate(_IdentityConfig, self._document)
        self._problems: list[ConfigurationError] = []
        self._metadata = {
            name: (entry or _Metadata()).as_ci_metadata() for name, entry in self._config.ci_issuer_metadata.items()
        }

    def issuers(self) -> tuple[TrustedIssuer, ...]:
        broken = set(self._broken_metadata())
        issuers = [
            self._issuer(url, entry or _Issuer(), wildcard=wildcard)
            for entries, wildcard in ((self._config.oidc_issuers, False), (self._config.meta_issuers, True))
            for url, entry in entries.items()
            if entry is None or entry.type != "ci-provider" or entry.ci_provider not in broken
        ]
        self._check_overlaps()
        self._check_collisions([issuer for issuer in issuers if issuer])
        if not issuers and not broken:
            self._report((), "trusts no issuer; add one to oidc-issuers, for there are no default issuers")
        if self._problems:
            self._problems.sort(key=self._line)
            raise ConfigurationError("\n".join(problem.detail for problem in self._problems))
        return tuple(issuer for issuer in issuers if issuer)

    def _broken_metadata(self) -> Iterator[str]:
        for name, metadata in self._metadata.items():
            try:
                ci_provider(metadata)
            except IdentityConfigurationError as error:
                self._report(("ci-issuer-metadata", name, *error.field.split(".", 1)), error.message)
                yield name

    def _issuer(self, url: str, entry: _Issuer, *, wildcard: bool) -> TrustedIssuer | None:
        place = ("meta-issuers" if wildcard else "oidc-issuers", url)
        directory = Path(self._document.name).parent
        problems = [*_problems(url, entry, wildcard=wildcard)]
        for key, problem in problems or stricter_problems(url, entry, directory, wildcard=wildcard):
            self._report((*place, key) if key else place, problem)
        try:
            meaning = identity_type(_fields(url, entry, wildcard=wildcard), self._metadata.get(entry.ci_provider))
        except IdentityConfigurationError as error:
            self._report((*place, error.field), error.message)
            return None
        return TrustedIssuer(
            url=url,
            wildcard=wildcard,
            audience=entry.client_id,
            identity_type=meaning,
            enabled=entry.enabled,
            subject_domain=entry.subject_domain,
            spiffe_trust_domain=entry.spiffe_trust_domain,
            skip_email_verification=entry.skip_email_verification,
            rules=entry.rules(),
            reach=entry.reach(
                url, wildcard=wildcard, ca_cert=entry.ca_cert, kind=entry.type, directory=directory, pod=self._pod
            ),
            token_guard=entry.token_guard,
        )

    def _check_overlaps(self) -> None:
        for first, second in combinations(self._config.meta_issuers, 2):
            if specificity(first) == specificity(second) and overlap(first, second):
                problem = f"matches issuers that {first} matches too, and neither is more specific; join or narrow them"
                self._report(("meta-issuers", second), problem)

    def _check_collisions(self, issuers: list[TrustedIssuer]) -> None:
        for issuer, key, problem in collisions(issuers):
            self._report(("meta-issuers" if issuer.wildcard else "oidc-issuers", issuer.url, key), problem)

    def _report(self, place: Place, problem: str) -> None:
        self._problems.append(self._document.error(place, problem))

    def _line(self, problem: ConfigurationError) -> int:
        return int(problem.detail.removeprefix(f"{self._document.name}:").partition(":")[0])


def _fields(url: str, entry: _Issuer, *, wildcard: bool) -> IssuerFields:
    return IssuerFields(
        issuer_url=url,
        type=entry.type,
        ci_provider=entry.ci_provider,
        issuer_claim=entry.issuer_claim,
        subject_domain=entry.subject_domain,
        spiffe_trust_domain=entry.spiffe_trust_domain,
        challenge_claim=entry.challenge_claim,
        skip_email_verification=entry.skip_email_verification,
        wildcard=wildcard,
    )


def _problems(url: str, entry: _Issuer, *, wildcard: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry for reasons of OpenID Connect, by key; an empty key means the URL itself."""
    if problem := _url_problem(url):
        yield "", problem
    if not wildcard and "*" in url:
        yield "", "a fixed issuer's URL holds a *; wildcards belong under meta-issuers"
    if not wildcard and not entry.issuer_url:
        yield "issuer-url", f"is missing; it repeats the key, {url}"
    elif entry.issuer_url not in {url, ""}:
        yield "issuer-url", f"is not the key that it stands under, {url}"
    if not entry.client_id.strip():
        yield "client-id", "is missing; it is the audience that tokens must have, such as sigstore"
    if entry.ca_cert and not _is_pem_certificates(entry.ca_cert):
        kind = "meta issuer" if wildcard else "issuer"
        yield "ca-cert", f"failed to parse CA certificate for {kind} {url}: write them here in PEM, not a file's name"


def _url_problem(url: str) -> str:
    """OpenID Connect Discovery 1.0 §3: https, without query and fragment; http on loopback alone."""
    if not url.isascii() or not url.isprintable() or any(character in url for character in " \\?#"):
        return "an issuer's URL has no query, no fragment, no backslash, no space, and is ASCII"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        # Reading the port is what checks it; that of a wildcard may be a star.
        _ = parts.port if "*" not in parts.netloc else None
    except ValueError as error:
        return f"not a URL: {error}"
    if parts.scheme not in {"https", "http"} or not host:
        return "an issuer's URL begins with https:// and a host"
    if "@" in parts.netloc:
        return "an issuer's URL names no user"
    if {".", ".."} & set(parts.path.split("/")):
        return "an issuer's URL has no . or .. in its path"
    if parts.scheme == "http" and not is_loopback(url):
        return "http is accepted only where the URL itself names a loopback host; use https"
    return ""


def _is_pem_certificates(text: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _yaml_key(place: Place, key: str) -> str:
    """The YAML key that a JSON key means: `ClientID`, in any case as Go reads it, is `client-id`."""
    known: tuple[str, ...]
    match place:
        case ():
            known = _aliases(_IdentityConfig)
        case ("oidc-issuers" | "meta-issuers", _):
            known = _aliases(_Issuer)
        case ("ci-issuer-metadata", _):
            known = _aliases(_Metadata)
        case ("ci-issuer-metadata", _, "extension-templates"):
            known = tuple(_TEMPLATE_KEYS)
        case _:
            return key
    return next((name for name in known if name.replace("-", "") == key.lower()), key)


def _aliases(model: type[Settings]) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in model.model_fields.items())
