"""Queries, in both forms; what a timestamp authority must not put its name to is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from ca.errors import TimestampRefused
from ca.timestamp.query import parse_der, parse_json

DIGEST = hashlib.sha256(b"artifact").digest()


def query(directory: Path, *words: str) -> bytes:
    """A query as OpenSSL writes it."""
    out = directory / "query.tsq"
    subprocess.run(["openssl", "ts", "-query", *words, "-out", out], check=True, capture_output=True)
    return out.read_bytes()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_query_of_openssl_is_read(tmp_path: Path, algorithm: str) -> None:
    digest = hashlib.new(algorithm, b"artifact").digest()
    asked = parse_der(query(tmp_path, "-digest", digest.hex(), f"-{algorithm}", "-cert"))
    assert asked.imprint.hashed_message == digest
    assert asked.certificates
    assert asked.nonce is not None


def test_query_may_leave_out_nonce_and_certificate(tmp_path: Path) -> None:
    asked = parse_der(query(tmp_path, "-digest", DIGEST.hex(), "-sha256", "-no_nonce"))
    assert asked.nonce is None
    assert not asked.certificates


def test_query_may_ask_for_the_policy_there_is(tmp_path: Path) -> None:
    parse_der(query(tmp_path, "-digest", DIGEST.hex(), "-sha256", "-tspolicy", "1.3.6.1.4.1.57264.2"))


def request(**changed: Any) -> bytes:
    """As sigstore-js sends it; a member of None is left out."""
    usual = {"artifactHash": b64encode(DIGEST).decode(), "hashAlgorithm": "sha256", "certificates": True, "nonce": 7}
    return json.dumps({name: value for name, value in (usual | changed).items() if value is not None}).encode()


def test_query_in_json_is_read() -> None:
    asked = parse_json(request(tsaPolicyOID="1.3.6.1.4.1.57264.2", unknown=1))
    assert (asked.imprint.hashed_message, asked.nonce, asked.certificates) == (DIGEST, 7, True)


def test_query_in_json_may_name_its_hash_in_capitals_and_leave_out_the_rest() -> None:
    asked = parse_json(request(hashAlgorithm="SHA256", nonce=None, certificates=None))
    assert (asked.nonce, asked.certificates) == (None, False)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha3-256"])
def test_weak_or_unknown_hash_is_refused(tmp_path: Path, algorithm: str) -> None:
    digest = hashlib.new(algorithm.replace("-", "_"), b"artifact").digest()
    with pytest.raises(TimestampRefused, match="expected sha256, sha384, sha512"):
        parse_der(query(tmp_path, "-digest", digest.hex(), f"-{algorithm}"))


@pytest.mark.parametrize("words", [("-tspolicy", "1.2.3.4")])
def test_policy_that_is_not_offered_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(TimestampRefused, match=r"policy 1\.2\.3\.4 is not offered"):
        parse_der(query(tmp_path, "-digest", DIGEST.hex(), "-sha256", *words))


def der(
    imprint: str = "3031300d060960864801650304020105000420" + DIGEST.hex(), version: str = "020101", more: str = ""
) -> bytes:
    body = bytes.fromhex(version + imprint + more)
    return b"\x30" + bytes([len(body)]) + body


def test_smallest_query_is_read() -> None:
    assert parse_der(der()).imprint.hashed_message == DIGEST


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no DER"),
        (b"\x30\x00", "no DER"),
        (b"{}", "no DER"),
        (der() + b"\x00", "no DER"),
        (der()[:-1], "no DER"),
        (b"\x30\x80" + der()[2:] + b"\x00\x00", "no DER"),
        (der(version="020102"), "version is 2"),
        (der(version="020100"), "version is 0"),
        (der("302f300b0609608648016503040201" + "0420" + DIGEST.hex()), None),
        (der("302d300b0609608648016503040201" + "041e" + DIGEST.hex()[:60]), "30 bytes"),
        (der("3011300d06096086480165030402010500" + "0400"), "0 bytes"),
        (der(more="0241" + "01" + "00" * 64), "512 bits"),
        (der(more="a00e" + "300c" + "06032a0304" + "0405" + "0403616263"), "extensions"),
    ],
)
def test_query_that_is_not_one_is_refused(content: bytes, said: str | None) -> None:
    if said is None:  # a hash without parameters, which RFC 5754 prefers
        assert parse_der(content).imprint.hashed_message == DIGEST
        return
    with pytest.raises(TimestampRefused, match=said):
        parse_der(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON"),
        (b"[" * 900, "no JSON"),
        (b"\xff", "no JSON"),
        (request(artifactHash=None), "no JSON"),
        (request(artifactHash=7), "no JSON"),
        (request(artifactHash="$$$"), "no JSON"),
        (request(hashAlgorithm=None), "no JSON"),
        (request(nonce="7"), "no JSON"),
        (request(nonce=1.5), "no JSON"),
        (request(nonce=1 << 600), "no JSON"),
        (request(nonce=1 << 513), "512 bits"),
        (request(certificates="yes"), "no JSON"),
        (request(tsaPolicyOID="policy"), "no JSON"),
        (request(tsaPolicyOID="1.2.3.4"), "not offered"),
        (request(hashAlgorithm="sha1"), "hashAlgorithm is not"),
        (request(hashAlgorithm="sha512"), "32 bytes; one of its algorithm has 64"),
    ],
)
def test_query_in_json_that_is_not_one_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(TimestampRefused, match=said):
        parse_json(content)
