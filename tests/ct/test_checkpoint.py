from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ca.ct.checkpoint import (
    MAX_SIGNATURES,
    Checkpoint,
    CheckpointInvalid,
    NoteSignature,
    SignedCheckpoint,
    log_key_id,
    note_key_id,
    parse_checkpoint,
    parse_tlog_proof,
    parse_verifier_key,
    sign_checkpoint,
    tlog_proof,
    tree_head,
    verifier_key,
    verify,
    verify_log_signature,
    verify_note_signature,
    verify_tlog_proof,
)
from ca.ct.merkle import EMPTY_ROOT, ProofInvalid, leaf_hash
from ca.ct.rfc6962 import digitally_signed, sth_input
from tests.ct.oracle import LOG_KEY, NOTE_KEY, VECTORS, unhex

ORIGIN = "ct.example.com/2026h2"
LOG_PUBLIC, NOTE_PUBLIC = LOG_KEY.public_key(), NOTE_KEY.public_key()
HEAD = VECTORS["checkpoints"][0]
SIGNED: str = HEAD["signed"]
BODY, LOG_LINE, NOTE_LINE = SIGNED.partition("\n\n")[0] + "\n", *SIGNED.splitlines(keepends=True)[-2:]
PROOF: str = VECTORS["tlog_proofs"][1]["text"]

each_head = pytest.mark.parametrize("vector", VECTORS["checkpoints"], ids=lambda vector: str(vector["size"]))


def checkpoint(vector: dict = HEAD) -> Checkpoint:
    return Checkpoint(vector["origin"], vector["size"], bytes.fromhex(vector["root"]))


def note(*lines: str, body: str = BODY) -> str:
    return f"{body}\n{''.join(lines)}"


def line(data: bytes, name: str = ORIGIN) -> str:
    return f"— {name} {b64encode(data).decode()}\n"


def signature_of(signature_line: str) -> bytes:
    return b64decode(signature_line.split(" ")[2])


# ---- Against Go ----


@each_head
def test_signed_checkpoint_is_that_of_go_to_the_last_byte(vector):
    assert sign_checkpoint(checkpoint(vector), vector["timestamp"], LOG_KEY, NOTE_KEY) == vector["signed"]


@each_head
def test_checkpoint_of_go_verifies(vector):
    signed = parse_checkpoint(vector["signed"])
    assert signed.checkpoint == checkpoint(vector)
    assert verify(signed, ORIGIN, LOG_PUBLIC, NOTE_PUBLIC) == vector["timestamp"]


@each_head
def test_checkpoint_of_go_holds_a_tree_head_of_rfc_6962(vector):
    head = tree_head(parse_checkpoint(vector["signed"]), ORIGIN, LOG_PUBLIC)
    assert (head.timestamp, head.size, head.root) == (vector["timestamp"], vector["size"], checkpoint(vector).root)
    assert head.signature == digitally_signed(LOG_KEY, bytes.fromhex(vector["sth_input"]))


@each_head
def test_sth_input_is_that_of_go(vector):
    assert sth_input(vector["timestamp"], vector["size"], checkpoint(vector).root).hex() == vector["sth_input"]


def test_key_ids_and_verifier_key_are_those_of_go():
    assert log_key_id(ORIGIN, LOG_PUBLIC).hex() == HEAD["log_key_id"]
    assert note_key_id(ORIGIN, NOTE_PUBLIC).hex() == HEAD["note_key_id"]
    assert verifier_key(ORIGIN, NOTE_PUBLIC) == HEAD["vkey"]
    assert parse_verifier_key(HEAD["vkey"]) == (ORIGIN, NOTE_PUBLIC)


