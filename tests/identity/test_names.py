from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import IdentityNotCertifiable
from ca.identity.go_url import URL, parse
from ca.identity.model import EmailName, URIName
from ca.identity.names import email_name, is_email, uri_name, written


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        "Ada.Lovelace+tag@sub.Example.co.uk",
        "a@b.c",
        "o'brien@example.com",
        "a/b=c?d^e_f`g{h|i}j~k!l#m$n%o&p*q-r@example.com",
        "ada@xn--p1ai.xn--p1ai",
        "ada@my_host.example.com",
        "ada@example.com.",
        "фу@пример.рф",
    ],
)
def test_addresses(address: str) -> None:
    assert is_email(address)


@pytest.mark.parametrize(
    "text",
    ["", "@", "ada", "ada@", "@example.com", "ada@localhost", "ada@example", "ada@.com", "ada@example..com", "ada@example.com..", "a b@example.com", "ada@exam ple.com",
     ".ada@example.com", "ada.@example.com", "a..b@example.com", "ada@-example.com", "ada@example-.com", "ada@example.c1", "ada@1.2.3.4", "ada@[1.2.3.4]",
     '"ada lovelace"@example.com', "ada@example.com@example.org", "ada@example.com\n", "ada\n@example.com", "ada\x00@example.com", "ada@example.com ", " ada@example.com",
     "Ada <ada@example.com>", "ada@example.com,eve@example.com", "ada(comment)@example.com", "mailto:ada@example.com:"],
)  # fmt: skip
def test_texts_that_are_no_address(text: str) -> None:
    assert not is_email(text)


def test_looking_for_an_address_takes_no_time_to_speak_of() -> None:
    assert not is_email("a" * 20_000 + "." * 20_000 + "@" + "a-" * 20_000)
    assert not is_email("a@" + "a." * 20_000 + "1")


def test_an_address_is_ascii() -> None:
    assert email_name("ada@example.com") == EmailName("ada@example.com")
    with pytest.raises(IdentityNotCertifiable, match=r'\Ax509: "фу@example.com" cannot be encoded as an IA5String'):
        email_name("фу@example.com")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://github.com/o/r@refs/heads/main", "https://github.com/o/r@refs/heads/main"),
        ("https://github.com", "https://github.com"),
        ("https://h:8443/a b", "https://h:8443/a%20b"),
        ("HTTPS://H/", "https://H/"),
        ("https://[::1]:80/", "https://[::1]:80/"),
        ("repo:o/r:ref:refs/heads/main", "repo:o/r:ref:refs/heads/main"),
        ("spiffe://example.com/a", "spiffe://example.com/a"),
        ("https://h/?q=1#f", "https://h/?q=1#f"),
        ("https://h/a@b", "https://h/a@b"),
    ],
)
def test_uris(text: str, name: str) -> None:
    assert uri_name(text) == URIName(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://h/%zz", r'\Aparse "https://h/%zz": invalid URL escape "%zz"'),
        ("https://h/\n", r'\Aparse "https://h/\\n": net/url: invalid control character in URL'),
        ("", "has no scheme"),
        ("github.com/o/r", "has no scheme"),
        ("/o/r", "has no scheme"),
        ("//h/o", "has no scheme"),
        ("https://u@h/", "has userinfo"),
        ("https://u:p@h/", "has userinfo"),
        ("https://@h/", "has userinfo"),
        ("https://github.com@evil.example/x", "has userinfo"),
        ("https://a..b/", "no domain name"),
        ("https://a./", "no domain name"),
        ("https://.a/", "no domain name"),
        ("https://%C5%BC.example/", "no domain name"),
        ("https://ż.example/", "no domain name"),
        ("https://h/?ż", "cannot be encoded as an IA5String"),
        ("repo:ż", "cannot be encoded as an IA5String"),
        ("https://h:80:90/", "invalid port"),
    ],
)
def test_uris_that_no_certificate_carries(text: str, problem: str) -> None:
    with pytest.raises(IdentityNotCertifiable, match=problem):
        uri_name(text)


def test_what_a_verifier_reads_is_checked_not_what_was_parsed() -> None:
    with pytest.raises(IdentityNotCertifiable, match="has userinfo"):
        written(URL(scheme=b"https", path=b"evil@github.com/x"))
    with pytest.raises(IdentityNotCertifiable, match="invalid port"):
        written(URL(scheme=b"https", path=b"github.com:x/y"))


@given(st.text(alphabet='/.-_~:@$&+,;=abcXYZ019%#?[] "ż', max_size=30))
def test_a_name_is_read_back_as_it_was_written(path: str) -> None:
    try:
        name = uri_name("https://github.com/" + path).value
    except IdentityNotCertifiable:
        return
    assert str(parse(name)) == name
    assert name.isascii()


@given(st.from_regex(r"https?://[a-z.-]{1,8}/[a-zA-Z0-9\-_.~$&+,/:;=@]{0,9}", fullmatch=True))
def test_the_quick_way_and_the_long_way_are_one(text: str) -> None:
    try:
        long_way = written(parse(text))
    except IdentityNotCertifiable:
        return
    assert uri_name(text) == long_way
