"""The log as monitors, auditors and submitters meet it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ca.ct.checkpoint import parse_checkpoint, parse_tlog_proof, parse_verifier_key, verify, verify_tlog_proof
from ca.ct.embedded.engine import Limits
from ca.ct.merkle import ProofInvalid, verify_consistency, verify_inclusion
from ca.ct.model import Precertificate
from ca.ct.rfc6962 import SCT
from ca.ct.verify import LogKey
from ca.ct.verify import verify as verify_sct
from ca.main import clock
from tests.api.log_server import NEW, OLD, Served, running_logs
from tests.certificate.pki import CA, issue, make_ca
from tests.ct.embedded.builders import CHAIN
from tests.ct.embedded.oracle import merkle_leaf, mth
from tests.ct.pki import without_poison

SIZE = 600
"""Two full tiles, a partial one, and a partial one above."""


@pytest.fixture(scope="module")
def ca() -> CA:
    return make_ca()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, ca: CA) -> Iterator[Served]:
    """A log that is read alone by the tests that share it."""
    with running_logs(tmp_path_factory.mktemp("logs"), ca, SIZE) as logs:
        yield logs


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory, ca: CA) -> Iterator[Served]:
    with running_logs(tmp_path_factory.mktemp("logs"), ca) as logs:
        yield logs


def names(size: int) -> list[str]:
    """The tiles of level 0 of a tree, as tlog-tiles names them, for up to 256,000 leaves."""
    full, rest = divmod(size, 256)
    return [f"{index:03}" for index in range(full)] + ([f"{full:03}.p/{rest}"] if rest else [])


def split_tile_leaves(data: bytes) -> list[bytes]:
    """By static-ct-api's TileLeaf, for precertificates."""
    leaves = []
    while data:
        end = 8 + 2 + 32
        end += 3 + int.from_bytes(data[end : end + 3], "big")
        end += 2 + int.from_bytes(data[end : end + 2], "big")
        end += 3 + int.from_bytes(data[end : end + 3], "big")
        end += 2 + int.from_bytes(data[end : end + 2], "big")
        leaves.append(data[:end])
        data = data[end:]
    return leaves


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def hashes_of(served: Served, size: int = SIZE) -> list[bytes]:
    """The leaf hashes, of what the data tiles hold."""
    data = b"".join(served.get(f"tile/data/{name}").content for name in names(size))
    return [leaf_hash(merkle_leaf(leaf, index)[0]) for index, leaf in enumerate(split_tile_leaves(data))]


def root(served: Served) -> bytes:
    return parse_checkpoint(served.get("checkpoint").text).checkpoint.root


# ---- static-ct-api and tlog-tiles ----


