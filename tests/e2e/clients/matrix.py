"""The table at the end of the run: what each client does, cell by cell, from the tests' own outcomes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

COLUMNS = {
    "test_client_signs": "signs",
    "test_client_gets_a_certificate": "signs",
    "test_client_verifies_what_it_signed": "verifies",
    "test_client_verifies_what_others_signed": "verifies others'",
    "test_client_signs_and_verifies_by_mirror": "by TUF mirror",
    "test_client_refuses": "refuses",
    "test_client_refuses_what_a_lying_ca_issued": "refuses",
}
Cells = dict[tuple[str, str], set[str]]
"""Outcomes by client and column."""


def note(item: pytest.Item) -> None:
    """Write down in the test which cell it is about."""
    column = COLUMNS.get(getattr(item, "originalname", ""))
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if column and "name" in parameters:
        item.user_properties.append(("cell", (parameters["name"], column)))


def cells(reports: Iterable[pytest.TestReport]) -> Cells:
    found: Cells = defaultdict(set)
    for report in reports:
        for key, cell in getattr(report, "user_properties", ()):
            if key == "cell" and (report.when == "call" or report.outcome != "passed"):
                found[tuple(cell)].add(report.outcome)
    return found


def reasons(reports: Iterable[pytest.TestReport]) -> set[str]:
    """Why clients were skipped."""
    return {
        report.longrepr[2]
        for report in reports
        if report.outcome == "skipped"
        and isinstance(report.longrepr, tuple)
        and dict(report.user_properties).get("cell")
    }


def table(cells: Mapping[tuple[str, str], set[str]]) -> list[str]:
    """● all of its tests passed, ✗ one failed, ○ skipped, - does not apply."""
    columns = list(dict.fromkeys(COLUMNS.values()))
    names = list(dict.fromkeys(name for name, _ in cells))
    width = max(map(len, names)) + 2
    lines = ["".ljust(width) + "".join(column.ljust(18) for column in columns)]
    for name in names:
        marks = [_mark(cells.get((name, column), set())) for column in columns]
        lines.append(name.ljust(width) + "".join(mark.ljust(18) for mark in marks))
    return [*lines, "● passed  ✗ failed  ○ skipped  - does not apply"]


def _mark(outcomes: set[str]) -> str:
    if "failed" in outcomes:
        return "✗"
    if "passed" in outcomes:
        return "●"
    return "○" if outcomes else "-"
