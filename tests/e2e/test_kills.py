"""A log whose processes are killed under load, twenty times: every one of 10,000 promises is kept, as anybody can check."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest

from ca.ct.checkpoint import parse_checkpoint
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.reader import Reader
from ca.ct.merkle import verify_inclusion
from tests.ct.embedded.builders import ISSUER_KEY_HASH, World, real_clock
from tests.ct.embedded.test_durability import check_all, promises, wait_for_promises, workers
from tests.ct.logs import signed_by_log
from tests.process import command

KILLS = 20
PROMISES = 10_000


@pytest.mark.timeout(600)
def test_twenty_kills_break_none_of_ten_thousand_promises(tmp_path: Path) -> None:
    world = World(tmp_path / "log", clock=real_clock).create()  # type: ignore[arg-type]
    for kill in range(1, KILLS + 1):
        with workers(world, str(2 * kill), str(2 * kill + 1)) as (one, other):
            wait_for_promises(world, PROMISES // KILLS, seconds=60)
            for process in (one, other):
                process.send_signal(signal.SIGKILL)
                process.wait()
    kept = promises(world)
    assert len(kept) >= PROMISES

    check_all(world, None)
    verified = command("log", "verify", "--data", world.path)
    assert verified.exit_code == 0, verified.stderr

    reader = Reader.open(world.database, load_keys(world.path).log_key.public_key())
    tree = parse_checkpoint(reader.checkpoint()).checkpoint
    for tbs, sct in kept:
        leaf = hashlib.sha256(b"\0" + signed_by_log(tbs, ISSUER_KEY_HASH, sct.timestamp, sct.extensions)).digest()
        index, proof = reader.proof_by_hash(leaf, tree.size)
        verify_inclusion(leaf, index, tree.size, proof, tree.root)
    reader.close()