def test_the_checkpoint_is_signed_by_both_keys_and_is_not_kept_in_caches(served: Served) -> None:
    answer = served.get("checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    signed = parse_checkpoint(answer.text)
    assert verify(signed, NEW, served.log_key, served.note_key)
    assert signed.checkpoint.size == SIZE


def test_the_data_tiles_hash_to_the_checkpoint(served: Served) -> None:
    hashes = hashes_of(served)
    assert len(hashes) == SIZE
    assert mth(hashes) == root(served)


def test_the_hash_tiles_are_those_of_the_data(served: Served) -> None:
    hashes = hashes_of(served)
    assert b"".join(served.get(f"tile/0/{name}").content for name in names(SIZE)) == b"".join(hashes)
    assert served.get("tile/1/000.p/2").content == mth(hashes[:256]) + mth(hashes[256:512])


def test_the_entry_bundles_hash_to_the_same_tree(served: Served) -> None:
    data = b"".join(served.get(f"tile/entries/{name}").content for name in names(SIZE))
    hashes = []
    while data:
        length = int.from_bytes(data[:2], "big")
        hashes.append(leaf_hash(data[2 : 2 + length]))
        data = data[2 + length :]
    assert hashes == hashes_of(served)


@pytest.mark.parametrize("width", [1, 7, 88, 255])
def test_a_partial_tile_of_any_width_is_the_beginning_of_the_full_one(served: Served, width: int) -> None:
    hashes = served.get("tile/0/001").content
    assert served.get(f"tile/0/001.p/{width}").content == hashes[: width * 32]
    leaves = split_tile_leaves(served.get("tile/data/001").content)
    assert split_tile_leaves(served.get(f"tile/data/001.p/{width}").content) == leaves[:width]
    assert served.get("tile/entries/001").content.startswith(served.get(f"tile/entries/001.p/{width}").content)


@pytest.mark.parametrize(
    "name",
    [
        "0/002", "0/002.p/89", "0/003.p/1", "0/999", "1/000", "1/000.p/3", "2/000.p/1", "data/002", "data/002.p/89",
        "data/003.p/1", "entries/002", "entries/002.p/89", "entries/x001/000",
        "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/0", "0/0000", "0/x000/000", "00/000", "0/-01", "6/000", "64/000",
        "data", "data/", "names/000", "0/000/", "0/000.p", "0/000.p/", "", "0/000.p/1.5", "0/٠٠٠",
    ],
)  # fmt: skip
def test_a_tile_that_is_not_there_is_not_found_and_no_cache_remembers(served: Served, name: str) -> None:
    answer = served.get(f"tile/{name}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.strip()


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/data/000", "tile/entries/000.p/3"])
def test_tiles_are_bytes_that_never_change(served: Served, path: str) -> None:
    answer = served.get(path)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("deflate,gzip ; q=1", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0", None),
        ("gzip; q=0.000, identity", None),
        ("*", None),
        ("ungzip", None),
    ],
)
def test_entries_are_compressed_where_the_client_asks_for_it_alone(
    served: Served, accepted: str, encoding: str | None
) -> None:
    for kind in ("data", "entries"):
        headers = {"Accept-Encoding": accepted}
        with served.client.stream("GET", f"/ctlog/tile/{kind}/000", headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding") == encoding
        assert "Accept-Encoding" in answer.headers["vary"]
        plain = served.client.get(f"/ctlog/tile/{kind}/000", headers={"Accept-Encoding": "identity"}).content
        assert (gzip.decompress(raw) if encoding else raw) == plain


def test_hashes_are_never_compressed(served: Served) -> None:
    assert "content-encoding" not in served.client.get("/ctlog/tile/0/000", headers={"Accept-Encoding": "gzip"}).headers


def test_every_issuer_that_a_tile_names_is_there_by_its_hash(served: Served) -> None:
    _, _, fingerprints = merkle_leaf(split_tile_leaves(served.get("tile/data/000").content)[0], 0)
    assert len(fingerprints) == 2
    for fingerprint, der in zip(fingerprints, CHAIN, strict=True):
        answer = served.get(f"issuer/{fingerprint.hex()}")
        assert answer.content == der
        assert answer.headers["content-type"] == "application/pkix-cert"
        assert "immutable" in answer.headers["cache-control"]


def test_an_issuer_that_nobody_has_used_is_not_found(served: Served) -> None:
    name = hashlib.sha256(CHAIN[0]).hexdigest()
    for wrong in ("00" * 32, name.upper(), name[:-1], name + "0", "", "x", name[:-2] + "g0"):
        assert served.get(f"issuer/{wrong}").status_code == 404


def test_the_log_can_be_asked_for_headers_alone(served: Served) -> None:
    answer = served.client.head("/ctlog/tile/0/000")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "8192", b"")


# ---- RFC 6962, reading ----


def test_the_tree_head_is_the_checkpoints_and_signed_as_rfc_6962_has_it(served: Served) -> None:
    head = served.get("ct/v1/get-sth").json()
    assert head.keys() == {"tree_size", "timestamp", "sha256_root_hash", "tree_head_signature"}
    assert (head["tree_size"], b64decode(head["sha256_root_hash"])) == (SIZE, root(served))
    signed = b"\x00\x01" + head["timestamp"].to_bytes(8, "big") + SIZE.to_bytes(8, "big") + root(served)
    signature = b64decode(head["tree_head_signature"])
    assert signature[:4] == b"\x04\x03" + (len(signature) - 4).to_bytes(2, "big")
    served.log_key.verify(signature[4:], signed, ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        served.log_key.verify(signature[4:], signed + b"\0", ECDSA(SHA256()))


def test_entries_come_with_what_it_takes_to_check_them(served: Served) -> None:
    entries = served.get("ct/v1/get-entries", start=254, end=258).json()["entries"]
    assert [leaf_hash(b64decode(entry["leaf_input"])) for entry in entries] == hashes_of(served)[254:259]
    extra = b64decode(entries[0]["extra_data"])
    assert extra.endswith(b"".join(len(der).to_bytes(3, "big") + der for der in CHAIN))


def test_a_page_of_entries_is_bounded_by_the_log_and_by_the_tree(served: Served) -> None:
    def page(start: int, end: int) -> int:
        return len(served.get("ct/v1/get-entries", start=start, end=end).json()["entries"])

    assert page(0, 0) == 1
    assert page(0, 10**14) == 256
    assert page(SIZE - 5, 10**9) == 5


def test_every_entry_is_proven_by_its_hash_in_every_tree(served: Served) -> None:
    hashes = hashes_of(served)
    for index in (0, 1, 255, 256, 257, 511, 512, SIZE - 1):
        for size in {index + 1, 513, SIZE} - set(range(index + 1)):
            answer = served.get("ct/v1/get-proof-by-hash", hash=b64encode(hashes[index]).decode(), tree_size=size)
            assert answer.json()["leaf_index"] == index
            path = [b64decode(node) for node in answer.json()["audit_path"]]
            verify_inclusion(hashes[index], index, size, path, mth(hashes[:size]))
            with pytest.raises(ProofInvalid):
                verify_inclusion(hashes[index - 1], index, size, path, mth(hashes[:size]))


@pytest.mark.parametrize(
    ("first", "second"), [(0, 1), (1, 2), (255, 256), (256, 257), (3, SIZE), (512, SIZE), (SIZE, SIZE), (0, 0)]
)
def test_trees_are_proven_to_continue_each_other(served: Served, first: int, second: int) -> None:
    hashes = hashes_of(served)
    answer = served.get("ct/v1/get-sth-consistency", first=first, second=second).json()
    proof = [b64decode(node) for node in answer["consistency"]]
    verify_consistency(first, mth(hashes[:first]), second, mth(hashes[:second]), proof)


def test_an_entry_comes_with_its_proof(served: Served) -> None:
    answer = served.get("ct/v1/get-entry-and-proof", leaf_index=300, tree_size=SIZE).json()
    entry = served.get("ct/v1/get-entries", start=300, end=300).json()["entries"][0]
    assert {"leaf_input": answer["leaf_input"], "extra_data": answer["extra_data"]} == entry
    path = [b64decode(node) for node in answer["audit_path"]]
    verify_inclusion(leaf_hash(b64decode(answer["leaf_input"])), 300, SIZE, path, root(served))


def test_the_roots_are_those_that_may_log(served: Served, ca: CA) -> None:
    answer = served.get("ct/v1/get-roots")
    assert answer.json() == {"certificates": [b64encode(ca.chain.ders[-1]).decode()]}


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("get-entries", {}),
        ("get-entries", {"start": 0}),
        ("get-entries", {"start": [0, 1], "end": 1}),
        ("get-entries", {"start": 5, "end": 4}),
        ("get-entries", {"start": SIZE, "end": SIZE}),
        ("get-entries", {"start": -1, "end": 4}),
        ("get-entries", {"start": "0x0", "end": 4}),
        ("get-entries", {"start": "١", "end": 4}),
        ("get-entries", {"start": 0, "end": 2**64}),
        ("get-entries", {"start": "", "end": ""}),
        ("get-sth-consistency", {"first": 2}),
        ("get-sth-consistency", {"first": 2, "second": 1}),
        ("get-sth-consistency", {"first": 2, "second": SIZE + 1}),
        ("get-sth-consistency", {"first": "a", "second": 3}),
        ("get-proof-by-hash", {"hash": b64encode(bytes(32)).decode()}),
        ("get-proof-by-hash", {"tree_size": 5}),
        ("get-proof-by-hash", {"hash": "%", "tree_size": 5}),
        ("get-proof-by-hash", {"hash": b64encode(bytes(32)).decode(), "tree_size": SIZE + 1}),
        ("get-entry-and-proof", {"leaf_index": 5, "tree_size": 5}),
        ("get-entry-and-proof", {"leaf_index": 5, "tree_size": SIZE + 1}),
        ("get-entry-and-proof", {"leaf_index": 5}),
    ],
)
def test_a_question_without_an_answer_is_told_why(served: Served, function: str, parameters: dict[str, Any]) -> None:
    answer = served.get(f"ct/v1/{function}", **parameters)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(answer.text) > 20


