from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ca.ct.merkle import leaf_hash
from ca.ct.rfc6962 import SCT, TreeHead, digitally_signed, precert_signature_input, sct_list, sth_input
from ca.ct.static_ct import (
    MAX_BUNDLED,
    EntryInvalid,
    LogEntry,
    TilePath,
    TilePathInvalid,
    leaf_index_extension,
    parse_leaf_index,
    parse_tile_path,
    tile_path,
)
from tests.ct.oracle import LOG_KEY, VECTORS, log_entry, unhex
from tests.ct.pki import key_hash
from tests.ct.published import EMBEDDED, ISSUER_KEY_HASH, as_sct, embedded_scts, submitted

ENTRIES = VECTORS["entries"]
PRECERT = LogEntry(1337, True, b"tbs", b"k" * 32, b"precertificate", (b"i" * 32, b"r" * 32))
X509 = LogEntry(1337, False, b"certificate", b"", b"", (b"r" * 32,))

each_entry = pytest.mark.parametrize("vector", ENTRIES, ids=lambda vector: f"{vector['leaf_index']}")
each_kind = pytest.mark.parametrize("entry", [PRECERT, X509], ids=["precert", "x509"])


# ---- Against Go ----


@each_entry
def test_merkle_tree_leaf_and_its_hash_are_those_of_go(vector):
    leaf = log_entry(vector).merkle_tree_leaf(vector["leaf_index"])
    assert leaf.hex() == vector["merkle_tree_leaf"]
    assert leaf_hash(leaf).hex() == vector["leaf_hash"]
    assert log_entry(vector).leaf_input(vector["leaf_index"]) == leaf


@each_entry
def test_merkle_tree_leaf_is_what_the_sct_signs(vector):
    assert log_entry(vector).merkle_tree_leaf(vector["leaf_index"]).hex() == vector["sct_input"]


@each_entry
def test_tile_leaf_is_that_of_go(vector):
    assert log_entry(vector).tile_leaf(vector["leaf_index"]).hex() == vector["tile_leaf"]


@each_entry
def test_extra_data_is_that_of_go(vector):
    assert log_entry(vector).extra_data(unhex(vector["chain"])).hex() == vector["extra_data"]


@each_entry
def test_sct_and_its_list_are_those_of_go_to_the_last_byte(vector):
    index = vector["leaf_index"]
    signature = digitally_signed(LOG_KEY, log_entry(vector).merkle_tree_leaf(index))
    sct = SCT(key_hash(LOG_KEY.public_key()), vector["timestamp"], leaf_index_extension(index), signature)
    assert sct.encode().hex() == vector["sct"]
    assert sct_list([sct]).hex() == vector["sct_list"]
    if vector["is_precert"]:
        issuer_key_hash = bytes.fromhex(vector["issuer_key_hash"])
        signed = precert_signature_input(sct, bytes.fromhex(vector["certificate"]), issuer_key_hash)
        assert signed.hex() == vector["sct_input"]


@pytest.mark.parametrize("vector", VECTORS["tile_paths"], ids=lambda vector: vector["path"])
def test_tile_path_is_that_of_go(vector):
    kind_or_level = vector["level"] if vector["kind"] == "hash" else vector["kind"]
    path = TilePath(vector["kind"], vector["level"], vector["index"], vector["width"])
    assert tile_path(kind_or_level, path.index, path.width) == vector["path"]
    assert parse_tile_path(vector["path"]) == path


# ---- Against certificates of certificate-transparency-go ----


def test_leaf_of_the_published_precertificate_is_what_its_log_signed():
    # That log, older than static-ct-api, left the extensions empty: all but these is the same.
    (parsed,) = embedded_scts(EMBEDDED)
    sct, precertificate = as_sct(parsed), submitted()
    entry = LogEntry(sct.timestamp, True, precertificate.clean_tbs, ISSUER_KEY_HASH, precertificate.der, ())
    signed = precert_signature_input(sct, precertificate.clean_tbs, ISSUER_KEY_HASH)
    assert entry.merkle_tree_leaf(5) == signed[:-2] + b"\x00\x08" + leaf_index_extension(5)


def test_leaf_of_a_final_certificate_holds_it_whole():
    der = EMBEDDED.public_bytes(Encoding.DER)
    leaf = replace(X509, certificate=der).merkle_tree_leaf(0)
    assert x509.load_der_x509_certificate(leaf[15 : 15 + len(der)]) == EMBEDDED


