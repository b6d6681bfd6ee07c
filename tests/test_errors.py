from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca import errors
from ca.api.answers import STATUS

DOCUMENT = Path(__file__).parent.parent / "docs" / "errors.md"


def leaves(node: type[errors.DayflyError] = errors.DayflyError) -> Iterator[type[errors.DayflyError]]:
    below = node.__subclasses__()
    if not below:
        yield node
    for child in below:
        yield from leaves(child)


def rows() -> dict[str, tuple[str, int]]:
    """Reason -> (how the message begins, HTTP status of its section) as documented."""
    found: dict[str, tuple[str, int]] = {}
    status, previous = 0, ""
    for line in DOCUMENT.read_text().splitlines():
        if heading := re.match(r"## .*?: (\d{3})", line):
            status = int(heading[1])
        elif row := re.match(r"\| `([A-Z_]+)` \| (.*?) \|", line):
            previous = previous if row[2] == "〃" else row[2]
            found[row[1]] = (previous, status)
    return found


def test_every_leaf_has_a_reason_of_its_own() -> None:
    reasons = [leaf.reason for leaf in leaves()]
    assert len(reasons) == len(set(reasons))


def test_the_documented_reasons_are_those_that_exist() -> None:
    assert set(rows()) == {leaf.reason for leaf in leaves()}


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.reason)
def test_a_reason_is_documented_with_its_summary_and_status(leaf: type[errors.DayflyError]) -> None:
    begins, status = rows()[leaf.reason]
    assert STATUS[leaf.code] == status
    if leaf.summary:
        assert begins == leaf.summary


def test_what_was_misissued_is_for_the_log_alone() -> None:
    error = errors.Misissuance("the subject is not what was asked")
    assert error.public_message == "Error marshaling code signing certificate"
    assert str(error) == "Error marshaling code signing certificate: the subject is not what was asked"


def test_the_public_message_begins_with_the_summary() -> None:
    error = errors.AudienceMismatch('audience "foo" is not "sigstore"')
    assert error.public_message == (
        'There was an error processing the identity token: audience "foo" is not "sigstore"'
    )
