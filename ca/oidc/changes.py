"""What differs between two identity configurations, for the record of a reload."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ca.oidc.model import TrustedIssuer


@dataclass(frozen=True, slots=True)
class Changes:
    """Issuers by their configured URL or pattern; of what changed only the names, never the values."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    """The settings that differ, such as `audience`; `enabled` is spelled out as `switched off` or `switched on`."""


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
    elif old.identity_type != new.identity_type:
        yield from (f"identity {name}" for name in _differing_fields(old.identity_type, new.identity_type))
    yield from (name for name in _differing_fields(old, new) if name not in {"enabled", "identity type"})


def _differing_fields(old: object, new: object) -> Iterator[str]:
    assert is_dataclass(old)
    for field in fields(old):
        one, other = getattr(old, field.name), getattr(new, field.name)
        if one != other:
            yield field.name.replace("_", " ")
