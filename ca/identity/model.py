"""What a certificate says about who signs: the name, and Fulcio's extensions (arc 1.3.6.1.4.1.57264.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

Claims = Mapping[str, object]
"""The payload of a verified token, as JSON gives it; integers exact."""


class Extension(IntEnum):
    """The extensions by the last arc of their OID, in the order in which certificates carry them.

    https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
    """

    ISSUER = 1
    GITHUB_WORKFLOW_TRIGGER = 2
    GITHUB_WORKFLOW_SHA = 3
    GITHUB_WORKFLOW_NAME = 4
    GITHUB_WORKFLOW_REPOSITORY = 5
    GITHUB_WORKFLOW_REF = 6
    # 7 is no extension: it names the type of the otherName that `username` issuers put into the SAN.
    ISSUER_V2 = 8
    BUILD_SIGNER_URI = 9
    BUILD_SIGNER_DIGEST = 10
    RUNNER_ENVIRONMENT = 11
    SOURCE_REPOSITORY_URI = 12
    SOURCE_REPOSITORY_DIGEST = 13
    SOURCE_REPOSITORY_REF = 14
    SOURCE_REPOSITORY_IDENTIFIER = 15
    SOURCE_REPOSITORY_OWNER_URI = 16
    SOURCE_REPOSITORY_OWNER_IDENTIFIER = 17
    BUILD_CONFIG_URI = 18
    BUILD_CONFIG_DIGEST = 19
    BUILD_TRIGGER = 20
    RUN_INVOCATION_URI = 21
    SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING = 22
    DEPLOYMENT_ENVIRONMENT = 23
    TOKEN_SUBJECT = 24

    @property
    def oid(self) -> str:
        return f"1.3.6.1.4.1.57264.1.{self.value}"

    @property
    def raw(self) -> bool:
        """Whether the value is bare UTF-8 in the OCTET STRING; from ISSUER_V2 on it is a DER UTF8String."""
        return self < Extension.ISSUER_V2

    @property
    def config_key(self) -> str:
        """The key of its template in a YAML configuration: `build-signer-uri`."""
        return self.name.lower().replace("_", "-")

    @property
    def go_name(self) -> str:
        """The key of its template in a JSON configuration, and its name in Fulcio's errors: `BuildSignerURI`."""
        return "".join(word if word in {"URI", "SHA"} else word.capitalize() for word in self.name.split("_"))


@dataclass(frozen=True, slots=True)
class EmailName:
    """rfc822Name, ASCII."""

    value: str


@dataclass(frozen=True, slots=True)
class URIName:
    """uniformResourceIdentifier, in the form of Go's `url.Parse(s).String()`, ASCII."""

    value: str


@dataclass(frozen=True, slots=True)
class UserName:
    """otherName of type 1.3.6.1.4.1.57264.1.7: `user!domain`."""

    value: str


SubjectAlternativeName = EmailName | URIName | UserName


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate names."""

    issuer: str
    """Extensions ISSUER and ISSUER_V2; the token's `iss`, or what `issuer-claim` selects. Never empty."""
    subject: str
    """The token's `sub`: extension TOKEN_SUBJECT, left out where empty."""
    subject_alt_name: SubjectAlternativeName
    challenge: str
    """The string that the client signs to prove possession of its key."""
    extensions: Mapping[Extension, str] = field(default_factory=dict)
    """GITHUB_WORKFLOW_TRIGGER to DEPLOYMENT_ENVIRONMENT; no empty values, none of the three above."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Which names an identity type writes, and from what: what it takes to tell that two never write the same."""

    begins: str | None
    """What every name begins with, as far as that is fixed, in lower case; None for e-mail addresses."""
    rule: object
    """Equal where the same name comes of the same claims, so that it means the same."""

    def may_equal(self, other: Naming) -> bool:
        """Whether both may write one text, whatever kind of name it is: verifiers compare texts."""
        if self.begins is None or other.begins is None:
            # Names that are no addresses have a colon, which none has, or end in `!domain`, in which no address ends.
            return self.begins is other.begins
        return self.begins.startswith(other.begins) or other.begins.startswith(self.begins)


class IdentityType(Protocol):
    """How the claims of one kind of issuer become an identity."""

    @property
    def name(self) -> str:
        """The `type` of the identity configuration."""

    @property
    def challenge_claim(self) -> str:
        """The claim advertised as the string to sign."""

    def naming(self, issuer: str) -> Naming:
        """The names of an issuer's certificates; `issuer` is a URL or the pattern of a wildcard."""

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Pure. `issuer` is the token's `iss`, a trusted one.

        Raises ClaimMissing or ClaimInvalid naming the claim, or IdentityNotCertifiable.
        """
