"""The log's endpoints read by strangers: certificate-transparency-go's client, and tessera's fsck.

fsck ends with 0 whatever it finds (v1.0.4), so that its line of success is what counts.
"""

from __future__ import annotations

import hashlib
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.certificate.chain import certificate_pem
from ca.ct.checkpoint import verifier_key
from ca.ct.merkle import root_at
from tests.api.log_server import NEW, Served, running_logs
from tests.certificate.pki import CA, issue, make_ca
from tests.e2e.processes import Tools, run

SUCCESS = "Successfully fsck'd log"
LARGE = 70_000
"""A third level of tiles."""

Client = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def issuer() -> CA:
    return make_ca()


@pytest.fixture(scope="module", params=[3, LARGE])
def size(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, issuer: CA, size: int) -> Iterator[Served]:
    """A log with `size` entries, which the tests that upload add to."""
    with running_logs(tmp_path_factory.mktemp("logs"), issuer, size) as logs:
        yield logs


@pytest.fixture
def ctclient(tools: Tools, served: Served, tmp_path: Path) -> Client:
    key = tmp_path / "log.pub.pem"
    key.write_bytes(served.log_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    url = f"{str(served.client.base_url).rstrip('/')}/ctlog"

    def ctclient(command: str, *flags: str) -> CompletedProcess[str]:
        return run([tools.binary("ctclient"), command, f"--log_uri={url}", f"--pub_key={key}", *flags])

    return ctclient


def fsck(tools: Tools, served: Served, tmp_path: Path) -> str:
    key = tmp_path / "verifier-key"
    key.write_text(verifier_key(NEW, served.note_key))
    url = f"{str(served.client.base_url).rstrip('/')}/ctlog/"
    words = [f"--storage_url={url}", f"--public_key={key}", f"--origin={NEW}", "--ui=false", "--N=2"]
    checked = run([tools.binary("fsck"), *words], errors="replace")
    return checked.stdout + checked.stderr


def test_fsck_finds_every_tile_and_entry_in_place(tools, served, tmp_path):
    assert SUCCESS in fsck(tools, served, tmp_path)


def test_ctclient_verifies_the_tree_head(ctclient, served):
    shown = ctclient("get-sth")
    assert shown.returncode == 0, shown.stderr
    assert f"size={served.get('ct/v1/get-sth').json()['tree_size']}" in shown.stdout + shown.stderr


def test_ctclient_reads_the_roots(ctclient, issuer):
    shown = ctclient("get-roots", "--text=false")
    assert shown.returncode == 0, shown.stderr
    assert "".join(issuer.chain.pems[-1].split()) in "".join(shown.stdout.split())


def test_ctclient_verifies_the_inclusion_of_an_entry_by_its_hash(ctclient, served, size):
    for index in {0, size // 2, size - 1}:
        entry = served.get("ct/v1/get-entries", start=index, end=index).json()["entries"][0]
        leaf = hashlib.sha256(b"\0" + b64decode(entry["leaf_input"])).hexdigest()
        shown = ctclient("inclusion", f"--leaf_hash={leaf}")
        assert shown.returncode == 0, shown.stderr
        assert "Verified that hash" in shown.stdout + shown.stderr
    assert ctclient("inclusion", f"--leaf_hash={'00' * 32}").returncode != 0


def test_ctclient_verifies_that_trees_continue_each_other(ctclient, served, size):
    def root(of: int) -> str:
        return root_at(of, served.current.reader._store.read_hashes).hex()

    for old in {1, 2, size * 2 // 3}:
        flags = (f"--prev_size={old}", f"--size={size}", f"--tree_hash={root(size)}")
        shown = ctclient("consistency", f"--prev_hash={root(old)}", *flags)
        assert shown.returncode == 0, shown.stderr
        assert ctclient("consistency", f"--prev_hash={'00' * 32}", *flags).returncode != 0


@pytest.mark.parametrize("kind", ["precertificate", "final"])
def test_ctclient_uploads_and_finds_the_promise_kept(ctclient, issuer, tmp_path, kind):
    issued = issue(issuer)
    chain = tmp_path / "chain.pem"
    chain.write_text("".join(map(certificate_pem, [getattr(issued, kind), *issuer.chain.ders])))
    shown = ctclient("upload", f"--cert_chain={chain}", "--log_mmd=1ms")
    assert shown.returncode == 0, shown.stderr
    assert "Verified that hash" in shown.stdout + shown.stderr


def test_ctclient_is_told_why_a_chain_is_refused(ctclient, tmp_path):
    key_of_another = make_ca("P-384")  # the same names
    chain = tmp_path / "chain.pem"
    ders = [issue(key_of_another).precertificate, *make_ca("P-256").chain.ders]
    chain.write_text("".join(map(certificate_pem, ders)))
    shown = ctclient("upload", f"--cert_chain={chain}")
    assert shown.returncode != 0
    assert "not signed by the next one" in shown.stdout + shown.stderr


def test_fsck_finds_one_flipped_bit_of_an_entry(tools, served, tmp_path, size):
    last = size - 1  # an early one leaves fsck waiting for itself (v1.0.4)
    (database,) = served.directory.glob("shards/*/ctlog.sqlite")
    with closing(sqlite3.connect(database)) as sql, sql:
        (leaf,) = sql.execute("SELECT tile_leaf FROM entry WHERE leaf_index = ?", (last,)).fetchone()
        flipped = leaf[:60] + bytes([leaf[60] ^ 1]) + leaf[61:]
        sql.execute("UPDATE entry SET tile_leaf = ? WHERE leaf_index = ?", (flipped, last))
    assert SUCCESS not in fsck(tools, served, tmp_path)
