"""Exported logs read by tessera's fsck, which knows neither Dayfly nor X.509: it fetches and hashes everything.

It ends with 0 whatever it finds (v1.0.4), so that its line of success is what counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.marker import Marker
from ca.ct.embedded.startup import start
from ca.main import clock
from tests.ct.embedded.builders import submission
from tests.e2e.processes import Tools, run
from tests.process import command

ORIGIN = "log.example.com/2026h2"
SUCCESS = "Successfully fsck'd log"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty directory, and the URL at which a web server that knows files alone has it."""
    out = tmp_path / "out"
    out.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield out, f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def load(data: Path, size: int) -> None:
    """Log so many entries, in large batches."""
    logs = LogDirectory(data)
    shard = logs.create(ORIGIN, clock()) if not logs.shards() else logs.current()
    sequencer = start(shard.database, load_keys(data), Marker.of(data / "ctlog-seen", ORIGIN), clock)
    for first in range(0, size, 4096):
        sequencer.sequence([submission(number) for number in range(first, min(first + 4096, size))])
    sequencer.store.close()


def fsck(tools: Tools, data: Path, url: str, tmp_path: Path) -> str:
    shown = json.loads(command("log", "info", "--data", data, "--json").stdout)
    key = tmp_path / "verifier-key"
    key.write_text(shown[0]["verifierKey"])
    words = [f"--storage_url={url}", f"--public_key={key}", f"--origin={ORIGIN}", "--ui=false", "--N=2"]
    checked = run([tools.binary("fsck"), *words], errors="replace")
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("size", [1, 3, 256, 257, 70_000])
def test_fsck_finds_an_export_whole(tools, served, tmp_path, size):
    out, url = served
    load(tmp_path / "data", size)
    exported = command("log", "export", out, "--data", tmp_path / "data")
    assert exported.exit_code == 0, exported.stderr
    assert SUCCESS in fsck(tools, tmp_path / "data", url, tmp_path)


def test_fsck_finds_an_export_whole_that_grew(tools, served, tmp_path):
    out, url = served
    for size in (3, 300, 900):
        load(tmp_path / "data", size)
        assert command("log", "export", out, "--data", tmp_path / "data").exit_code == 0
        assert SUCCESS in fsck(tools, tmp_path / "data", url, tmp_path)


@pytest.mark.parametrize(
    "name", ["checkpoint", "tile/0/000", "tile/0/002.p/88", "tile/entries/001", "tile/entries/002.p/88"]
)
def test_fsck_finds_one_flipped_bit(tools, served, tmp_path, name):
    out, url = served
    load(tmp_path / "data", 600)
    assert command("log", "export", out, "--data", tmp_path / "data").exit_code == 0
    content = bytearray((out / name).read_bytes())
    # Of a checkpoint a byte of the root: fsck reads the note's signature alone, not the log's own beside it.
    content[content.index(b"\n600\n") + 10 if name == "checkpoint" else len(content) // 2] ^= 1
    (out / name).write_bytes(content)
    assert SUCCESS not in fsck(tools, tmp_path / "data", url, tmp_path)
