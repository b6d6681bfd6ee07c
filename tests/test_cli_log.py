"""`dayfly log …`, run as people run it, on logs with real entries."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import shutil
import sqlite3
import stat
import subprocess
import sys
from base64 import b64decode
from contextlib import closing
from pathlib import Path

import pytest

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.marker import Marker
from ca.ct.embedded.startup import start
from ca.errors import LogFrozen
from ca.main import clock
from tests.ct.embedded.builders import submission
from tests.ct.embedded.oracle import check_log, merkle_leaf
from tests.ct.embedded.published import check_published, tile_name
from tests.process import DAYFLY, PLAIN, command

ORIGIN = "log.example.com/2026h2"
NEXT = "log.example.com/2027h1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with an empty log."""
    data = tmp_path / "data"
    assert command("log", "init", "--data", data, "--origin", ORIGIN).exit_code == 0
    return data


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def add(data: Path, numbers: range) -> None:
    """Log these, as a server would."""

    async def run() -> None:
        logs = LogDirectory(data)
        log = logs.open(logs.current(), clock)
        try:
            await asyncio.gather(*(log.add(submission(number)) for number in numbers))
        finally:
            await log.aclose()

    asyncio.run(run())


def change(data: Path, statement: str, *values: object) -> None:
    """Damage the log's file behind its back."""
    with closing(sqlite3.connect(data / "ctlog.sqlite")) as sql, sql:
        assert sql.execute(statement, values).rowcount > 0


def info(data: Path) -> list[dict[str, object]]:
    shown = command("log", "info", "--data", data, "--json")
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def verifier_key(data: Path) -> str:
    return str(info(data)[-1]["verifierKey"])


def export(data: Path, out: Path) -> None:
    exported = command("log", "export", out, "--data", data)
    assert exported.exit_code == 0, exported.stderr


