"""What differs between two identity configurations, for the record of a reload."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ca.oidc.model import TrustedIssuer

_SAID_BY_PART: Final = frozenset({"enabled", "identity_type", "rules", "reach"})


@dataclass(frozen=True, slots=True)
class Changes:
    """Issuers by their configured URL or pattern; of what changed only the names, never the values."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    """The settings that differ, such as `audience`; `enabled` is said as `switched off` or `switched on`."""


def changes(before: Iterable[TrustedIssuer], after: Iterable[TrustedIssuer]) -> Changes:
    old = {(issuer.wildcard, issuer.url): issuer for issuer in before}
    new = {(issuer.wildcard, issuer.url): issuer for issuer in after}
    return Changes(
        added=tuple(url for wildcard, url in new if (wildcard, url) not in old),
        removed=tuple(url for wildcard, url in old if (wildcard, url) not in new),
        changed={
            issuer.url: tuple(_differences(old[entry], issuer))
            for entry, issuer in new.items()
            if entry in old and old[entry] != issuer
        },
    )


def _differences(old: TrustedIssuer, new: TrustedIssuer) -> Iterator[str]:
    if old.enabled != new.enabled:
        yield "switched on" if new.enabled else "switched off"
    if old.identity_type.name != new.identity_type.name:
        yield "type"
    for parts in ((old.identity_type, new.identity_type), (old.rules, new.rules), (old.reach, new.reach), (old, new)):
        yield from _differing_fields(*parts)


def _differing_fields(old: object, new: object) -> Iterator[str]:
    """None where one is another type altogether."""
    if not is_dataclass(old) or type(old) is not type(new):
        return
    for field in fields(old):
        if field.name not in _SAID_BY_PART and getattr(old, field.name) != getattr(new, field.name):
            yield field.name.replace("_", " ")
