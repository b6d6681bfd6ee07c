"""Signed tree heads as text: C2SP signed-note, tlog-checkpoint, tlog-proof; static-ct-api's RFC6962NoteSignature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head."""

    origin: str
    """The log's name: its submission prefix without scheme and trailing slash."""
    size: int
    root: bytes
    """32 bytes."""

    def text(self) -> str:
        """The note text that gets signed; ends in a newline."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    """4 bytes."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signature lines; holding one says nothing about them."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def sth_input(timestamp: int, size: int, root: bytes) -> bytes:
    """The TreeHeadSignature input of RFC 6962 §3.5; milliseconds."""
    raise NotImplementedError


def log_key_id(origin: str, log_key: EllipticCurvePublicKey) -> bytes:
    """4 bytes, of signature type 0x05 (RFC6962NoteSignature)."""
    raise NotImplementedError


def note_key_id(origin: str, note_key: Ed25519PublicKey) -> bytes:
    """4 bytes, of signature type 0x01 (Ed25519)."""
    raise NotImplementedError


def sign_checkpoint(
    checkpoint: Checkpoint, timestamp: int, log_key: EllipticCurvePrivateKey, note_key: Ed25519PrivateKey
) -> str:
    """The signed note: the log's RFC6962NoteSignature at `timestamp` (milliseconds), then the Ed25519 line."""
    raise NotImplementedError


def verifier_key(origin: str, note_key: Ed25519PublicKey) -> str:
    """The note key as text, signed-note: `<name>+<hex key id>+<base64 of type and key>`."""
    raise NotImplementedError


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Undo `verifier_key`: the name and the key. Raises CheckpointInvalid."""
    raise NotImplementedError


def parse_checkpoint(text: str) -> SignedCheckpoint:
    """Read a signed checkpoint, strictly. Raises CheckpointInvalid."""
    raise NotImplementedError


def verify_log_signature(signed: SignedCheckpoint, origin: str, log_key: EllipticCurvePublicKey) -> int:
    """Return the tree head's time in milliseconds if the log signed it. Raises CheckpointInvalid."""
    raise NotImplementedError


def verify_note_signature(signed: SignedCheckpoint, origin: str, note_key: Ed25519PublicKey) -> None:
    """Return if the Ed25519 key signed it. Raises CheckpointInvalid."""
    raise NotImplementedError


def verify(
    signed: SignedCheckpoint, origin: str, log_key: EllipticCurvePublicKey, note_key: Ed25519PublicKey
) -> int:
    """Both of the above; the time in milliseconds. Raises CheckpointInvalid."""
    raise NotImplementedError


def tlog_proof(index: int, proof: Sequence[bytes], checkpoint_text: str, extra: bytes = b"") -> str:
    """A C2SP tlog-proof@v1: all it takes to check offline that a leaf is in the log."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A parsed tlog-proof@v1; holding one says nothing about its truth."""

    index: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint
    extra: bytes


def parse_tlog_proof(text: str) -> TlogProof:
    """Read a tlog-proof@v1, strictly. Raises CheckpointInvalid. `merkle.verify_inclusion` and `verify` check it."""
    raise NotImplementedError