def test_a_hash_that_is_not_in_that_tree_is_not_found(served: Served) -> None:
    for wanted, size in ((bytes(32), SIZE), (b"", SIZE), (b"short", SIZE), (hashes_of(served)[5], 5)):
        answer = served.get("ct/v1/get-proof-by-hash", hash=b64encode(wanted).decode(), tree_size=size)
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "path", ["", "nothing", "ct/v1/", "ct/v1/get-nothing", "ct/v2/get-sth", "ct/v1/get-sth/", "ct"]
)
def test_another_path_below_the_prefix_is_not_found(served: Served, path: str) -> None:
    assert served.get(path).status_code == 404


def test_another_method_is_told_which_one_is_right(served: Served) -> None:
    for method, path, allowed in (
        ("POST", "checkpoint", "GET, HEAD"),
        ("DELETE", "tile/0/000", "GET, HEAD"),
        ("POST", "ct/v1/get-sth", "GET, HEAD"),
        ("GET", "ct/v1/add-chain", "POST"),
        ("PUT", "ct/v1/add-pre-chain", "POST"),
    ):
        answer = served.client.request(method, f"/ctlog/{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_many_read_at_once(served: Served) -> None:
    wanted = hashes_of(served)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: served.get(f"tile/0/00{n % 2}").content, range(200)))
    assert all(answer == b"".join(wanted[n % 2 * 256 :][:256]) for n, answer in enumerate(answers))