@pytest.mark.parametrize("vector", VECTORS["tlog_proofs"], ids=["plain", "extra"])
def test_tlog_proof_is_that_of_go(vector):
    extra = bytes.fromhex(vector["extra"])
    assert tlog_proof(vector["index"], unhex(vector["proof"]), SIGNED, extra) == vector["text"]
    parsed = parse_tlog_proof(vector["text"])
    assert (parsed.index, list(parsed.proof), parsed.extra) == (vector["index"], unhex(vector["proof"]), extra)
    leaf = leaf_hash(b"%d" % parsed.index)
    assert verify_tlog_proof(parsed, leaf, ORIGIN, LOG_PUBLIC, NOTE_PUBLIC) == HEAD["timestamp"]


# ---- Checkpoints ----


def test_checkpoint_is_laid_out_as_tlog_checkpoint_says():
    assert Checkpoint("example.com/log", 0, EMPTY_ROOT).text() == (
        "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )


@given(size=st.integers(1, 2**64 - 1), root=st.binary(min_size=32, max_size=32), timestamp=st.integers(0, 2**64 - 1))
def test_any_checkpoint_signed_reads_back_and_verifies(size, root, timestamp):
    text = sign_checkpoint(Checkpoint("a.example/é", size, root), timestamp, LOG_KEY, NOTE_KEY)
    signed = parse_checkpoint(text)
    assert signed.text() == text
    assert verify(signed, "a.example/é", LOG_PUBLIC, NOTE_PUBLIC) == timestamp


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, bytes(32)),
        ("a b", 1, bytes(32)),
        ("a+b", 1, bytes(32)),
        ("a\nb", 1, bytes(32)),
        ("a\u2028b", 1, bytes(32)),
        ("a\xa0b", 1, bytes(32)),
        ("a\x00b", 1, bytes(32)),
        ("a\ud800b", 1, bytes(32)),
        (ORIGIN, -1, bytes(32)),
        (ORIGIN, 2**64, bytes(32)),
        (ORIGIN, 1, bytes(31)),
        (ORIGIN, 1, bytes(33)),
        (ORIGIN, 0, bytes(32)),
    ],
)
def test_checkpoint_that_no_log_could_sign_is_refused(origin, size, root):
    with pytest.raises(CheckpointInvalid):
        Checkpoint(origin, size, root)


def test_lines_of_other_signers_are_kept_and_ignored():
    witness = line(b"\x01\x02\x03\x04" + bytes(72), "witness.example")
    same_name = line(b"\x01\x02\x03\x04" + bytes(64))
    same_id = line(signature_of(NOTE_LINE), "witness.example")
    text = note(witness, LOG_LINE, same_name, NOTE_LINE, same_id, witness)
    signed = parse_checkpoint(text)
    assert signed.text() == text
    assert verify(signed, ORIGIN, LOG_PUBLIC, NOTE_PUBLIC) == HEAD["timestamp"]


ROOT = BODY.splitlines()[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n",
        BODY,
        BODY + "\n",
        BODY + LOG_LINE,
        SIGNED[:-1],
        SIGNED + "\n",
        SIGNED + "x",
        SIGNED.replace("\n", "\r\n"),
        "\n" + SIGNED,
        note(LOG_LINE, body=BODY + "extension\n"),
        note(LOG_LINE, body=BODY + "\n"),
        note(LOG_LINE, body=f"{ORIGIN}\n257\n"),
        note(LOG_LINE, body=f"\n257\n{ROOT}\n"),
        note(LOG_LINE, body=f"{ORIGIN} x\n257\n{ROOT}\n"),
        *(
            note(LOG_LINE, body=f"{ORIGIN}\n{size}\n{ROOT}\n")
            for size in ("", "0257", "00", "+257", "-1", "2_57", "257 ", "0x1", "1e3", "٢", str(2**64), "9" * 30, "0")
        ),
        *(
            note(LOG_LINE, body=f"{ORIGIN}\n257\n{root}\n")
            for root in (
                "",
                ROOT[:-1],
                ROOT + "=",
                ROOT[4:],
                "AAAA" + ROOT,
                ROOT[:-2] + "B=",
                ROOT[:9] + " " + ROOT[9:],
            )
        ),
        note(LOG_LINE.replace("—", "-")),
        note(LOG_LINE.replace("— ", "—")),
        note(LOG_LINE.replace("— ", "—  ")),
        note(LOG_LINE.replace(ORIGIN, "")),
        note(LOG_LINE.replace(ORIGIN, "a+b")),
        note(LOG_LINE.replace(ORIGIN, "a\tb")),
        note(LOG_LINE[:-1] + " \n"),
        note(LOG_LINE[:-1] + " x\n"),
        note(LOG_LINE[:-2] + "\n"),
        note(f"— {ORIGIN}\n"),
        note(f"— {ORIGIN} \n"),
        note(line(b"abcd")),
        note(f"— {ORIGIN} YWJjZGV=\n"),  # its spare bits are not zero
        note(LOG_LINE, "\n", NOTE_LINE),
        note(*[LOG_LINE] * (MAX_SIGNATURES + 1)),
        note(line(bytes(1_000_000))),
    ],
)
def test_text_that_is_no_signed_checkpoint_is_refused(text):
    with pytest.raises(CheckpointInvalid):
        parse_checkpoint(text)


