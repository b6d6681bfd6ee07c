from __future__ import annotations

import pytest

from ca.identity.go_quote import quote


# From strconv's tests: https://go.dev/src/strconv/quote_test.go
@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("\a\b\f\r\n\t\v", r'"\a\b\f\r\n\t\v"'),
        ("\\", r'"\\"'),
        (b"abc\xffdef", r'"abc\xffdef"'),
        ("\u263a", '"☺"'),
        ("\U0010ffff", r'"\U0010ffff"'),
        ("\x04", r'"\x04"'),
        ("!\u00a0!\u2000!\u3000!", r'"!\u00a0!\u2000!\u3000!"'),
        ("\x7f", r'"\x7f"'),
        ('"', r'"\""'),
        ("", '""'),
    ],
)
def test_quoted_as_in_go(text: str | bytes, quoted: str) -> None:
    assert quote(text) == quoted


def test_a_surrogate_prints() -> None:
    assert quote("a\ud800").isprintable()