def test_the_log_without_entries_answers_too(empty: Served) -> None:
    assert parse_checkpoint(empty.get("checkpoint").text).checkpoint.size == 0
    assert empty.get("ct/v1/get-sth").json()["tree_size"] == 0
    assert empty.get("tile/0/000.p/1").status_code == 404
    assert empty.get("ct/v1/get-entries", start=0, end=0).status_code == 400
    assert empty.get("ct/v1/get-sth-consistency", first=0, second=0).json() == {"consistency": []}
    assert empty.client.get("/api/v2/ctlog/proof?leaf_index=0").status_code == 404


# ---- RFC 6962, writing ----


def sct_of(answer: httpx.Response) -> SCT:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return SCT.from_add_response(answer.content)


def clean(precertificate: bytes) -> bytes:
    return without_poison(x509.load_der_x509_certificate(precertificate).tbs_certificate_bytes)


def test_a_precertificate_gets_a_promise_that_is_kept_at_once(empty: Served, ca: CA) -> None:
    precertificate = issue(ca).precertificate
    sct = sct_of(empty.add("add-pre-chain", precertificate, *ca.chain.ders))
    ours = Precertificate(precertificate, clean(precertificate), ca.chain.issuer_key_hash, ca.chain.ders, clock())
    verify_sct(sct, ours, LogKey.of(empty.log_key), clock())

    entry = empty.get("ct/v1/get-entries", start=0, end=0).json()["entries"][0]
    leaf = b64decode(entry["leaf_input"])
    assert ours.clean_tbs in leaf
    assert leaf_hash(leaf) == root(empty)
    assert precertificate in b64decode(entry["extra_data"])
    for der in ca.chain.ders:
        assert empty.get(f"issuer/{hashlib.sha256(der).hexdigest()}").content == der


