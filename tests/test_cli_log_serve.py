"""`dayfly log serve`: a process that is a log and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from socket import create_server

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.host import HostLock
from ca.keys.ceremony import create_intermediate, create_root
from ca.main import clock
from tests.ct.embedded.builders import submission
from tests.ct.embedded.disk import build_disk
from tests.ct.embedded.oracle import check_log
from tests.ct.logs import signed_by_log
from tests.ct.pki import CA, leaf, precertificate
from tests.process import Served, command, free_port, serving

ORIGIN = "log.example.com/2026h2"
NEXT = "log.example.com/2027h1"


@pytest.fixture(scope="module")
def ca() -> CA:
    return new_ca()


def new_ca() -> CA:
    root = create_root("Dayfly tests", "root", clock())
    issuing = create_intermediate(root, "Dayfly tests", "issuing", clock())
    return CA(root.certificate, issuing.certificate, issuing.private_key)


@pytest.fixture
def roots(ca: CA, tmp_path: Path) -> Path:
    """The CA's whole chain, as operators have it in a file."""
    path = tmp_path / "chain.pem"
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in (ca.issuing, ca.root)))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    assert command("log", "init", "--data", data, "--origin", ORIGIN).exit_code == 0
    return data


@contextmanager
def log(data: Path, roots: Path, *options: str, **environment: str) -> Iterator[Served]:
    listen = f"127.0.0.1:{free_port()}"
    words = ["log", "serve", "--data", data, "--listen", listen, "--roots", roots, *options]
    with serving(data.parent, *words, url=f"http://{listen}", **environment) as served:
        yield served


def submit(url: str, ca: CA, serial: int) -> tuple[httpx.Response, bytes]:
    """The log's answer to a precertificate, and the structure that its SCT signs (RFC 6962 §3.2)."""
    sent = precertificate(ca, leaf(ca, serial))
    chain = [b64encode(der).decode() for der in (sent.der, *sent.chain)]
    answer = httpx.post(f"{url}/ctlog/ct/v1/add-pre-chain", json={"chain": chain}, timeout=10)
    if answer.status_code != 200:
        return answer, b""
    sct = answer.json()
    return answer, signed_by_log(sent.clean_tbs, sent.issuer_key_hash, sct["timestamp"], b64decode(sct["extensions"]))


def test_it_takes_precertificates_and_keeps_its_promises_over_a_restart(data: Path, roots: Path, ca: CA) -> None:
    public_key = load_pem_public_key((data / "ctlog.pub.pem").read_bytes())
    assert isinstance(public_key, EllipticCurvePublicKey)
    promised = []
    for serials in (range(1, 4), range(4, 6)):
        with log(data, roots) as served:
            for serial in serials:
                answer, signed = submit(served.url, ca, serial)
                assert answer.status_code == 200, answer.text
                public_key.verify(b64decode(answer.json()["signature"])[4:], signed, ECDSA(SHA256()))
                promised.append(signed)
            checkpoint = httpx.get(f"{served.url}/ctlog/checkpoint").text
            assert checkpoint.startswith(f"{ORIGIN}\n{len(promised)}\n")
    assert list(check_log(data).leaves) == promised


def test_it_lists_the_roots_alone_of_the_chain_it_was_given(data: Path, roots: Path, ca: CA) -> None:
    with log(data, roots) as served:
        listed = httpx.get(f"{served.url}/ctlog/ct/v1/get-roots").json()["certificates"]
    assert [b64decode(der) for der in listed] == [ca.root.public_bytes(Encoding.DER)]


def test_it_takes_nothing_from_another_ca(data: Path, roots: Path) -> None:
    with log(data, roots) as served:
        answer, _ = submit(served.url, new_ca(), 1)
    assert answer.status_code == 400
    assert check_log(data).leaves == ()


def test_it_is_no_ca(data: Path, roots: Path) -> None:
    with log(data, roots) as served:
        assert httpx.post(f"{served.url}/api/v2/signingCert", json={}).status_code == 404
        assert httpx.get(f"{served.url}/api/v2/trustBundle").status_code == 404


