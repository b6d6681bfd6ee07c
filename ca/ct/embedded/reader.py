"""What anybody may read of a log, from its file: as tiles, as RFC 6962 has it, and as proofs for offline use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from ca.ct.checkpoint import parse_checkpoint, tlog_proof, tree_head
from ca.ct.embedded.store import Store
from ca.ct.merkle import TILE_WIDTH, consistency_proof, inclusion_proof
from ca.ct.rfc6962 import SHA256_ECDSA, opaque16
from ca.ct.static_ct import EntryInvalid, LogEntry, parse_leaf_index

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ca.ct.rfc6962 import SCT, TreeHead
    from ca.ct.static_ct import TilePath

MAX_ENTRIES: Final = TILE_WIDTH
"""Entries of one answer to get-entries; a log may give fewer than were asked for (RFC 6962 §4.6)."""
_MAX_ISSUERS: Final = 256


class NotInLog(Exception):
    """The log does not have it, or not yet."""


class OutOfRange(Exception):
    """What was asked for cannot be, in a tree of this size."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry as get-entries has it, RFC 6962 §4.6, before base64."""

    leaf_input: bytes
    extra_data: bytes


class Reader:
    """Reads while others write. All methods block on the disk; they may be called from any thread."""

    def __init__(self, store: Store, log_key: EllipticCurvePublicKey) -> None:
        """Takes over `store`, a connection for reading alone; `log_key` is of the log that it holds."""
        self._store = store
        self._log_key = log_key
        identity = store.identity()
        self.origin = identity.origin
        self.log_id = identity.log_id
        self._issuers: dict[bytes, bytes] = {}

    @classmethod
    def open(cls, database: Path, log_key: EllipticCurvePublicKey) -> Self:
        """Raises ConfigurationError."""
        return cls(Store.open(database, read_only=True), log_key)

    def close(self) -> None:
        self._store.close()

    # ---- static-ct-api and tlog-tiles -----------------------------------------------------------------------

    def checkpoint(self) -> str:
        """The newest one, signed."""
        return self._store.head().checkpoint

    def tile(self, path: TilePath) -> bytes:
        """A tile of hashes, data or entries, of any width that a tree of this log has had. Raises NotInLog."""
        if path.kind == "hash":
            hashes = self._store.hash_tile(path.level, path.index, path.width)
            if hashes is None:
                raise NotInLog("there is no such tile, or it has not so many hashes yet")
            return hashes
        start = path.index * TILE_WIDTH
        leaves = self._store.tile_leaves(start, start + path.width)
        if len(leaves) < path.width:
            raise NotInLog("there is no such tile, or it has not so many entries yet")
        if path.kind == "entries":
            leaves = [_entry(leaf).bundle_entry(start + place) for place, leaf in enumerate(leaves)]
        return b"".join(leaves)

    def issuer(self, fingerprint: bytes) -> bytes:
        """The DER certificate with this SHA-256, of the chain of some entry. Raises NotInLog."""
        der = self._issuers.get(fingerprint) or self._store.issuer(fingerprint)
        if der is None:
            raise NotInLog("no entry of this log has this certificate above it")
        if len(self._issuers) < _MAX_ISSUERS:
            self._issuers[fingerprint] = der
        return der

    # ---- RFC 6962 -------------------------------------------------------------------------------------------

    def tree_head(self) -> TreeHead:
        """For get-sth, RFC 6962 §4.3."""
        return tree_head(parse_checkpoint(self.checkpoint()), self.origin, self._log_key)

    def entries(self, start: int, end: int) -> list[LoggedEntry]:
        """For get-entries, RFC 6962 §4.6: from `start` to `end`, which belongs to them; MAX_ENTRIES at most.

        Raises OutOfRange where there is none.
        """
        if start > end:
            raise OutOfRange(f"start {start} is behind end {end}")
        leaves = self._store.tile_leaves(start, min(end + 1, start + MAX_ENTRIES))
        if not leaves:
            raise OutOfRange(f"there is no entry {start} in a tree of {self._size()}")
        return [self._logged(leaf, index) for index, leaf in enumerate(leaves, start)]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The audit path of RFC 6962 §2.1.1. Raises OutOfRange."""
        self._check_size(size)
        if index >= size:
            raise OutOfRange(f"there is no entry {index} in a tree of {size}")
        return inclusion_proof(index, size, self._store.read_hashes)

    def proof_by_hash(self, leaf_hash: bytes, size: int) -> tuple[int, list[bytes]]:
        """For get-proof-by-hash, RFC 6962 §4.5: leaf index and audit path. Raises OutOfRange or NotInLog."""
        self._check_size(size)
        index = self._store.index_of(leaf_hash)
        if index is None or index >= size:
            raise NotInLog(f"no entry in the tree of {size} has this hash")
        return index, inclusion_proof(index, size, self._store.read_hashes)

    def consistency_proof(self, first: int, second: int) -> list[bytes]:
        """For get-sth-consistency, RFC 6962 §4.4. Raises OutOfRange."""
        self._check_size(second)
        if first > second:
            raise OutOfRange(f"first {first} is larger than second {second}")
        return consistency_proof(first, second, self._store.read_hashes)

    # ---- C2SP tlog-proof ------------------------------------------------------------------------------------

    def offline_proof(self, index: int) -> str:
        """A tlog-proof@v1 for entry `index`, in the tree of the newest checkpoint. Raises NotInLog."""
        head = self._store.head()
        if index >= head.size:
            raise NotInLog(f"there is no entry {index} in a tree of {head.size}")
        return tlog_proof(index, inclusion_proof(index, head.size, self._store.read_hashes), head.checkpoint)

    def index_promised(self, sct: SCT) -> int:
        """The leaf index of the entry that `sct` is this log's promise for. Raises NotInLog where it has none."""
        try:
            index = parse_leaf_index(sct.extensions)
        except EntryInvalid as problem:
            raise NotInLog(f"this log did not give this SCT: {problem}") from problem
        leaves = self._store.tile_leaves(index, index + 1)
        if not leaves or not self._is_promise(sct, _entry(leaves[0]), index):
            raise NotInLog("this log did not give this SCT")
        return index

    def _is_promise(self, sct: SCT, entry: LogEntry, index: int) -> bool:
        """What an SCT signs is the MerkleTreeLeaf, byte for byte (RFC 6962 §3.2, §3.4)."""
        signature = sct.signature[4:]
        if entry.timestamp != sct.timestamp or sct.signature != SHA256_ECDSA + opaque16(signature):
            return False
        try:
            self._log_key.verify(signature, entry.merkle_tree_leaf(index), ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def _logged(self, tile_leaf: bytes, index: int) -> LoggedEntry:
        entry = _entry(tile_leaf)
        chain = [self.issuer(fingerprint) for fingerprint in entry.fingerprints]
        return LoggedEntry(entry.leaf_input(index), entry.extra_data(chain))

    def _size(self) -> int:
        return self._store.head_state()[0]

    def _check_size(self, size: int) -> None:
        if size > self._size():
            raise OutOfRange(f"there is no tree of {size} entries; this one has {self._size()}")


def _entry(tile_leaf: bytes) -> LogEntry:
    return LogEntry.from_tile_leaf(tile_leaf)[0]