def files(out: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time of change and its content."""
    return {
        str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in out.rglob("*")
        if path.is_file()
    }


# ---- init ----


def test_init_makes_keys_and_a_signed_checkpoint_and_prints_what_others_need(tmp_path: Path) -> None:
    made = command("log", "init", "--data", tmp_path / "new", "--origin", ORIGIN)
    assert made.exit_code == 0
    (shown,) = info(tmp_path / "new")
    assert made.stdout.splitlines() == [
        f"origin        {ORIGIN}",
        f"log id        {shown['logId']}",
        f"verifier key  {shown['verifierKey']}",
        f"public key    {tmp_path / 'new' / 'ctlog.pub.pem'}",
    ]
    assert check_log(tmp_path / "new").leaves == ()
    for name in ("ctlog.key.pem", "ctlog-note.key.pem", "ctlog.sqlite"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600


def test_init_takes_the_log_key_of_ca_init(tmp_path: Path) -> None:
    assert command("ca", "init", "--out", tmp_path / "ca").exit_code == 0
    key = (tmp_path / "ca" / "ctlog.pub.pem").read_text()
    assert command("log", "init", "--data", tmp_path / "ca", "--origin", ORIGIN).exit_code == 0
    assert (tmp_path / "ca" / "ctlog.pub.pem").read_text() == key
    check_log(tmp_path / "ca")


def test_init_keeps_what_was_seen_where_it_is_told_to(tmp_path: Path) -> None:
    seen = tmp_path / "elsewhere"
    made = command("log", "init", "--data", tmp_path / "new", "--origin", ORIGIN, "--ct-log-seen", seen)
    assert made.exit_code == 0
    assert len(list(seen.glob("*.checkpoint"))) == 1
    assert not (tmp_path / "new" / "ctlog-seen").exists()


@pytest.mark.parametrize("origin", [ORIGIN, NEXT])
def test_init_makes_no_second_log(data: Path, origin: str) -> None:
    before = files(data)
    refused = command("log", "init", "--data", data, "--origin", origin)
    assert refused.exit_code == 78
    assert f"has the log {ORIGIN} already" in refused.stderr
    assert "dayfly log rotate" in refused.stderr
    assert files(data) == before


def test_init_does_not_begin_a_lost_log_again(data: Path) -> None:
    for path in data.glob("ctlog.*"):
        path.unlink()
    refused = command("log", "init", "--data", data, "--origin", ORIGIN)
    assert refused.exit_code == 78
    assert "was seen before" in refused.stderr
    assert not (data / "ctlog.sqlite").exists()


@pytest.mark.parametrize("origin", ["https://log.example.com", "log.example.com/", "a b", "", "log.example.com/../x"])
def test_init_says_what_an_origin_looks_like(tmp_path: Path, origin: str) -> None:
    refused = command("log", "init", "--data", tmp_path / "new", "--origin", origin)
    assert refused.exit_code == 78
    assert "expected HOST[:PORT][/PATH]" in refused.stderr
    assert not (tmp_path / "new").exists()


# ---- info ----


def test_info_shows_what_the_log_has(data: Path) -> None:
    add(data, range(3))
    tree = check_log(data)
    (shown,) = info(data)
    assert shown["origin"] == ORIGIN
    assert shown["size"] == 3
    assert b64decode(str(shown["root"])) == tree.root
    assert shown["timestamp"] == tree.timestamp
    assert shown["frozen"] is False
    assert int(str(shown["fileSize"])) >= (data / "ctlog.sqlite").stat().st_size


def test_info_reads_well(data: Path) -> None:
    add(data, range(3))
    shown = command("log", "info", "--data", data)
    assert shown.exit_code == 0
    for words in (f"origin        {ORIGIN}", "size          3 entries", "frozen        no", "ctlog.sqlite, "):
        assert words in shown.stdout
    assert f"verifier key  {verifier_key(data)}\n" in shown.stdout, "one line, to be copied"


@pytest.mark.parametrize("words", [["info"], ["verify"], ["freeze"], ["rotate", "--origin", NEXT], ["export", "out"]])
def test_commands_say_how_a_log_is_made(tmp_path: Path, words: list[str]) -> None:
    refused = command("log", *words, "--data", tmp_path)
    assert refused.exit_code == (1 if words == ["verify"] else 78)
    assert "there is no log; make one with `dayfly log init`" in refused.stderr


@pytest.mark.parametrize("words", [["verify"], ["freeze"], ["export", "out"]])
def test_commands_name_the_logs_that_there_are(data: Path, words: list[str]) -> None:
    refused = command("log", *words, "--data", data, "--origin", NEXT)
    assert refused.exit_code != 0
    assert f"there is no log {NEXT}; there are {ORIGIN}" in refused.stderr


def test_the_data_directory_may_come_from_the_environment(data: Path) -> None:
    assert command("log", "info", DAYFLY_DATA=str(data)).exit_code == 0


# ---- freeze and rotate ----


def test_freeze_ends_a_log_that_a_server_has_open(data: Path) -> None:
    async def run() -> None:
        logs = LogDirectory(data)
        log = logs.open(logs.current(), clock)
        try:
            await log.add(submission(0))
            frozen = await asyncio.to_thread(command, "log", "freeze", "--data", data)
            assert frozen.exit_code == 0, frozen.stderr
            with pytest.raises(LogFrozen):
                await log.add(submission(1))
        finally:
            await log.aclose()

    asyncio.run(run())
    assert info(data)[0]["frozen"] is True
    assert len(check_log(data).leaves) == 1


def test_freeze_prints_the_last_checkpoint_and_changes_nothing_the_second_time(data: Path) -> None:
    first, second = (command("log", "freeze", "--data", data) for _ in range(2))
    assert first.exit_code == second.exit_code == 0
    assert first.stdout == second.stdout
    with closing(sqlite3.connect(data / "ctlog.sqlite")) as sql:
        assert first.stdout.endswith(f"\n\n{sql.execute('SELECT checkpoint FROM head').fetchone()[0]}")


def test_rotate_starts_a_log_with_other_keys_and_leaves_the_old_one_as_it_is(data: Path) -> None:
    add(data, range(3))
    old_tree, (before,) = check_log(data), info(data)
    made = command("log", "rotate", "--data", data, "--origin", NEXT)
    assert made.exit_code == 0
    assert f"dayfly log freeze --origin {ORIGIN}" in made.stdout
    old, new = info(data)
    assert old == before
    assert (new["origin"], new["size"]) == (NEXT, 0)
    assert new["logId"] != old["logId"]
    assert new["verifierKey"] != old["verifierKey"]
    add(data, range(5))
    assert check_log(data, old_tree) == old_tree
    assert [shard["size"] for shard in info(data)] == [3, 5]


def test_freeze_takes_the_old_log_by_name(data: Path) -> None:
    assert command("log", "rotate", "--data", data, "--origin", NEXT).exit_code == 0
    assert command("log", "freeze", "--data", data, "--origin", ORIGIN).exit_code == 0
    assert [shard["frozen"] for shard in info(data)] == [True, False]


def test_rotate_takes_no_name_twice(data: Path) -> None:
    refused = command("log", "rotate", "--data", data, "--origin", ORIGIN)
    assert refused.exit_code == 78
    assert "choose another origin" in refused.stderr
    assert len(info(data)) == 1


# ---- verify ----


def test_verify_finds_nothing_wrong_with_a_good_log(data: Path) -> None:
    add(data, range(600))
    verified = command("log", "verify", "--data", data)
    assert verified.exit_code == 0
    assert verified.stdout == f"{ORIGIN}: good, 600 entries\n"
    assert verified.stderr == ""


def test_verify_takes_all_logs_or_one(data: Path) -> None:
    add(data, range(3))
    assert command("log", "rotate", "--data", data, "--origin", NEXT).exit_code == 0
    both = command("log", "verify", "--data", data)
    assert both.stdout == f"{ORIGIN}: good, 3 entries\n{NEXT}: good, 0 entries\n"
    change(data, "UPDATE entry SET identity = zeroblob(32) WHERE leaf_index = 1")
    assert command("log", "verify", "--data", data).exit_code == 1
    assert command("log", "verify", "--data", data, "--origin", NEXT).exit_code == 0


DAMAGE = {
    "entry": ("UPDATE entry SET tile_leaf = CAST(substr(tile_leaf, 1, 60) || x'ff' || substr(tile_leaf, 62) AS BLOB) WHERE leaf_index = 300", "entry 300 "),
    "cut entry": ("UPDATE entry SET tile_leaf = substr(tile_leaf, 1, 60) WHERE leaf_index = 299", "entry 299 "),
    "leaf hash": ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE leaf_index = 17", "entry 17 "),
    "missing entry": ("DELETE FROM entry WHERE leaf_index = 3", "1 of the entries from 0 to 255"),
    "tile": ("UPDATE tile SET hashes = zeroblob(8192) WHERE tile_index = 1", "entry 256 "),
    "missing tile": ("DELETE FROM tile WHERE tile_index = 0", "tile 0 of level 0"),
    "edge": ("UPDATE head SET edge = zeroblob(length(edge))", "entry 512 "),
    "root": ("UPDATE head SET root = zeroblob(32)", "head"),
    "checkpoint": ("UPDATE head SET checkpoint = replace(checkpoint, '600', '599')", "checkpoint"),
    "issuer": ("UPDATE issuer SET der = x'30'", "issuer "),
    "missing issuer": ("DELETE FROM issuer", "issuer "),
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 600 entries, to be copied."""
    data = tmp_path_factory.mktemp("filled") / "data"
    assert command("log", "init", "--data", data, "--origin", ORIGIN).exit_code == 0
    add(data, range(600))
    return data


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "copy"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_names_the_first_damage(copy: Path, damage: str) -> None:
    statement, place = DAMAGE[damage]
    change(copy, statement)
    verified = command("log", "verify", "--data", copy)
    assert verified.exit_code == 1
    assert f"{copy / 'ctlog.sqlite'}: " in verified.stderr
    assert place in verified.stderr
    assert "good" not in verified.stdout


def test_verify_notices_every_flipped_byte_that_matters(copy: Path) -> None:
    """Wherever in the file it is: bytes that belong to no row may be as they like."""
    database = copy / "ctlog.sqlite"
    good, content = database.read_bytes(), everything(database)
    noticed = 0
    for at in [*range(0, 100, 10), *range(100, len(good), len(good) // 40)]:
        database.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        for leftover in copy.glob("ctlog.sqlite-*"):
            leftover.unlink()
        verified = command("log", "verify", "--data", copy)
        assert verified.exit_code in {0, 1}, at
        assert verified.exit_code == 1 or everything(database) == content, at
        noticed += verified.exit_code == 1
    assert noticed > 20


def everything(database: Path) -> list[object]:
    """Every row of every table."""
    with closing(sqlite3.connect(database)) as sql:
        return [
            row
            for table in ("log", "head", "tile", "issuer", "entry")
            for row in sql.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]


def test_verify_shows_how_far_it_is_on_a_terminal_alone(data: Path) -> None:
    add(data, range(3000))
    assert command("log", "verify", "--data", data).stderr == ""
    environment = {**os.environ, **PLAIN, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[1])}
    ours, theirs = pty.openpty()
    script = "import sys, ca.cli.walk; ca.cli.walk.LONG = 1000; from ca.cli import app; app()"
    words = [sys.executable, "-c", script, "log", "verify", "--data", str(data)]
    ran = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=theirs, timeout=50, check=False)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert ran.returncode == 0
    assert "/3000" in shown
    assert ORIGIN in shown


# ---- export ----


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_export_is_whole_for_a_stranger(data: Path, out: Path, size: int) -> None:
    add(data, range(size))
    export(data, out)
    assert check_published(out, verifier_key(data)) == size
    assert not (out / ".new").exists()


def test_export_can_be_read_by_a_web_server(copy: Path, out: Path) -> None:
    export(copy, out)
    umask = os.umask(0)
    os.umask(umask)
    assert {stat.S_IMODE((out / name).stat().st_mode) for name in files(out)} == {0o644 & ~umask}


def test_export_goes_on_where_it_stopped_and_changes_nothing_that_is_there(data: Path, out: Path) -> None:
    before: dict[str, tuple[int, bytes]] = {}
    for first, end in [(0, 3), (3, 300), (300, 301), (301, 512), (512, 1200)]:
        add(data, range(first, end))
        export(data, out)
        after = files(out)
        assert check_published(out, verifier_key(data)) == end
        kept = {name for name in before if name != "checkpoint" and name in after}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert all(".p/" in name for name in before.keys() - after.keys())
        before = after


def test_export_keeps_partial_tiles_until_they_are_full(data: Path, out: Path) -> None:
    for end in (3, 7):
        add(data, range(end))
        export(data, out)
    for kind in ("0", "data", "entries"):
        assert (out / tile_name(kind, 0, 3)).exists(), "somebody has read the checkpoint of 3 entries"
    add(data, range(300))
    export(data, out)
    assert not list((out / "tile").rglob("000.p/*/"))
    assert not (out / "tile/0/000.p").exists()
    assert (out / "tile/1/000.p/1").exists()


def test_export_without_news_writes_nothing(copy: Path, out: Path) -> None:
    export(copy, out)
    before = files(out)
    export(copy, out)
    after = files(out)
    del before["checkpoint"], after["checkpoint"]
    assert after == before


def test_export_publishes_the_last_checkpoint_of_a_frozen_log(copy: Path, out: Path) -> None:
    export(copy, out)
    frozen = command("log", "freeze", "--data", copy).stdout
    export(copy, out)
    assert frozen.endswith((out / "checkpoint").read_text())


def test_export_goes_on_after_a_run_that_was_killed(copy: Path, out: Path) -> None:
    """Before the checkpoint there may be any beginning of the files, each of them whole."""
    export(copy, out)
    whole = files(out)
    order = sorted(whole, key=lambda name: whole[name][0])
    assert order[-1] == "checkpoint"
    for count in range(len(order)):
        shutil.rmtree(out)
        for name in order[:count]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(whole[name][1])
        (out / ".new").parent.mkdir(exist_ok=True)
        (out / ".new").write_bytes(b"half of a fi")
        export(copy, out)
        assert {name: content for name, (_, content) in files(out).items()} == {
            name: content for name, (_, content) in whole.items()
        }


def test_export_takes_the_log_that_is_named(data: Path, out: Path) -> None:
    add(data, range(3))
    assert command("log", "rotate", "--data", data, "--origin", NEXT).exit_code == 0
    assert command("log", "export", out, "--data", data, "--origin", ORIGIN).exit_code == 0
    assert check_published(out, str(info(data)[0]["verifierKey"])) == 3


def test_export_does_not_mix_two_logs(data: Path, copy: Path, out: Path) -> None:
    export(copy, out)
    before = files(out)
    refused = command("log", "export", out, "--data", data)
    assert refused.exit_code == 78
    assert "is not a checkpoint of" in refused.stderr
    assert files(out) == before


def test_export_does_not_mix_two_logs_even_without_a_checkpoint(data: Path, copy: Path, out: Path) -> None:
    export(copy, out)
    (out / "checkpoint").unlink()
    add(data, range(1000, 1600))
    refused = command("log", "export", out, "--data", data)
    assert refused.exit_code == 78
    assert "is not what the log has there" in refused.stderr
    assert not (out / "checkpoint").exists()


def test_export_does_not_go_back_in_time(copy: Path, tmp_path: Path, out: Path) -> None:
    old = Path(shutil.copytree(copy, tmp_path / "old"))
    add(copy, range(600, 700))
    export(copy, out)
    before = files(out)
    refused = command("log", "export", out, "--data", old)
    assert refused.exit_code == 78
    assert "was published with 700 entries" in refused.stderr
    assert files(out) == before


def test_export_notices_two_trees_under_one_key(copy: Path, tmp_path: Path, out: Path) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    add(copy, range(600, 700))
    add(other, range(700, 900))
    export(copy, out)
    before = files(out)
    refused = command("log", "export", out, "--data", other)
    assert refused.exit_code == 78
    assert "is of another tree" in refused.stderr
    assert files(out) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_export_publishes_nothing_of_a_damaged_log(copy: Path, out: Path, damage: str) -> None:
    statement, place = DAMAGE[damage]
    change(copy, statement)
    refused = command("log", "export", out, "--data", copy)
    assert refused.exit_code == 78
    assert place in refused.stderr
    assert not (out / "checkpoint").exists()


def forge(data: Path) -> None:
    """Change the last entry, and every hash of it but the signed root."""
    with closing(sqlite3.connect(data / "ctlog.sqlite")) as sql:
        (tile_leaf, old), (edge,) = (
            sql.execute("SELECT tile_leaf, leaf_hash FROM entry WHERE leaf_index = 599").fetchone(),
            sql.execute("SELECT edge FROM head").fetchone(),
        )
    forged = tile_leaf[:60] + bytes([tile_leaf[60] ^ 1]) + tile_leaf[61:]
    new = hashlib.sha256(b"\x00" + merkle_leaf(forged, 599)[0]).digest()
    change(data, "UPDATE entry SET tile_leaf = ?, leaf_hash = ? WHERE leaf_index = 599", forged, new)
    change(data, "UPDATE head SET edge = ?", edge.replace(old, new))


def test_export_hashes_up_to_the_root_that_was_signed(copy: Path, out: Path) -> None:
    forge(copy)
    refused = command("log", "export", out, "--data", copy)
    assert refused.exit_code == 78
    assert "do not hash to the root of the tree of 600" in refused.stderr
    assert not (out / "checkpoint").exists()


def test_export_writes_all_levels_of_a_tall_tree(data: Path, out: Path) -> None:
    size = 256**2 + 257
    sequencer = start(data / "ctlog.sqlite", load_keys(data), Marker.of(data / "ctlog-seen", ORIGIN), clock)
    for first in range(0, size, 4096):
        sequencer.sequence([submission(number) for number in range(first, min(first + 4096, size))])
        if first == 10 * 4096:
            export(data, out)
    sequencer.store.close()
    export(data, out)
    assert check_published(out, verifier_key(data)) == size
    assert (out / "tile/1/000").stat().st_size == 8192
    assert not (out / "tile/1/000.p").exists()
    assert (out / "tile/data/256").exists()
    assert (out / "tile/2/000.p/1").exists()


@pytest.mark.parametrize("name", ["tile/0/002.p/88", "tile/1/000.p/2"])
@pytest.mark.parametrize("ruin", ["missing", "short", "other"])
def test_export_does_not_go_on_from_ruins(copy: Path, out: Path, name: str, ruin: str) -> None:
    export(copy, out)
    path = out / name
    content = path.read_bytes()
    path.unlink()
    if ruin != "missing":
        path.write_bytes(content[:-1] if ruin == "short" else bytes(len(content)))
    refused = command("log", "export", out, "--data", copy)
    assert refused.exit_code == 78
    assert "export into an empty directory" in refused.stderr


def test_export_stays_out_of_the_directory_with_the_keys(copy: Path) -> None:
    refused = command("log", "export", copy, "--data", copy)
    assert refused.exit_code == 78
    assert "keys, which nobody must serve" in refused.stderr
    assert not (copy / "checkpoint").exists()


def test_export_says_where_it_cannot_write(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = command("log", "export", tmp_path / "file", "--data", copy)
    assert refused.exit_code == 78
    assert f"{tmp_path / 'file'}: cannot be written" in refused.stderr


def test_export_is_alone(copy: Path, out: Path) -> None:
    out.mkdir()
    script = (
        f"import fcntl, os, sys; fcntl.flock(os.open({str(out)!r}, 0), 2); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        refused = command("log", "export", out, "--data", copy)
        assert refused.exit_code == 78
        assert "another export writes there" in refused.stderr
        other.communicate()
    export(copy, out)


def test_export_shows_where_it_wrote_as_a_process_of_its_own(copy: Path, out: Path) -> None:
    words = [*DAYFLY, "log", "export", str(out), "--data", str(copy)]
    environment = {**os.environ, **PLAIN, "PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{ORIGIN}: 600 entries in {out}\n", "")