def test_commands_work_beside_it(data: Path, roots: Path, ca: CA, tmp_path: Path) -> None:
    with log(data, roots) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
        assert command("log", "verify", "--data", data).stdout == f"{ORIGIN}: good, 1 entries\n"
        assert command("log", "export", tmp_path / "out", "--data", data).exit_code == 0
        assert "size          1 entries" in command("log", "info", "--data", data).stdout
        assert httpx.get(f"{served.url}/ctlog/tile/data/000.p/1").content == (
            (tmp_path / "out/tile/data/000.p/1").read_bytes()
        )
        assert command("log", "freeze", "--data", data).exit_code == 0
        assert submit(served.url, ca, 2)[0].status_code == 410
        assert httpx.get(f"{served.url}/ctlog/tile/0/000.p/1").status_code == 200, "it stays readable"
    assert len(check_log(data).leaves) == 1


def test_it_goes_on_with_the_new_log_after_a_rotation_and_still_serves_the_old_one(
    data: Path, roots: Path, ca: CA
) -> None:
    with log(data, roots) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
        assert command("log", "rotate", "--data", data, "--origin", NEXT).exit_code == 0
        assert submit(served.url, ca, 2)[0].status_code == 200, "not before it is started again"
    assert command("log", "freeze", "--data", data, "--origin", ORIGIN).exit_code == 0
    with log(data, roots) as served:
        assert submit(served.url, ca, 3)[0].status_code == 200
        assert httpx.get(f"{served.url}/ctlog/checkpoint").text.startswith(f"{NEXT}\n1\n")
        assert httpx.get(f"{served.url}/ctlog/2026h2/checkpoint").text.startswith(f"{ORIGIN}\n2\n")


# ---- health and metrics -------------------------------------------------------------------------------------


def ready(served: Served) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"{served.url}/readyz", timeout=10)
    return answer.status_code, answer.json()


def wait_until_ready(served: Served, status: int) -> dict[str, object]:
    """The log is asked every five seconds at most."""
    end = time.monotonic() + 30
    while (answer := ready(served))[0] != status:
        assert time.monotonic() < end, answer
        time.sleep(0.2)
    return answer[1]


def test_it_says_that_it_lives_and_takes_entries(data: Path, roots: Path) -> None:
    with log(data, roots) as served:
        assert httpx.get(f"{served.url}/livez").json() == {"status": "alive"}
        assert httpx.get(f"{served.url}/healthz").json() == {"status": "SERVING"}
        assert ready(served) == (200, {"ready": True, "checks": {"log": "ok"}})


def test_a_frozen_log_is_alive_and_not_ready(data: Path, roots: Path) -> None:
    assert command("log", "freeze", "--data", data).exit_code == 0
    with log(data, roots) as served:
        status, body = ready(served)
        assert (status, body["ready"]) == (503, False)
        assert "it has its last checkpoint" in str(body["checks"])
        assert httpx.get(f"{served.url}/livez").status_code == 200


def test_a_full_disk_is_said_and_recovers(data: Path, roots: Path, ca: CA, tmp_path: Path) -> None:
    full = tmp_path / "full"
    environment = {"LD_PRELOAD": str(build_disk(tmp_path)), "FAIL": "full", "WHEN": str(full)}
    with log(data, roots, **environment) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
        full.touch()
        answer, _ = submit(served.url, ca, 2)
        assert (answer.status_code, answer.text) == (503, "the log could not commit: its disk is full\n")
        assert answer.headers["retry-after"] == "10"
        assert "its disk is full" in str(wait_until_ready(served, 503)["checks"])
        assert httpx.get(f"{served.url}/livez").status_code == 200
        assert httpx.get(f"{served.url}/ctlog/ct/v1/get-sth").json()["tree_size"] == 1, "it can be read"
        full.unlink()
        wait_until_ready(served, 200)
        assert submit(served.url, ca, 2)[0].status_code == 200
        assert "log's disk is full: make room" in served.stderr.read_text()
    assert len(check_log(data).leaves) == 2


