"""The dialect, held against what Go makes of the same bodies (tests/vectors/protojson.go)."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.api.protojson import Field, Message, decode
from ca.api.protojson.message import MAX_DEPTH, MAX_TOKENS
from ca.api.protojson.plain import read_plain
from ca.api.protojson.reader import read
from ca.api.wire import parse_v1, parse_v2
from ca.errors import KeyUnparsable, MalformedRequest
from ca.proof.model import SigningRequestPEM

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "protojson.json").read_text())
PARSE = {"v1": parse_v1, "v2": parse_v2}


def body_of(vector: dict[str, Any]) -> bytes:
    return vector["body"].encode() if "body" in vector else base64.b64decode(vector["body_base64"])


def without_values(message: str) -> str:
    """Go repeats the value that it refuses, which may be a token or a proof; here the message ends before it."""
    for pattern in (
        r"invalid value for \w+ field \w+",
        r"unexpected token (?=[^\[\]tfn])",
        r"invalid escape code",
    ):
        if match := re.search(pattern, message):
            return message[: match.end()]
    return message


REFUSED = [vector for vector in VECTORS if "error" in vector]
ACCEPTED = [vector for vector in VECTORS if "error" not in vector]


def test_there_are_vectors_of_both_kinds():
    assert len(REFUSED) > 300
    assert len(ACCEPTED) > 150


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: repr(body_of(vector))[:60])
def test_what_go_refuses_is_refused_in_its_words(vector):
    with pytest.raises(MalformedRequest) as caught:
        PARSE[vector["api"]](body_of(vector))

    assert caught.value.detail.startswith(without_values(vector["error"]))


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: repr(body_of(vector))[:60])
def test_what_go_accepts_means_the_same(vector):
    token, csr, key, proof = (base64.b64decode(vector.get(name, "")) for name in ("token", "csr", "key", "proof"))
    if vector["api"] == "v1" and not csr and not re.search(rb'"publicKey":\s*{', body_of(vector)):
        with pytest.raises(KeyUnparsable):  # what Fulcio says of this message next
            parse_v1(body_of(vector))
        return
    result = PARSE[vector["api"]](body_of(vector))

    assert (result.unverified_token or "").encode() == token
    if csr:
        assert result.key_material == SigningRequestPEM(csr)
    elif key:
        assert (result.key_material.unverified_key, result.key_material.unverified_proof) == (key, proof)
    else:
        assert result.key_material is None


# ---- the two ways of reading --------------------------------------------------------------------------------

INNER = Message({"s": Field("s", "string"), "e": Field("e", "enum")})
OUTER = Message(
    {
        "a_a": Field("aA", "string"),
        "aA": Field("aA", "string"),
        "b": Field("b", "bytes", oneof="test.one"),
        "m": Field("m", INNER, oneof="test.one"),
    }
)
NAMES = st.sampled_from(["a_a", "aA", "b", "m", "s", "e", "x", ""])
SCALARS = st.sampled_from([None, True, 1, -1.5, "", "AAAA", "AA", "AA==", "-_", "A", "text", "é", "😀", "\ud800", "\n"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(document=DOCUMENTS, ascii_only=st.booleans(), tail=st.sampled_from(["", " ", "}", "garbage", "\x00"]))
def test_what_the_fast_way_accepts_the_careful_way_accepts_as_the_same(document, ascii_only, tail):
    body = (json.dumps(document, ensure_ascii=ascii_only) + tail).encode(errors="surrogatepass")
    try:
        plain = read_plain(body, OUTER)
    except ValueError:
        return
    assert read(body, OUTER) == plain


@given(st.text(alphabet='{}[]:,"\\ mbsaA_e1-.utrfnl\n', max_size=40))
def test_the_two_ways_agree_on_any_syntax(text):
    body = f'{{"m":{text}'.encode()
    try:
        plain = read_plain(body, OUTER)
    except ValueError:
        return
    assert read(body, OUTER) == plain


@pytest.mark.parametrize("vector", ACCEPTED[:12], ids=lambda vector: repr(body_of(vector))[:60])
def test_bodies_of_clients_take_the_fast_way(vector):
    message = Message({})

    assert read_plain(body_of(vector), message) == {}


# ---- limits -------------------------------------------------------------------------------------------------


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return f'{{"x":{opening * (depth - 1)}{closing * (depth - 1)}}}'.encode()


def test_nesting_is_read_to_the_limit():
    assert decode(nested(MAX_DEPTH), OUTER) == {}


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 10_000, 30_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_deeper_nesting_is_refused(depth, opening, closing):
    body = f'{{"x":{opening * (depth - 1)}1{closing * (depth - 1)}}}'.encode()

    with pytest.raises(MalformedRequest, match="exceeded max depth"):
        decode(body, OUTER)


def test_open_brackets_alone_are_refused():
    with pytest.raises(MalformedRequest, match="exceeded max depth"):
        decode(b"[" * 65_536, OUTER)


def test_as_many_tokens_are_read_as_the_limit_says():
    body = ("{" + '"x":[' + ",".join(["1"] * (MAX_TOKENS - 5)) + "]}").encode()

    assert decode(body, OUTER) == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":[' + b"1," * 30_000 + b"1]}",
        b"{" + b'"x":1,' * 10_000 + b'"x":1}',
        b'{"x":[' + b"[]," * 20_000 + b"1]}",
    ],
)
def test_more_tokens_are_refused(body):
    with pytest.raises(MalformedRequest, match="not a signing request"):
        decode(body, OUTER)


@pytest.mark.parametrize("digits", [4_000, 5_000, 60_000])
def test_a_number_without_end_is_skipped_like_any_other(digits):
    assert decode(b'{"x":' + b"9" * digits + b"}", OUTER) == {}