# ---- Entries ----


def _u(length: int, data: bytes) -> bytes:
    return len(data).to_bytes(length, "big") + data


def test_tile_leaf_is_laid_out_as_static_ct_api_says():
    assert PRECERT.tile_leaf(3) == (
        (1337).to_bytes(8, "big")
        + b"\x00\x01"
        + b"k" * 32
        + _u(3, b"tbs")
        + _u(2, b"\x00\x00\x05\x00\x00\x00\x00\x03")
        + _u(3, b"precertificate")
        + _u(2, b"i" * 32 + b"r" * 32)
    )
    assert X509.tile_leaf(3) == (
        (1337).to_bytes(8, "big")
        + b"\x00\x00"
        + _u(3, b"certificate")
        + _u(2, b"\x00\x00\x05\x00\x00\x00\x00\x03")
        + _u(2, b"r" * 32)
    )


@given(
    timestamp=st.integers(0, 2**64 - 1),
    certificate=st.binary(max_size=80),
    precertificate=st.binary(min_size=1, max_size=80) | st.none(),
    fingerprints=st.lists(st.binary(min_size=32, max_size=32), max_size=4),
    index=st.integers(0, 2**40 - 1),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
)
def test_tile_leaf_reads_back_from_the_middle_of_a_tile(
    timestamp, certificate, precertificate, fingerprints, index, before, after
):
    is_precert = precertificate is not None
    entry = LogEntry(
        timestamp, is_precert, certificate, b"k" * 32 * is_precert, precertificate or b"", tuple(fingerprints)
    )
    data = before + entry.tile_leaf(index) + after
    assert LogEntry.from_tile_leaf(data, len(before)) == (entry, index, len(data) - len(after))


@each_kind
def test_tile_leaf_cut_anywhere_is_refused(entry):
    data = entry.tile_leaf(7)
    for end in range(len(data)):
        with pytest.raises(EntryInvalid):
            LogEntry.from_tile_leaf(data[:end])


@each_kind
def test_tile_leaf_with_a_flipped_bit_is_refused_or_another_entry(entry):
    data = entry.tile_leaf(7)
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        try:
            other, index, end = LogEntry.from_tile_leaf(bytes(changed))
        except EntryInvalid:
            continue
        assert (other, index) != (entry, 7)
        assert other.tile_leaf(index) == changed[:end]


def _tile_leaf(
    entry_type: bytes = b"\x00\x00", extensions: bytes = leaf_index_extension(0), chain: bytes = b""
) -> bytes:
    return bytes(8) + entry_type + _u(3, b"certificate") + _u(2, extensions) + _u(2, chain)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _tile_leaf(entry_type=b"\x00\x02"),
        _tile_leaf(entry_type=b"\x80\x00"),
        _tile_leaf(extensions=b""),
        _tile_leaf(extensions=leaf_index_extension(0) + b"\x01\x00\x00"),
        _tile_leaf(extensions=b"\x01\x00\x00" + leaf_index_extension(0)),
        _tile_leaf(chain=bytes(31)),
        _tile_leaf(chain=bytes(33)),
        bytes(8) + b"\x00\x01" + bytes(32) + _u(3, b"tbs") + _u(2, leaf_index_extension(0)) + _u(3, b"") + _u(2, b""),
    ],
)
def test_tile_leaf_of_another_shape_is_refused(data):
    with pytest.raises(EntryInvalid):
        LogEntry.from_tile_leaf(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_precert": False},
        {"issuer_key_hash": b""},
        {"issuer_key_hash": bytes(31)},
        {"precertificate": b""},
        {"is_precert": False, "issuer_key_hash": b""},
        {"is_precert": False, "precertificate": b""},
    ],
)
def test_entry_that_is_neither_kind_is_refused(changes):
    with pytest.raises(ValueError, match="belong to a precertificate"):
        replace(PRECERT, **changes)


@each_kind
def test_bundle_entry_is_the_leaf_after_its_length(entry):
    leaf = entry.merkle_tree_leaf(9)
    assert entry.bundle_entry(9) == len(leaf).to_bytes(2, "big") + leaf