@pytest.mark.parametrize("failing", ["sync", "write"])
def test_a_disk_that_fails_ends_the_process_before_anybody_gets_a_promise(
    data: Path, roots: Path, ca: CA, tmp_path: Path, failing: str
) -> None:
    broken = tmp_path / "broken"
    environment = {"LD_PRELOAD": str(build_disk(tmp_path)), "FAIL": failing, "WHEN": str(broken)}
    with log(data, roots, **environment) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
        broken.touch()
        with pytest.raises(httpx.TransportError):
            submit(served.url, ca, 2)
        assert served.process.wait(timeout=20) == 74
        assert "log's disk failed: ending the process" in served.stderr.read_text()
    with log(data, roots) as served:
        assert submit(served.url, ca, 3)[0].status_code == 200
    assert len(check_log(data).leaves) in {2, 3}, "the entry without a promise may be there"


def test_a_damaged_log_stops_and_says_so(data: Path, roots: Path, ca: CA) -> None:
    with log(data, roots) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
        with closing(sqlite3.connect(data / "ctlog.sqlite")) as sql, sql:
            sql.execute("UPDATE head SET root = zeroblob(32), size = size + 1")
        answer, _ = submit(served.url, ca, 2)
        assert answer.status_code == 503
        assert "the log has stopped: its file is damaged" in answer.text
        assert "its file is damaged" in str(wait_until_ready(served, 503)["checks"])


def test_workers_share_the_log_and_the_metrics(data: Path, roots: Path, ca: CA) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with log(data, roots, "--workers", "2", "--metrics-listen", listen) as served:
        for serial in range(1, 13):  # a connection each: both workers get some
            assert submit(served.url, ca, serial)[0].status_code == 200
        text = httpx.get(f"http://{listen}/metrics").text
    assert "dayfly_ctlog_size 12.0" in text
    assert "dayfly_ctlog_commit_seconds_count 12.0" in text
    assert "dayfly_ctlog_batch_entries_sum 12.0" in text
    assert abs(float(text.split("\ndayfly_ctlog_checkpoint_timestamp_seconds ")[1].split()[0]) - time.time()) < 60
    assert len(check_log(data).leaves) == 12