# ---- Signatures ----


def _log_line(body: bytes) -> str:
    return line(log_key_id(ORIGIN, LOG_PUBLIC) + body)


LOG_BODY = signature_of(LOG_LINE)[4:]


@pytest.mark.parametrize(
    "lines",
    [
        [NOTE_LINE],
        [LOG_LINE, LOG_LINE],
        [LOG_LINE.replace(ORIGIN, "other.example")],
        [line(note_key_id(ORIGIN, NOTE_PUBLIC) + LOG_BODY)],
        [_log_line(LOG_BODY[:1])],
        [_log_line(LOG_BODY[:8])],
        [_log_line(LOG_BODY[:12])],
        [_log_line(LOG_BODY[:-1])],
        [_log_line(LOG_BODY + b"\x00")],
        [_log_line(LOG_BODY[:8] + b"\x04\x01" + LOG_BODY[10:])],
        [_log_line(LOG_BODY[:8] + b"\x05\x03" + LOG_BODY[10:])],
        [_log_line(LOG_BODY[:8] + b"\x04\x03\x00\x00")],
        [_log_line(LOG_BODY[:10] + b"\x00\x00" + LOG_BODY[12:])],
        [_log_line((HEAD["timestamp"] + 1).to_bytes(8, "big") + LOG_BODY[8:])],
        [_log_line(LOG_BODY[:-1] + bytes([LOG_BODY[-1] ^ 1]))],
    ],
)
def test_log_signature_of_another_shape_or_content_is_refused(lines):
    with pytest.raises(CheckpointInvalid):
        verify_log_signature(parse_checkpoint(note(*lines)), ORIGIN, LOG_PUBLIC)


NOTE_BODY = signature_of(NOTE_LINE)[4:]


@pytest.mark.parametrize(
    "lines",
    [
        [LOG_LINE],
        [NOTE_LINE, NOTE_LINE],
        [NOTE_LINE.replace(ORIGIN, "other.example")],
        [line(note_key_id(ORIGIN, NOTE_PUBLIC) + NOTE_BODY[:-1])],
        [line(note_key_id(ORIGIN, NOTE_PUBLIC) + NOTE_BODY + b"\x00")],
        [line(note_key_id(ORIGIN, NOTE_PUBLIC) + bytes(64))],
        [line(log_key_id(ORIGIN, LOG_PUBLIC) + NOTE_BODY)],
    ],
)
def test_note_signature_of_another_shape_or_content_is_refused(lines):
    with pytest.raises(CheckpointInvalid):
        verify_note_signature(parse_checkpoint(note(*lines)), ORIGIN, NOTE_PUBLIC)


