"""The URLs of tests/vectors/go-url.json went through Go 1.26's net/url."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.identity.go_url import URL, URLError, parse
from tests.identity.vectors import load

CASES = load("go-url.json")
PARSED = [case for case in CASES if "join" not in case]
JOINED = [case for case in CASES if "join" in case]


def accepted(cases: list[dict]) -> list[dict]:
    return [case for case in cases if "text" in case]


def refused(cases: list[dict]) -> list[dict]:
    return [case for case in cases if "error" in case]


def named(case: dict) -> str:
    return ascii(case["url"]) + "".join(map(ascii, case.get("join", ())))


@pytest.mark.parametrize("case", accepted(PARSED), ids=named)
def test_a_url_is_written_as_go_writes_it(case: dict) -> None:
    url = parse(case["url"])
    assert str(url) == case["text"]
    assert (url.userinfo is not None) is case.get("userinfo", False)
    assert url.hostname.decode(errors="replace") == case.get("hostname", "")


@pytest.mark.parametrize("case", refused(PARSED), ids=named)
def test_an_error_is_the_one_that_go_reports(case: dict) -> None:
    with pytest.raises(URLError) as refusal:
        parse(case["url"])
    # What netip.ParseAddr finds wrong with an address is its own matter.
    expected = case["error"].replace("invalid IP-literal", "invalid host: ").partition("invalid host: ")
    actual = str(refusal.value).replace("invalid IP-literal", "invalid host: ").partition("invalid host: ")
    assert actual[:2] == expected[:2]


@pytest.mark.parametrize("case", accepted(JOINED), ids=named)
def test_a_path_is_joined_as_go_joins_it(case: dict) -> None:
    assert str(parse(case["url"]).join_path(*case["join"])) == case["text"]


@pytest.mark.parametrize("case", refused(JOINED), ids=named)
def test_a_path_with_an_invalid_escape_is_not_joined(case: dict) -> None:
    with pytest.raises(URLError, match="invalid URL escape"):
        parse(case["url"]).join_path(*case["join"])


def test_what_cannot_be_joined_is_named() -> None:
    with pytest.raises(URLError) as refusal:
        parse("https://github.com/").join_path("o/r", "%zz")
    assert str(refusal.value) == 'parse "https://github.com/o/r/%zz": invalid URL escape "%zz"'


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        url = parse(text)
    except URLError:
        return
    assert isinstance(str(url), str)


@given(st.text(alphabet=":/?#[]@%2fF0 aż.\x7f*", max_size=20))
def test_any_url_with_an_authority_is_parsed_or_refused(text: str) -> None:
    try:
        written = str(parse("https://" + text))
    except URLError:
        return
    assert written.startswith("https:")


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1))
def test_a_path_is_always_ascii(segment: str) -> None:
    path = URL(scheme=b"https", host=b"example.com").join_path(segment.replace("%", "%25"))
    assert str(path).isascii()