def test_a_worker_that_is_gone_does_not_speak_from_the_metrics(data: Path, roots: Path, ca: CA) -> None:
    listen = f"127.0.0.1:{free_port()}"

    def waited() -> float:
        text = httpx.get(f"http://{listen}/metrics").text
        return float(text.split("\ndayfly_ctlog_queue ")[1].split()[0])

    with log(data, roots, "--workers", "2", "--metrics-listen", listen) as served:
        serial = 0
        while waited() < 2:  # one each
            serial += 1
            assert submit(served.url, ca, serial)[0].status_code == 200
            assert serial < 100
        os.kill(served.workers()[0], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while waited() > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_metrics_count_what_got_no_promise(data: Path, roots: Path, ca: CA) -> None:
    assert command("log", "freeze", "--data", data).exit_code == 0
    listen = f"127.0.0.1:{free_port()}"
    with log(data, roots, "--metrics-listen", listen) as served:
        for serial in (1, 2):
            assert submit(served.url, ca, serial)[0].status_code == 410
        text = httpx.get(f"http://{listen}/metrics").text
    assert 'dayfly_ctlog_refusals_total{cause="frozen"} 2.0' in text
    assert "dayfly_ctlog_size 0.0" in text


@pytest.mark.parametrize("listen", ["2112", "127.0.0.1:99999", "everywhere"])
def test_it_says_what_a_metrics_address_looks_like(data: Path, roots: Path, listen: str) -> None:
    words = ["--data", data, "--listen", f"127.0.0.1:{free_port()}", "--roots", roots]
    assert refused(*words, "--metrics-listen", listen).startswith("error: --metrics-listen: ")


# ---- what it does not start with ----------------------------------------------------------------------------


def refused(*words: str | Path) -> str:
    ended = command("log", "serve", *words)
    assert ended.exit_code == 78
    return ended.stderr


@pytest.mark.parametrize("listen", ["5555", "localhost", "127.0.0.1:99999", "127.0.0.1:http", ""])
def test_it_says_what_an_address_looks_like(data: Path, roots: Path, listen: str) -> None:
    assert refused("--data", data, "--listen", listen, "--roots", roots).startswith("error: --listen: ")


def test_it_names_an_address_that_is_in_use(data: Path, roots: Path) -> None:
    with create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        assert f"--listen: cannot listen on {listen}" in refused("--data", data, "--listen", listen, "--roots", roots)


@pytest.mark.parametrize("pem", [b"", b"not PEM", b"issuing alone"])
def test_it_does_not_start_without_roots(data: Path, tmp_path: Path, ca: CA, pem: bytes) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(ca.issuing.public_bytes(Encoding.PEM) if pem == b"issuing alone" else pem)
    listen = f"127.0.0.1:{free_port()}"
    assert f"{path}: " in refused("--data", data, "--listen", listen, "--roots", path)


def test_it_does_not_start_without_the_file_of_roots(data: Path, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    assert "missing.pem" in refused("--data", data, "--listen", listen, "--roots", tmp_path / "missing.pem")


def test_it_does_not_start_without_a_log(tmp_path: Path, roots: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    assert "make one with `dayfly log init`" in refused("--data", tmp_path, "--listen", listen, "--roots", roots)


def test_it_does_not_start_on_an_old_copy(data: Path, roots: Path, ca: CA) -> None:
    old = (data / "ctlog.sqlite").read_bytes()
    with log(data, roots) as served:
        assert submit(served.url, ca, 1)[0].status_code == 200
    for leftover in data.glob("ctlog.sqlite*"):
        leftover.unlink()
    (data / "ctlog.sqlite").write_bytes(old)
    listen = f"127.0.0.1:{free_port()}"
    assert "it is an old copy" in refused("--data", data, "--listen", listen, "--roots", roots)


@pytest.fixture
def used(data: Path) -> Path:
    """A log with two entries."""
    add(data, clock)
    return data


def add(data: Path, its_clock: Callable[[], datetime]) -> None:
    async def run() -> None:
        logs = LogDirectory(data)
        opened = logs.open(logs.current(), its_clock)
        await asyncio.gather(opened.add(submission(1)), opened.add(submission(2)))
        await opened.aclose()

    asyncio.run(run())


def not_started(data: Path, roots: Path) -> str:
    return refused("--data", data, "--listen", f"127.0.0.1:{free_port()}", "--roots", roots)


def test_it_does_not_begin_a_lost_log_again(used: Path, roots: Path) -> None:
    for file in used.glob("ctlog.sqlite*"):
        file.unlink()
    said = not_started(used, roots)
    assert "ctlog.sqlite: is missing, but a log was seen before" in said
    assert "put the newest copy of the file back" in said
    assert not (used / "ctlog.sqlite").exists()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE head SET root = zeroblob(32)", "does not hash to its root"),
        ("UPDATE head SET edge = zeroblob(length(edge))", "does not hash to its root"),
        ("UPDATE head SET checkpoint = replace(checkpoint, '2026h2', '2027h1')", "not signed by the log's keys"),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE leaf_index = 1", "entry 1 is damaged"),
        ("DELETE FROM entry WHERE leaf_index = 1", "of the entries from 0 to 1 "),
    ],
)
def test_it_does_not_start_on_a_damaged_log(used: Path, roots: Path, statement: str, said: str) -> None:
    with closing(sqlite3.connect(used / "ctlog.sqlite")) as sql, sql:
        assert sql.execute(statement).rowcount == 1
    refusal = not_started(used, roots)
    assert said in refusal
    assert "put the newest good copy of the file back" in refusal


def test_it_does_not_start_while_the_clock_is_behind(data: Path, roots: Path) -> None:
    later = clock() + timedelta(hours=1)
    add(data, lambda: later)
    said = not_started(data, roots)
    assert re.search(r"the clock is 3[56][0-9]{2}\.[0-9] s behind the log's last tree head; correct the clock", said)


def test_it_does_not_start_while_another_host_has_the_log(used: Path, roots: Path) -> None:
    other = HostLock.hold(used / "ctlog.sqlite", host="another b007")
    said = not_started(used, roots)
    assert "is in use on another host, 'another b007'" in said
    assert "stop the other one, or give this one a log of its own" in said
    other.release()
