from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import IssuerDisabled, IssuerNotTrusted
from ca.oidc.registry import IssuerRegistry, overlap, wildcard_pattern
from tests.oidc.trusting import trusted

# The cases of Fulcio's TestMetaURLs: a pattern, what it matches, what it does not.
PATTERNS = [
    (
        "https://oidc.eks.*.amazonaws.com/id/*",
        ["https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB"],
        [
            "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB/",
            "https://oidc.eks.us.west.2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB",
            "https://oidc.eks.us-west-2.amazonaws.com/id/",
            "https://oidc.eks..amazonaws.com/id/X",
            "https://oidc.eks.us-west-2.amazonaws.com/id/X/Y",
            "https://oidc.eks.us-west-2.amazonaws.com/id/X\n",
            "https://oidc.eks.us-west-2.amazonaws.com/id/X?",
            "https://oidc.eks.us-west-ż.amazonaws.com/id/X",
            "https://oidc.eks.us-west-2.amazonaws.com.evil.example/id/X",
            "https://oidcXeks.us-west-2.amazonaws.com/id/X",
            "http://localhost?issuer=https://oidc.eks.us-west-2.amazonaws.com/id/X",
            "http://localhost/redirect/https://oidc.eks.us-west-2.amazonaws.com/id/X",
            " https://oidc.eks.us-west-2.amazonaws.com/id/X",
            "HTTPS://oidc.eks.us-west-2.amazonaws.com/id/X",
        ],
    ),
    (
        "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*",
        ["https://container.googleapis.com/v1/projects/mattmoor-credit/locations/us-west1-b/clusters/tenant-cluster"],
        [
            "https://container.googleapis.com/v1/projects/a/b/locations/c/clusters/d",
            "https://container.googleapis.com/v1/projects/a/locations/c/clusters/",
        ],
    ),
    (
        "https://*.oic.prod-aks.azure.com/*/*/",
        ["https://eastus.oic.prod-aks.azure.com/a-b/c-d/"],
        ["https://eastus.oic.prod-aks.azure.com/a-b/c-d", "https://a.b.oic.prod-aks.azure.com/a-b/c-d/"],
    ),
    (
        "https://token.actions.githubusercontent.com/*",
        ["https://token.actions.githubusercontent.com/my-enterprise_1"],
        ["https://token.actions.githubusercontent.com/a.b", "https://token.actions.githubusercontent.com/"],
    ),
    ("https://issuer.example/plain", ["https://issuer.example/plain"], ["https://issuer.example/plain/x"]),
]


@pytest.mark.parametrize(("pattern", "matches", "misses"), PATTERNS)
def test_wildcards_match_by_fulcios_rule(pattern, matches, misses):
    registry = IssuerRegistry([trusted(pattern, wildcard=True)])
    for url in matches:
        assert registry.find(url).url == pattern
    for url in misses:
        with pytest.raises(IssuerNotTrusted):
            registry.find(url)


ALPHABET = st.text("ab-./é*", max_size=12)


@given(pattern=st.text("ab-./*", max_size=8), url=ALPHABET)
def test_wildcards_match_what_the_plain_expression_matches(pattern, url):
    plain = re.escape(pattern).replace(r"\*", "[-_a-zA-Z0-9]+")
    assert bool(wildcard_pattern(pattern).fullmatch(url)) == bool(re.fullmatch(plain, url))


def test_a_crafted_issuer_costs_linear_time():
    pattern = wildcard_pattern("https://*-*-*-*-*.example")
    started = time.perf_counter()
    assert not pattern.fullmatch("https://" + "a-" * 8000)
    assert time.perf_counter() - started < 0.5


def test_exact_issuers_win_over_wildcards_and_specific_wildcards_over_general_ones():
    entries = [
        trusted("https://*.example/*", wildcard=True),
        trusted("https://ci.example/*", wildcard=True),
        trusted("https://ci.example/team", wildcard=False),
        trusted("https://ci.example/te*", wildcard=True),
    ]
    for order in itertools.permutations(entries):
        registry = IssuerRegistry(order)
        assert registry.issuers == order
        assert registry.find("https://ci.example/team").url == "https://ci.example/team"
        assert registry.find("https://ci.example/teams").url == "https://ci.example/te*"
        assert registry.find("https://ci.example/other").url == "https://ci.example/*"
        assert registry.find("https://x.example/other").url == "https://*.example/*"