def test_a_certificate_gets_a_promise_over_itself(empty: Served, ca: CA) -> None:
    final = issue(ca).final
    sct = sct_of(empty.add("add-chain", final, ca.chain.ders[0]))
    leaf = b64decode(empty.get("ct/v1/get-entries", start=0, end=0).json()["entries"][0]["leaf_input"])
    assert leaf[:12] == b"\0\0" + sct.timestamp.to_bytes(8, "big") + b"\0\0"
    assert leaf[12:] == len(final).to_bytes(3, "big") + final + len(sct.extensions).to_bytes(2, "big") + sct.extensions
    empty.log_key.verify(sct.signature[4:], leaf, ECDSA(SHA256()))


def test_who_asks_again_gets_the_same_promise(empty: Served, ca: CA) -> None:
    precertificate = issue(ca).precertificate
    first = empty.add("add-pre-chain", precertificate, *ca.chain.ders)
    again = empty.add("add-pre-chain", precertificate, ca.chain.ders[0])
    assert sct_of(first) == sct_of(again)
    assert parse_checkpoint(empty.get("checkpoint").text).checkpoint.size == 1


def test_what_is_refused_is_told_why_and_not_logged(empty: Served, ca: CA) -> None:
    issued = issue(ca)
    pre, final, (issuing, root) = issued.precertificate, issued.final, ca.chain.ders
    for function, chain, says in (
        ("add-chain", [pre, issuing, root], "add-pre-chain"),
        ("add-pre-chain", [final, issuing, root], "add-chain"),
        ("add-pre-chain", [pre], "issuer"),
        ("add-pre-chain", [pre, root], "not signed"),
        ("add-pre-chain", [pre, root, issuing], "path"),
        ("add-pre-chain", [], "empty"),
        ("add-pre-chain", [b"garbage"], "DER"),
    ):
        answer = empty.add(function, *chain)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert says in answer.text
    assert parse_checkpoint(empty.get("checkpoint").text).checkpoint.size == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"chain":null}', b'{"chain":"AA=="}', b'{"chain":[1]}', b'{"chain":["%"]}',
     b'{"chain":["AA"]}', b"\xff", b'{"chain":[' + b"[" * 10_000, b'{"chain":["AA=="]}x'],
)  # fmt: skip
def test_a_body_that_is_no_chain_is_refused(served: Served, body: bytes) -> None:
    for function in ("add-chain", "add-pre-chain"):
        answer = served.client.post(f"/ctlog/ct/v1/{function}", content=body)
        assert answer.status_code == 400
        assert answer.text.strip()


def test_what_is_larger_than_the_log_stores_is_refused_as_too_large(served: Served, ca: CA) -> None:
    precertificate = issue(ca).precertificate
    assert served.add("add-pre-chain", bytes(70_000)).status_code == 413
    assert served.add("add-pre-chain", *[bytes([n]) for n in range(11)]).status_code == 413
    padded = {"chain": [b64encode(der).decode() for der in (precertificate, *ca.chain.ders)], "more": "x" * 200_000}
    answer = served.client.post("/ctlog/ct/v1/add-pre-chain", content=json.dumps(padded))
    assert answer.status_code == 413
    assert "131072" in answer.text


def test_a_log_that_is_frozen_is_gone_for_submitters_and_there_for_readers(empty: Served, ca: CA) -> None:
    precertificate = issue(ca).precertificate
    sct_of(empty.add("add-pre-chain", precertificate, *ca.chain.ders))
    asyncio.run(empty.log.freeze())
    answer = empty.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders)
    assert answer.status_code == 410
    assert "frozen" in answer.text
    assert parse_checkpoint(empty.get("checkpoint").text).checkpoint.size == 1


def test_a_log_that_cannot_take_more_says_when_to_come_back(tmp_path_factory, ca: CA) -> None:
    with running_logs(tmp_path_factory.mktemp("logs"), ca, limits=Limits(pending=0)) as logs:
        answer = logs.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert logs.get("checkpoint").status_code == 200


def test_a_log_that_has_stopped_says_when_to_come_back(empty: Served, ca: CA) -> None:
    asyncio.run(empty.log.aclose())
    answer = empty.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


# ---- shards ----


