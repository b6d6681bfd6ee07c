"""What the pages say is there, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from ca.cli import app
from ca.telemetry import Metrics

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MOVING = (ROOT / "docs" / "moving-from-fulcio.md").read_text()


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


def test_flags_that_operators_move_to_exist() -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = {option for parameter in serve.params for option in parameter.opts}
    example = MOVING.split("becomes", 1)[1].split("```")[1]
    table = "\n".join(line.split("|")[2] for line in MOVING.splitlines() if line.startswith("| `"))
    mentioned = set(re.findall(r"--[a-z][a-z-]+", example + table))
    assert mentioned
    assert mentioned <= flags


@pytest.mark.parametrize("page", ["moving-from-fulcio.md", "operations.md"])
def test_metrics_exist(page: str) -> None:
    from prometheus_client import CollectorRegistry

    metrics = {metric.name for metric in Metrics(CollectorRegistry()).registry.collect()}
    mentioned = set(re.findall(r"`(dayfly_[a-z_]+)", (ROOT / "docs" / page).read_text()))
    assert mentioned
    assert {name.removesuffix("_total") for name in mentioned} <= metrics