def test_of_equally_specific_wildcards_the_order_of_the_file_does_not_decide():
    entries = [trusted("https://a*.example", wildcard=True), trusted("https://*b.example", wildcard=True)]
    found = {IssuerRegistry(order).find("https://aab.example").url for order in itertools.permutations(entries)}
    assert len(found) == 1


def test_a_star_in_a_fixed_issuer_is_a_star():
    registry = IssuerRegistry([trusted("https://*.example")])
    with pytest.raises(IssuerNotTrusted):
        registry.find("https://a.example")


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/",
        "https://ISSUER.example",
        "https://issuer.example:443",
        "https://issuer.example\n",
        "issuer.example",
        "http://issuer.example",
        "https://issuer.example.",
        "https://issuer.exampl\u0435",
        "https://\u0131ssuer.example",
    ],
)
def test_exact_means_to_the_byte(url):
    with pytest.raises(IssuerNotTrusted):
        IssuerRegistry([trusted("https://issuer.example")]).find(url)


def test_the_refusal_names_the_issuer_fit_to_print_and_no_other():
    registry = IssuerRegistry([trusted("https://secret-partner.example")])
    with pytest.raises(IssuerNotTrusted) as refused:
        registry.find("https://evil.example/\n\x1b[31m\u202e" + "x" * 500)
    assert refused.value.detail.startswith('issuer "https://evil.example/\\n\\x1b[31m\\u202exxx')
    assert len(refused.value.detail) < 400
    assert refused.value.detail.isprintable()
    assert "secret-partner" not in refused.value.detail


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("https://a*", "https://*b", True),
        ("https://*.x/a", "https://y.*/a", True),
        ("https://*.x/a", "https://y.*/b", False),
        ("https://x/*", "https://x/*/*", False),
        ("https://x/*", "https://x/*/", False),
        ("a**", "ab", False),
        ("a**", "abc", True),
        ("a.*", "a.b.*", False),
        ("*", "*", True),
        ("", "*", False),
        ("a", "a", True),
    ],
)
def test_overlapping_wildcards_are_told_from_others(first, second, expected):
    assert overlap(first, second) is expected
    assert overlap(second, first) is expected


@given(first=st.text("ab/*", max_size=5), second=st.text("ab/*", max_size=5), url=st.text("ab/", max_size=7))
def test_two_wildcards_that_match_one_url_overlap(first, second, url):
    if wildcard_pattern(first).fullmatch(url) and wildcard_pattern(second).fullmatch(url):
        assert overlap(first, second)


def test_an_issuer_that_is_switched_off_is_refused_by_a_reason_of_its_own():
    registry = IssuerRegistry([trusted("https://off.example", enabled=False), trusted("https://on.example")])
    with pytest.raises(IssuerDisabled, match=r"has switched issuer .*off.example.* off") as refused:
        registry.find("https://off.example")
    assert refused.value.reason == "ISSUER_DISABLED"
    assert refused.value.metadata == {"issuer": "https://off.example"}
    assert registry.find("https://on.example").enabled


def test_an_exact_issuer_that_is_switched_off_does_not_fall_to_a_wildcard():
    registry = IssuerRegistry(
        [trusted("https://off.example", enabled=False), trusted("https://*.example", wildcard=True)]
    )
    with pytest.raises(IssuerDisabled):
        registry.find("https://off.example")
    assert registry.find("https://other.example")


def test_a_wildcard_that_is_switched_off_does_not_fall_to_a_wider_one():
    entries = [
        trusted("https://ci-*.example", wildcard=True, enabled=False),
        trusted("https://*.example", wildcard=True),
    ]
    registry = IssuerRegistry(entries)
    with pytest.raises(IssuerDisabled) as refused:
        registry.find("https://ci-7.example")
    assert refused.value.metadata == {"issuer": "https://ci-*.example"}
    assert registry.find("https://other.example")
