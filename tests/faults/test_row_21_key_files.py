"""Row 21: files of the CA key that are not what they were, while it issues.

Expected: a pair is taken when both halves fit; half of one, a broken, foreign or expired one leaves the last good pair
in use, readiness and the metric say so, and nothing is ever signed with a key that is not its certificate's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.keys.ceremony import Authority, create_root, write_ca
from ca.main import clock
from tests.api.server import CA, leaf, running_ca
from tests.certificate.pki import ca_builder
from tests.faults.conftest import ServerFile
from tests.process import command

VOLUME = "..data"


def intermediate(root: Authority, **replace: object) -> Authority:
    """As Kubernetes would mount it: one minute old, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = clock()
    times = {"start": now - timedelta(minutes=1), "end": now + timedelta(days=1)}
    builder = ca_builder(key, "issuing", "root", **(times | replace))
    return Authority(builder.sign(root.private_key, SHA384()), key)


def files(authority: Authority, root: Authority, directory: Path) -> Path:
    directory.mkdir()
    chain = [one.certificate.public_bytes(Encoding.PEM) for one in (authority, root)]
    (directory / "chain.pem").write_bytes(b"".join(chain))
    key = authority.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "intermediate.key.pem").write_bytes(key)
    (directory / "intermediate.key.pem").chmod(0o600)
    return directory


def mounted(directory: Path, version: Path) -> None:
    """Swap the symlink of a secret's volume, as the kubelet does."""
    link = directory / f"{VOLUME}_tmp"
    link.symlink_to(version.name)
    os.replace(link, directory / VOLUME)  # noqa: PTH105 - what the kubelet calls


@pytest.fixture(scope="module")
def root() -> Authority:
    return create_root("Dayfly tests", "root", clock())


@pytest.fixture
def first(root: Authority) -> Authority:
    return intermediate(root)


@pytest.fixture
def running(tmp_path: Path, root: Authority, first: Authority) -> Iterator[CA]:
    volume = tmp_path / "ca"
    volume.mkdir()
    mounted(volume, files(first, root, volume / "v1"))
    for name in ("chain.pem", "intermediate.key.pem"):
        (volume / name).symlink_to(f"{VOLUME}/{name}")
    _timestamper(volume)
    with running_ca(tmp_path) as ca:
        yield ca


def _timestamper(volume: Path) -> None:
    write_ca(volume / "other", "Dayfly tests", "timestamps", clock())
    for name in ("timestamp-chain.pem", "timestamp.key.pem"):
        (volume / name).symlink_to(f"other/{name}")


def issued_by(ca: CA) -> int:
    """Serial number of the certificate that issues now; what it signed is truly its."""
    answer = ca.ask()
    assert answer.status_code == 200, answer.text
    chain = answer.json()["signedCertificateDetachedSct"]["chain"]["certificates"]
    issuing = x509.load_pem_x509_certificate(chain[1].encode())
    leaf(answer).verify_directly_issued_by(issuing)
    return issuing.serial_number


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def keeps(ca: CA, authority: Authority) -> None:
    """The last good pair is in use, and readiness tells."""
    until(lambda: ca.client.get("/readyz").json()["checks"]["caKeyFiles"] != "ok")
    for _ in range(5):
        assert issued_by(ca) == authority.certificate.serial_number
    assert ca.client.get("/readyz").status_code == 200


def test_a_swapped_volume_is_taken_whole(running: CA, root: Authority) -> None:
    second = intermediate(root)
    volume = running.directory / "ca"
    mounted(volume, files(second, root, volume / "v2"))
    until(lambda: issued_by(running) == second.certificate.serial_number)
    assert running.client.get("/readyz").json()["checks"]["caKeyFiles"] == "ok"


@pytest.mark.parametrize("half", ["chain.pem", "intermediate.key.pem"])
def test_half_of_a_pair_is_kept_out_until_the_other_comes(
    running: CA, root: Authority, first: Authority, half: str
) -> None:
    second = intermediate(root)
    volume = running.directory / "ca"
    new, mixed = files(second, root, volume / "v2"), files(first, root, volume / "mixed")
    (mixed / half).write_bytes((new / half).read_bytes())
    mounted(volume, mixed)
    keeps(running, first)
    mounted(volume, new)
    until(lambda: issued_by(running) == second.certificate.serial_number)


@pytest.mark.parametrize("what", ["expired", "not for code signing", "of another root", "garbage", "gone"])
def test_a_pair_that_may_not_issue_is_kept_out(running: CA, root: Authority, first: Authority, what: str) -> None:
    volume, now = running.directory / "ca", clock()
    match what:
        case "expired":
            bad = intermediate(root, start=now - timedelta(days=2), end=now - timedelta(seconds=5))
        case "not for code signing":
            bad = intermediate(root, extended_key_usage=None)
        case "of another root":
            bad = intermediate(create_root("Dayfly tests", "root", now))
        case _:
            bad = first
    version = files(bad, root, volume / "bad")
    if what == "garbage":
        (version / "chain.pem").write_bytes(b"\xff" * 1000)
    if what == "gone":
        (version / "intermediate.key.pem").unlink()
    mounted(volume, version)
    keeps(running, first)


def test_a_chain_that_expires_while_in_use_issues_nothing_more(tmp_path: Path, root: Authority) -> None:
    brief = intermediate(root, end=clock() + timedelta(seconds=4))
    volume = tmp_path / "ca"
    files(brief, root, volume)
    _timestamper(volume)
    with running_ca(tmp_path) as ca:
        last = leaf(ca.ask())
        assert last.not_valid_after_utc <= brief.certificate.not_valid_after_utc
        until(lambda: ca.ask().status_code == 503)
        answer = ca.ask()
        assert answer.json()["details"][0]["reason"] == "SIGNER_UNAVAILABLE"
        assert ca.client.get("/readyz").status_code == 503


def test_no_start_with_a_pair_that_does_not_fit(server_file: ServerFile, root: Authority) -> None:
    file = server_file()
    key = intermediate(root).private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (file.parent / "ca/intermediate.key.pem").write_bytes(key)
    result = command("config", "check", "--config", file)
    assert result.exit_code == 78
    assert "not a pair" in result.output
