"""`dayfly config check --online`: try the issuers, and show how they did."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ca.config import load_settings
from ca.errors import ConfigurationError, InvalidToken
from ca.main import clock, environment
from ca.oidc.dialling import SystemInternet
from ca.oidc.identity_config import load_identity_config
from ca.oidc.registry import IssuerRegistry
from ca.oidc.trial import Trial, try_issuers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from ca.oidc.model import TrustedIssuer


@dataclass(frozen=True, slots=True)
class Row:
    """An issuer, and how it did; None where it was not tried, and why."""

    url: str
    trial: Trial | None
    not_tried: str = ""


def online(config: Path, concrete: list[str], out: Console, *, as_json: bool) -> bool:
    """Try the issuers, and those of wildcards that `concrete` names; whether all that were tried are good.

    Raises ConfigurationError.
    """
    registry = IssuerRegistry(load_identity_config(load_settings(config, {}, environment()).identity_config))
    rows = asyncio.run(_tried(registry, [(url, _entry(registry, url)) for url in concrete]))
    good = all(row.trial is None or not row.trial.problem for row in rows)
    if as_json:
        out.print_json(json.dumps({"good": good, "issuers": [_as_json(row) for row in rows]}))
    else:
        out.print(_table(rows))
    return good


def _entry(registry: IssuerRegistry, url: str) -> TrustedIssuer:
    try:
        return registry.find(url)
    except InvalidToken as problem:
        raise ConfigurationError(f"--issuer: {problem.detail}") from problem


async def _tried(registry: IssuerRegistry, concrete: list[tuple[str, TrustedIssuer]]) -> list[Row]:
    exact = [(issuer.url, issuer) for issuer in registry.issuers if issuer.enabled and not issuer.wildcard]
    asked = [*exact, *(pair for pair in concrete if pair not in exact)]
    trials = await try_issuers(asked, SystemInternet(), clock)
    rows = [Row(url, trial) for (url, _), trial in zip(asked, trials, strict=True)]
    return [*rows, *_left_out(registry, {entry.url for _, entry in asked})]


def _left_out(registry: IssuerRegistry, asked: set[str]) -> Iterator[Row]:
    for issuer in registry.issuers:
        if not issuer.enabled:
            yield Row(issuer.url, None, "switched off")
        elif issuer.wildcard and issuer.url not in asked:
            yield Row(issuer.url, None, "not tried: name one of its issuers with --issuer")


def _table(rows: list[Row]) -> Table:
    table = Table(title="issuers", title_justify="left")
    for name in ("issuer", "", "algorithms", "keys", "clock"):
        table.add_column(name, overflow="fold")
    for row in rows:
        trial = row.trial
        if trial is None:
            table.add_row(escape(row.url), row.not_tried)
            continue
        verdict = f"[bold red]{escape(trial.problem)}[/]" if trial.problem else "[green]good[/]"
        clock_shown = "" if trial.skew is None else f"{trial.skew.total_seconds():+.0f} s"
        table.add_row(escape(row.url), verdict, ", ".join(trial.algorithms), str(trial.keys or ""), clock_shown)
    return table


def _as_json(row: Row) -> dict[str, Any]:
    trial = row.trial
    if trial is None:
        return {"issuer": row.url, "tried": False, "why": row.not_tried}
    skew = None if trial.skew is None else trial.skew.total_seconds()
    return {
        "issuer": row.url,
        "tried": True,
        "good": not trial.problem,
        "problem": trial.problem,
        "algorithms": list(trial.algorithms),
        "keys": trial.keys,
        "clockAheadSeconds": skew,
    }