def test_an_older_log_is_read_under_its_own_prefix_and_takes_nothing(served: Served, ca: CA) -> None:
    signed = parse_checkpoint(served.get("2026h1/checkpoint").text)
    assert verify(signed, OLD, served.old.log_key, served.old.note_key)
    assert signed.checkpoint.size == 3
    assert len(served.get("2026h1/tile/0/000.p/3").content) == 96
    assert served.get("2026h1/tile/0/000").status_code == 404
    answer = served.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders, prefix="/ctlog/2026h1")
    assert answer.status_code == 410


# ---- /api/v2/ctlog ----


def test_what_a_verifier_needs_is_told(served: Served) -> None:
    info = served.client.get("/api/v2/ctlog").json()
    assert info.keys() == {"origin", "prefix", "logId", "publicKey", "verifierKey"}
    assert (info["origin"], info["prefix"]) == (NEW, "/ctlog")
    assert load_pem_public_key(info["publicKey"].encode()) == served.log_key
    assert b64decode(info["logId"]) == LogKey.of(served.log_key).log_id
    assert parse_verifier_key(info["verifierKey"]) == (NEW, served.note_key)


@pytest.mark.parametrize("index", [0, 255, 256, SIZE - 1])
def test_a_proof_verifies_without_the_log(served: Served, index: int) -> None:
    answer = served.client.get("/api/v2/ctlog/proof", params={"leaf_index": index})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    proof = parse_tlog_proof(answer.text)
    assert proof.index == index
    hashes = hashes_of(served)
    assert verify_tlog_proof(proof, hashes[index], NEW, served.log_key, served.note_key)
    with pytest.raises(ProofInvalid):
        verify_tlog_proof(proof, hashes[index - 1], NEW, served.log_key, served.note_key)


def test_a_proof_is_found_by_sct(empty: Served, ca: CA) -> None:
    scts = [sct_of(empty.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders)) for _ in range(3)]
    for index, sct in enumerate(scts):
        answer = empty.client.get("/api/v2/ctlog/proof", params={"sct": b64encode(sct.encode()).decode()})
        assert parse_tlog_proof(answer.text).index == index


def test_a_promise_that_the_log_did_not_give_is_not_found(empty: Served, ca: CA) -> None:
    one, two = (sct_of(empty.add("add-pre-chain", issue(ca).precertificate, *ca.chain.ders)) for _ in range(2))
    for forged in (
        SCT(bytes(32), one.timestamp, one.extensions, one.signature),
        SCT(one.log_id, one.timestamp + 1, one.extensions, one.signature),
        SCT(one.log_id, one.timestamp, two.extensions, one.signature),
        SCT(one.log_id, one.timestamp, one.extensions, two.signature),
        SCT(one.log_id, one.timestamp, one.extensions, one.signature[:-1]),
        SCT(one.log_id, one.timestamp, one.extensions, b"\x04\x03\x00\x00"),
        SCT(one.log_id, one.timestamp, one.extensions, b""),
        SCT(one.log_id, one.timestamp, b"", one.signature),
        SCT(one.log_id, one.timestamp, bytes.fromhex("000005ffffffffff"), one.signature),
    ):
        answer = empty.client.get("/api/v2/ctlog/proof", params={"sct": b64encode(forged.encode()).decode()})
        assert answer.status_code == 404, forged
        assert answer.json()["message"]


@pytest.mark.parametrize(
    "query",
    ["", "leaf_index=", "leaf_index=-1", "leaf_index=1&leaf_index=2", "leaf_index=1&sct=AA==", "sct=", "sct=AA==",
     "sct=%25", "index=1", "leaf_index=1&x=1", "sct=" + "AQ" * 60, "sct=" + "%2F%2F" * 60],
)  # fmt: skip
def test_a_proof_of_nothing_is_refused_in_words(served: Served, query: str) -> None:
    answer = served.client.get(f"/api/v2/ctlog/proof?{query}")
    assert answer.status_code == 400
    assert answer.json()["details"][0]["reason"] == "MALFORMED_REQUEST"


def test_a_proof_of_an_entry_that_is_not_there_is_not_found(served: Served) -> None:
    answer = served.client.get("/api/v2/ctlog/proof", params={"leaf_index": SIZE})
    assert (answer.status_code, answer.json()["code"]) == (404, 5)