@pytest.mark.parametrize(
    "changed", [replace(checkpoint(), size=258), replace(checkpoint(), root=bytes(32))], ids=["size", "root"]
)
def test_signatures_do_not_hold_for_another_tree(changed):
    signed = SignedCheckpoint(changed, parse_checkpoint(SIGNED).signatures)
    with pytest.raises(CheckpointInvalid, match="log's signature"):
        verify_log_signature(signed, ORIGIN, LOG_PUBLIC)
    with pytest.raises(CheckpointInvalid, match="Ed25519"):
        verify_note_signature(signed, ORIGIN, NOTE_PUBLIC)
    with pytest.raises(CheckpointInvalid):
        verify(signed, ORIGIN, LOG_PUBLIC, NOTE_PUBLIC)


def test_both_signatures_are_needed():
    for only in (LOG_LINE, NOTE_LINE):
        with pytest.raises(CheckpointInvalid, match="signed 0 times"):
            verify(parse_checkpoint(note(only)), ORIGIN, LOG_PUBLIC, NOTE_PUBLIC)


def test_checkpoint_of_another_log_is_refused():
    with pytest.raises(CheckpointInvalid, match=r"expected other\.example"):
        verify(parse_checkpoint(SIGNED), "other.example", LOG_PUBLIC, NOTE_PUBLIC)


def test_checkpoint_under_a_changed_origin_is_refused_by_the_note_key():
    # The log's own signature would hold: RFC 6962 leaves the origin out of it.
    other = "ct.example.com/2027h1"
    moved = tuple(
        NoteSignature(other, key_id, line.signature)
        for key_id, line in zip(
            (log_key_id(other, LOG_PUBLIC), note_key_id(other, NOTE_PUBLIC)),
            parse_checkpoint(SIGNED).signatures,
            strict=True,
        )
    )
    signed = SignedCheckpoint(replace(checkpoint(), origin=other), moved)
    assert verify_log_signature(signed, other, LOG_PUBLIC) == HEAD["timestamp"]
    with pytest.raises(CheckpointInvalid, match="Ed25519"):
        verify(signed, other, LOG_PUBLIC, NOTE_PUBLIC)


def test_keys_of_another_log_are_refused():
    signed = parse_checkpoint(SIGNED)
    with pytest.raises(CheckpointInvalid):
        verify_log_signature(signed, ORIGIN, ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(CheckpointInvalid):
        verify_note_signature(signed, ORIGIN, Ed25519PrivateKey.generate().public_key())


def test_another_key_under_the_same_key_id_is_refused():
    # Key ids have 32 bits: an attacker finds a key with the same one.
    other = Ed25519PrivateKey.generate()
    forged = note(line(note_key_id(ORIGIN, NOTE_PUBLIC) + other.sign(BODY.encode())))
    with pytest.raises(CheckpointInvalid, match="Ed25519"):
        verify_note_signature(parse_checkpoint(forged), ORIGIN, NOTE_PUBLIC)


# ---- Verifier keys ----

VKEY: str = HEAD["vkey"]
NAME, KEY_ID, KEY = VKEY.split("+", 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAME,
        f"{NAME}+{KEY_ID}",
        f"+{KEY_ID}+{KEY}",
        f"other.example+{KEY_ID}+{KEY}",
        f"{NAME}+{KEY_ID.upper()}+{KEY}" if KEY_ID.upper() != KEY_ID else f"{NAME}+0{KEY_ID}+{KEY}",
        f"{NAME}+00000000+{KEY}",
        f"{NAME}+{KEY_ID}+{KEY[:-4]}",
        f"{NAME}+{KEY_ID}+{KEY}\n",
        f"{NAME}+{KEY_ID}+" + b64encode(b"\x02" + b64decode(KEY)[1:]).decode(),
        f"{NAME}+{KEY_ID}+" + b64encode(b64decode(KEY) + bytes(1)).decode(),
        f"{NAME}+{KEY_ID}+!",
        f"na me+{KEY_ID}+{KEY}",
    ],
)
def test_verifier_key_in_any_other_form_is_refused(text):
    with pytest.raises(CheckpointInvalid):
        parse_verifier_key(text)