def test_bundle_entry_holds_what_16_bits_can_count_and_no_more():
    room = MAX_BUNDLED - len(replace(X509, certificate=b"").merkle_tree_leaf(0))
    assert len(replace(X509, certificate=bytes(room)).bundle_entry(0)) == 2 + MAX_BUNDLED
    with pytest.raises(OverflowError):
        replace(X509, certificate=bytes(room + 1)).bundle_entry(0)


# ---- Leaf index ----


@pytest.mark.parametrize(
    ("index", "extension"), [(0, "0000050000000000"), (258, "0000050000000102"), (2**40 - 1, "000005ffffffffff")]
)
def test_leaf_index_extension_has_40_bits(index, extension):
    assert leaf_index_extension(index).hex() == extension
    assert parse_leaf_index(bytes.fromhex(extension)) == index


@pytest.mark.parametrize("index", [-1, 2**40])
def test_leaf_index_beyond_40_bits_is_refused(index):
    with pytest.raises(OverflowError):
        leaf_index_extension(index)


def test_leaf_index_is_found_among_other_extensions():
    assert parse_leaf_index(b"\x07\x00\x02ab" + leaf_index_extension(258) + b"\xff\x00\x00") == 258


@pytest.mark.parametrize(
    "extensions",
    [
        "",
        "00",
        "0000",
        "000005",
        "00000500000000",
        "000004000000",
        "00000400000000",
        "000006000000000000",
        "0000050000000000ff",
        "01000500000000" + "00",
        "0000050000000000" + "0000050000000000",
        "0000050000000000" + "010000" + "010000",
    ],
)
def test_extensions_without_one_leaf_index_are_refused(extensions):
    with pytest.raises(EntryInvalid):
        parse_leaf_index(bytes.fromhex(extensions))


# ---- Tile paths ----


@given(
    kind_or_level=st.sampled_from(["data", "entries", 0, 1, 2, 3]),
    index=st.integers(0, 2**8 - 1) | st.integers(0, 2**32 - 1),
    width=st.integers(1, 256),
)
def test_tile_path_reads_back(kind_or_level, index, width):
    level = kind_or_level if isinstance(kind_or_level, int) else 0
    index %= 2 ** (32 - 8 * level)
    kind = "hash" if isinstance(kind_or_level, int) else kind_or_level
    assert parse_tile_path(tile_path(kind_or_level, index, width)) == TilePath(kind, level, index, width)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/0/00",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/X001/000",
        "tile/0/x001/x000",
        "tile/0/x01/000",
        "tile/0/x1234/000",
        "tile/0/-01",
        "tile/0/+01",
        "tile/0/ 01",
        "tile/0/1_0",
        "tile/0/٠٠٠",  # digits, but not ASCII's
        "tile/00/000",
        "tile/-1/000",
        "tile/6/000",
        "tile/63/000",
        "tile/names/000",
        "tile/hash/000",
        "tile/Data/000",
        "tile/8/0/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/999",
        "tile/0/000.p/1000",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000.P/1",
        "tile/0/000/p/1",
        "tile/0/000xp/1",
        "tile/0/000\n",
        "tile/0/000.p/1\n",
        "tile/0/../0/000",
        "tile/0/000%2ep/1",
        "tile/0/x004/x294/x967/296",  # 2**32: beyond the last leaf index
        "tile/1/x016/x777/216",
        "tile/4/256",
        "tile/5/001",
        "tile/0/x001/x004/x294/x967/295",
    ],
)
def test_path_in_any_other_form_is_refused(text):
    with pytest.raises(TilePathInvalid):
        parse_tile_path(text)


# ---- get-sth ----


def test_get_sth_response_is_the_json_of_rfc_6962_section_4_3():
    root = sha256(b"root").digest()
    signature = digitally_signed(LOG_KEY, sth_input(1337, 7, root))
    response = json.loads(TreeHead(1337, 7, root, signature).get_sth_response())
    assert response == {
        "tree_size": 7,
        "timestamp": 1337,
        "sha256_root_hash": b64encode(root).decode(),
        "tree_head_signature": b64encode(signature).decode(),
    }
    assert b64decode(response["tree_head_signature"])[:2] == b"\x04\x03"


def test_a_signature_made_twice_is_the_same():
    assert digitally_signed(LOG_KEY, b"message") == digitally_signed(LOG_KEY, b"message")
