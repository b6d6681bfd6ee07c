from __future__ import annotations

import json
import time

import pytest

from ca.oidc.strict_json import StrictJSONError, decode, decode_object


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 2.5, -0.0, True, False, None, "ż😀", {"b": {}}]},
        {"run_id": 12345678901234567890123},
        [[[[[[[[1]]]]]]]],
        {"brackets": '[[[[[[[[[[{{{{{{{{\\"[['},
        {"\u202e": "\x00"},
    ],
)
def test_json_is_read_as_it_stands(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert decode(text.encode()) == value


def test_large_integers_stay_exact():
    assert decode(b"[9007199254740993, 123456789012345678901234567890]") == [
        9007199254740993,
        123456789012345678901234567890,
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a":1,"a":1}', "the member 'a' appears twice"),
        (b'{"a":1,"\\u0061":2}', "the member 'a' appears twice"),
        (b'{"x":[{"y":{"a":1,"b":2,"a":3}}]}', "the member 'a' appears twice"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[1e400]", "beyond the range"),
        (b"[-1e400]", "beyond the range"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b'["\\ud800"]', "lone surrogate"),
        (b'["\\udc00\\ud800"]', "lone surrogate"),
        (b'{"\\uD83D": 1}', "lone surrogate"),
        (b"[" * 9 + b"]" * 9, "nested deeper than 8"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "nested deeper than 8"),
        (b"[" * 100_000, "nested deeper than 8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ("{}".encode("utf-16-le"), "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b"[1] // x", "not JSON"),
        (b"\x0b{}", "not JSON"),
    ],
)
def test_what_readers_disagree_on_is_refused(content, why):
    with pytest.raises(StrictJSONError, match=why):
        decode(content)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 9 + b'"' + b'\\"' * 20_000,
        b"[" * 9 + b'"' + b'\\"' * 20_000 + b"\\",
        b'["' + b'\\"[' * 20_000,
        b'["' + b'\\\n"' * 20_000,
    ],
)
def test_strings_that_do_not_end_take_linear_time(content):
    started = time.process_time()
    with pytest.raises(StrictJSONError):
        decode(content)
    assert time.process_time() - started < 0.5


def test_a_member_that_appears_twice_is_found_in_linear_time():
    members = b",".join(b'"%d":1' % number for number in range(30_000))
    started = time.process_time()
    with pytest.raises(StrictJSONError, match="the member '29999' appears twice"):
        decode(b"{" + members + b',"29999":2}')
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("content", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_an_object_is_wanted_where_an_object_belongs(content):
    with pytest.raises(StrictJSONError, match="not a JSON object"):
        decode_object(content)