# ---- Offline proofs ----

HEADER, EXTRA, INDEX, *_ = PROOF.splitlines()
HASH = PROOF.splitlines()[3]


@pytest.mark.parametrize("vector", VECTORS["tlog_proofs"], ids=["plain", "extra"])
def test_tlog_proof_reads_back(vector):
    parsed = parse_tlog_proof(vector["text"])
    assert tlog_proof(parsed.index, parsed.proof, parsed.signed.text(), parsed.extra) == vector["text"]


def test_tlog_proof_of_the_only_leaf_is_empty():
    signed = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(b"0")), 7, LOG_KEY, NOTE_KEY)
    text = tlog_proof(0, [], signed)
    assert text == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{signed}"
    assert verify_tlog_proof(parse_tlog_proof(text), leaf_hash(b"0"), ORIGIN, LOG_PUBLIC, NOTE_PUBLIC) == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        SIGNED,
        PROOF.replace("v1", "v2", 1),
        PROOF.replace(HEADER + "\n", ""),
        PROOF.replace(HEADER, HEADER + " "),
        PROOF.replace(INDEX + "\n", ""),
        PROOF.replace(f"{EXTRA}\n{INDEX}\n", f"{INDEX}\n{EXTRA}\n"),
        PROOF.replace(EXTRA, f"{EXTRA}\n{EXTRA}"),
        PROOF.replace(EXTRA, "extra "),
        PROOF.replace(EXTRA, "extra"),
        PROOF.replace(EXTRA, "extra !"),
        PROOF.replace(INDEX, "index "),
        PROOF.replace(INDEX, "index 0100"),
        PROOF.replace(INDEX, "index -1"),
        PROOF.replace(INDEX, "index\t100"),
        PROOF.replace(INDEX, "Index 100"),
        PROOF.replace(HASH, HASH[:-4]),
        PROOF.replace(HASH, "AAAA" + HASH),
        PROOF.replace(HASH, HASH + " "),
        PROOF.replace(HASH, "!"),
        PROOF.replace(f"\n\n{ORIGIN}", f"\n{ORIGIN}"),
        PROOF.replace(f"\n\n{ORIGIN}", f"\n\n\n{ORIGIN}"),
        PROOF.replace("\n", "\r\n"),
        PROOF + "\n",
        PROOF[:-1],
        PROOF.removesuffix(LOG_LINE + NOTE_LINE),
    ],
)
def test_tlog_proof_in_any_other_form_is_refused(text):
    with pytest.raises(CheckpointInvalid):
        parse_tlog_proof(text)


@pytest.mark.parametrize(
    ("changes", "leaf"),
    [
        ({}, b"101"),
        ({"index": 101}, b"100"),
        ({"index": 257}, b"100"),
        ({"proof": ()}, b"100"),
        ({"proof": tuple(reversed(parse_tlog_proof(PROOF).proof))}, b"100"),
        ({"proof": (*parse_tlog_proof(PROOF).proof, bytes(32))}, b"100"),
    ],
)
def test_tlog_proof_of_something_else_is_refused(changes, leaf):
    with pytest.raises(ProofInvalid):
        verify_tlog_proof(replace(parse_tlog_proof(PROOF), **changes), leaf_hash(leaf), ORIGIN, LOG_PUBLIC, NOTE_PUBLIC)


def test_tlog_proof_under_other_keys_is_refused():
    other = sign_checkpoint(checkpoint(), 7, ec.generate_private_key(ec.SECP256R1()), NOTE_KEY)
    forged = parse_tlog_proof(PROOF.replace(SIGNED, other))
    with pytest.raises(CheckpointInvalid):
        verify_tlog_proof(forged, leaf_hash(b"100"), ORIGIN, LOG_PUBLIC, NOTE_PUBLIC)
