"""`dayfly log serve`: a process that is a log and nothing else."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from ca.keys.ceremony import create_intermediate, create_root
from ca.main import clock
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
def log(data: Path, roots: Path) -> Iterator[Served]:
    listen = f"127.0.0.1:{free_port()}"
    words = ["log", "serve", "--data", data, "--listen", listen, "--roots", roots]
    with serving(data.parent, *words, url=f"http://{listen}") as served:
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
