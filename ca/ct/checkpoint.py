"""Tree heads as signed text: C2SP signed-note, tlog-checkpoint, tlog-proof, and the log's signature of static-ct-api.

A checkpoint carries the log's own signature, which is that of RFC 6962 and leaves the origin out, and an Ed25519
line, which covers all of the text and is what witnesses ask for.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.ct.merkle import EMPTY_ROOT, HASH_SIZE, verify_inclusion
from ca.ct.rfc6962 import SHA256_ECDSA, TreeHead, digitally_signed, sth_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_NOTE = 1_000_000
"""Characters of a signed note that are worth reading; as golang.org/x/mod/sumdb/note has it."""
MAX_SIGNATURES = 100
"""Ibid.; signed-note asks for 16 at least."""

_ED25519, _RFC6962 = b"\x01", b"\x05"  # signed-note#signature-types
_NUMBER = re.compile("0|[1-9][0-9]{0,19}")
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"


class CheckpointInvalid(ValueError):
    """Text is not the signed checkpoint, key or proof that it should be, or its signature is not the key's."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. Raises CheckpointInvalid where no log could sign it."""

    origin: str
    """The log's name: its submission prefix without scheme and trailing slash."""
    size: int
    root: bytes
    """32 bytes."""

    def __post_init__(self) -> None:
        _check_name(self.origin)
        if not 0 <= self.size < 2**64:
            raise CheckpointInvalid(f"a tree has no {self.size} leaves; expected an uint64")
        if len(self.root) != HASH_SIZE:
            raise CheckpointInvalid(f"the root has {len(self.root)} bytes; expected {HASH_SIZE}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointInvalid("the root of the empty tree is the hash of nothing")

    def text(self) -> str:
        """The note text that gets signed, tlog-checkpoint#note-text."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature line of a note, signed-note#signatures."""

    name: str
    key_id: bytes
    """4 bytes."""
    signature: bytes

    def line(self) -> str:
        return f"— {self.name} {_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signature lines. Holding one says nothing about these."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def text(self) -> str:
        """The note as it is served."""
        return f"{self.checkpoint.text()}\n{''.join(signature.line() for signature in self.signatures)}"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A C2SP tlog-proof@v1. Holding one says nothing about its truth."""

    index: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint
    extra: bytes
    """Covered by no signature."""


# ---- Keys ----


def log_key_id(origin: str, log_key: EllipticCurvePublicKey) -> bytes:
    """The key id of the log's RFC6962NoteSignature, static-ct-api#checkpoints: 4 bytes."""
    log_id = hashlib.sha256(log_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return _key_id(origin, _RFC6962 + log_id)


def note_key_id(origin: str, note_key: Ed25519PublicKey) -> bytes:
    """The key id of an Ed25519 signature, signed-note#ed25519-signatures: 4 bytes."""
    return _key_id(origin, _ED25519 + note_key.public_bytes_raw())


def verifier_key(origin: str, note_key: Ed25519PublicKey) -> str:
    """The note key as text, a vkey: `<name>+<hex key id>+<base64 of signature type and key>`."""
    return f"{origin}+{note_key_id(origin, note_key).hex()}+{_base64(_ED25519 + note_key.public_bytes_raw())}"


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Undo `verifier_key`: the name and the key. Raises CheckpointInvalid."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    _check_name(name)
    typed_key = _unbase64(encoded, "verifier key")
    if typed_key[:1] != _ED25519 or len(typed_key) != 33:
        raise CheckpointInvalid("the verifier key is not an Ed25519 key of 32 bytes after the type 01")
    if key_id != _key_id(name, typed_key).hex():
        raise CheckpointInvalid("the verifier key's id does not belong to its name and key")
    return name, Ed25519PublicKey.from_public_bytes(typed_key[1:])


# ---- Checkpoints ----


def sign_checkpoint(
    checkpoint: Checkpoint, timestamp: int, log_key: EllipticCurvePrivateKey, note_key: Ed25519PrivateKey
) -> str:
    """The signed note: the log's own signature, at `timestamp` in milliseconds, then the Ed25519 line."""
    text, origin = checkpoint.text(), checkpoint.origin
    tree_head_signature = digitally_signed(log_key, sth_input(timestamp, checkpoint.size, checkpoint.root))
    signatures = (
        NoteSignature(
            origin, log_key_id(origin, log_key.public_key()), timestamp.to_bytes(8, "big") + tree_head_signature
        ),
        NoteSignature(origin, note_key_id(origin, note_key.public_key()), note_key.sign(text.encode())),
    )
    return SignedCheckpoint(checkpoint, signatures).text()


def parse_checkpoint(text: str) -> SignedCheckpoint:
    """Read a signed checkpoint; `SignedCheckpoint.text` writes it again to the letter.

    Extension lines are refused: the log's signature does not cover them, and static-ct-api forbids them. Lines of
    other signers are kept. Raises CheckpointInvalid.
    """
    if len(text) > MAX_NOTE:
        raise CheckpointInvalid(f"the checkpoint has {len(text)} characters; expected {MAX_NOTE} at most")
    body, blank, signature_lines = text.rpartition("\n\n")
    lines = signature_lines.split("\n")
    if not blank or lines.pop() or not lines:
        raise CheckpointInvalid("the checkpoint has no blank line with signature lines after it")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointInvalid(f"the checkpoint has {len(lines)} signatures; expected {MAX_SIGNATURES} at most")
    return SignedCheckpoint(_parse_body(body), tuple(map(_parse_signature, lines)))


def verify(signed: SignedCheckpoint, origin: str, log_key: EllipticCurvePublicKey, note_key: Ed25519PublicKey) -> int:
    """Return the tree head's time in milliseconds if both keys of the log named `origin` signed it.

    Raises CheckpointInvalid.
    """
    verify_note_signature(signed, origin, note_key)
    return verify_log_signature(signed, origin, log_key)


def verify_log_signature(signed: SignedCheckpoint, origin: str, log_key: EllipticCurvePublicKey) -> int:
    """Return the tree head's time in milliseconds if the log's key signed it. Raises CheckpointInvalid.

    The signature leaves the origin out: another log with the same key could have made it.
    """
    head = tree_head(signed, origin, log_key)
    try:
        log_key.verify(head.signature[4:], sth_input(head.timestamp, head.size, head.root), ECDSA(SHA256()))
    except InvalidSignature as problem:
        raise CheckpointInvalid("the log's signature is not its key's over this tree head") from problem
    return head.timestamp


def tree_head(signed: SignedCheckpoint, origin: str, log_key: EllipticCurvePublicKey) -> TreeHead:
    """The same head as RFC 6962 has it, out of the RFC6962NoteSignature of static-ct-api#checkpoints.

    The signature is read, not verified. Raises CheckpointInvalid.
    """
    body = _signature_by(signed, origin, log_key_id(origin, log_key))
    timestamp, tree_head_signature = body[:8], body[8:]
    algorithm, length, signature = tree_head_signature[:2], tree_head_signature[2:4], tree_head_signature[4:]
    if algorithm != SHA256_ECDSA or length != len(signature).to_bytes(2, "big"):
        raise CheckpointInvalid("the log's signature is not an RFC6962NoteSignature by ECDSA with SHA-256")
    checkpoint = signed.checkpoint
    return TreeHead(int.from_bytes(timestamp, "big"), checkpoint.size, checkpoint.root, tree_head_signature)


def verify_note_signature(signed: SignedCheckpoint, origin: str, note_key: Ed25519PublicKey) -> None:
    """Return if the Ed25519 key signed the text, signed-note#ed25519-signatures. Raises CheckpointInvalid."""
    signature = _signature_by(signed, origin, note_key_id(origin, note_key))
    try:
        note_key.verify(signature, signed.checkpoint.text().encode())
    except InvalidSignature as problem:
        raise CheckpointInvalid("the Ed25519 signature is not its key's over this checkpoint") from problem


# ---- Offline proofs ----


def tlog_proof(index: int, proof: Sequence[bytes], checkpoint_text: str, extra: bytes = b"") -> str:
    """A C2SP tlog-proof@v1, all it takes to check offline that a leaf is in the log.

    `proof` is the inclusion proof of leaf `index` in the tree of the signed checkpoint. `extra` is for the
    application, left out where empty, and covered by no signature.
    """
    lines = [
        _PROOF_HEADER,
        *([f"extra {_base64(extra)}"] if extra else []),
        f"index {index}",
        *map(_base64, proof),
        "",
        checkpoint_text,
    ]
    return "\n".join(lines)


def parse_tlog_proof(text: str) -> TlogProof:
    """Read a tlog-proof@v1; `tlog_proof` writes it again to the letter. Raises CheckpointInvalid."""
    head, blank, checkpoint_text = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _PROOF_HEADER or not blank:
        raise CheckpointInvalid(f"the text is no proof; expected '{_PROOF_HEADER}' first and a blank line")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = _unbase64(lines.pop(0).removeprefix("extra "), "extra data")
        if not extra:
            raise CheckpointInvalid("the proof's extra data are empty; expected no such line then")
    index = lines.pop(0) if lines else ""
    if not index.startswith("index "):
        raise CheckpointInvalid("the proof has no index line after its header and extra data")
    return TlogProof(
        _number(index.removeprefix("index "), "index"),
        tuple(_unbase64(line, "hash", HASH_SIZE) for line in lines),
        parse_checkpoint(checkpoint_text),
        extra,
    )


def verify_tlog_proof(
    proof: TlogProof,
    leaf_hash: bytes,
    origin: str,
    log_key: EllipticCurvePublicKey,
    note_key: Ed25519PublicKey,
) -> int:
    """Return the time, in milliseconds, of the tree head that has `leaf_hash` at the proof's index.

    Raises CheckpointInvalid or ProofInvalid.
    """
    timestamp = verify(proof.signed, origin, log_key, note_key)
    head = proof.signed.checkpoint
    verify_inclusion(leaf_hash, proof.index, head.size, proof.proof, head.root)
    return timestamp


# ---- Text ----


def _key_id(name: str, typed_key: bytes) -> bytes:
    """signed-note#signatures."""
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:4]


def _signature_by(signed: SignedCheckpoint, origin: str, key_id: bytes) -> bytes:
    """The one signature of the key with `key_id` of the log named `origin`."""
    if signed.checkpoint.origin != origin:
        raise CheckpointInvalid(f"the checkpoint is of {signed.checkpoint.origin}; expected {origin}")
    found = [line.signature for line in signed.signatures if (line.name, line.key_id) == (origin, key_id)]
    if len(found) != 1:
        raise CheckpointInvalid(f"the key {key_id.hex()} of {origin} signed {len(found)} times; expected once")
    return found[0]


def _parse_body(body: str) -> Checkpoint:
    """The checkpoint in a note text without its final newline."""
    lines = body.split("\n")
    if len(lines) != 3:
        raise CheckpointInvalid(f"the checkpoint has {len(lines)} lines; expected origin, size and root")
    origin, size, root = lines
    return Checkpoint(origin, _number(size, "size"), _unbase64(root, "root", HASH_SIZE))


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise CheckpointInvalid("a signature line does not begin with an em dash and a space")
    _check_name(name)
    signature = _unbase64(encoded, "signature")
    if len(signature) < 5:
        raise CheckpointInvalid("a signature line holds no key id with a signature after it")
    return NoteSignature(name, signature[:4], signature[4:])


def _check_name(name: str) -> None:
    """signed-note#format; the rest of a note is ASCII, so that this check is the one for encoding too."""
    if not name or not name.isprintable() or any(character.isspace() or character == "+" for character in name):
        raise CheckpointInvalid(f"{name!r} cannot name a log; expected no spaces, no plus, no control characters")


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise CheckpointInvalid(f"the {what} {text[:24]!r} is not a number in decimal without leading zeroes")
    return int(text)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _unbase64(text: str, what: str, length: int | None = None) -> bytes:
    """RFC 4648 §4, in the one form that encodes these bytes: signatures do not cover another one's spare bits."""
    try:
        data = b64decode(text, validate=True)
    except ValueError as problem:
        raise CheckpointInvalid(f"the {what} is not base64") from problem
    if _base64(data) != text:
        raise CheckpointInvalid(f"the {what} is not in the canonical form of base64")
    if length is not None and len(data) != length:
        raise CheckpointInvalid(f"the {what} has {len(data)} bytes; expected {length}")
    return data
