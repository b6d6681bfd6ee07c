"""`dayfly tuf` from the first key to a client's trust, and the server that serves and renews the repository."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from ca.ct.embedded.directory import LogDirectory
from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.process import command, free_port, serving
from tests.tuf.repositories import NOW, Keys, client, created, fetched, files, private_bytes

URL = "https://ca.example.org"
CONFIGURATION = {
    "identity-config": "identity.yaml",
    "ca": {"cert": "chain.pem", "key": "intermediate.key.pem"},
    "timestamp": {"chain": "timestamp-chain.pem", "key": "timestamp.key.pem"},
    "ct": {"log": "embedded"},
    "trust": {"url": URL},
    "metrics": {"listen": "none"},
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A CA with its configuration, and a password for the keys of its repository."""
    write_ca(tmp_path, "Dayfly tests", "Dayfly tests", clock())
    LogDirectory(tmp_path).create("ct.example.org/2026h2", clock())
    issuer = {"issuer-url": "https://login.example.org", "client-id": "sigstore", "type": "email"}
    (tmp_path / "identity.yaml").write_text(yaml.safe_dump({"oidc-issuers": {issuer["issuer-url"]: issuer}}))
    (tmp_path / "password").write_text("tuf-password\n")
    configure(tmp_path)
    return tmp_path


def configure(directory: Path, **more: object) -> None:
    (directory / "ca.yaml").write_text(yaml.safe_dump({**CONFIGURATION, "data": ".", **more}))


def tuf(directory: Path, step: str, *words: str | Path) -> str:
    """A step that succeeds; what it printed."""
    ran = command("tuf", step, "--dir", directory / "tuf", *words)
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout


def refused(directory: Path, step: str, *words: str | Path) -> str:
    ran = command("tuf", step, "--dir", directory / "tuf", *words)
    assert ran.exit_code == 78, ran.stdout
    return ran.stderr


def key(directory: Path, role: str) -> Path:
    return directory / "keys" / f"tuf-{role}.key.pem"


def init(directory: Path) -> None:
    tuf(directory, "init", "--keys", directory / "keys", "--password-file", directory / "password")


def publish(directory: Path) -> str:
    return tuf(
        directory,
        "publish",
        *("-c", directory / "ca.yaml", "--password-file", directory / "password"),
        *("--targets-key", key(directory, "targets"), "--online-key", key(directory, "online")),
    )


def test_a_client_trusts_what_was_published(directory: Path, tmp_path: Path) -> None:
    init(directory)
    assert "version 2, 7 files" in publish(directory)
    root = (directory / "tuf" / "1.root.json").read_bytes()
    assert fetched(client(directory / "tuf", tmp_path / "client", root), "trusted_root.json").startswith(b"{")
    shown = tuf(directory, "show")
    assert "trusted_root.json" in shown
    assert "Fulcio Active" in shown


def test_keys_of_root_and_targets_are_encrypted_and_nobody_else_reads_any(directory: Path) -> None:
    init(directory)
    assert b"ENCRYPTED" in key(directory, "root").read_bytes()
    assert b"ENCRYPTED" in key(directory, "targets").read_bytes()
    assert b"ENCRYPTED" not in key(directory, "online").read_bytes()
    assert {key(directory, role).stat().st_mode & 0o777 for role in ("root", "targets", "online")} == {0o600}


def test_refresh_says_until_when_clients_believe(directory: Path) -> None:
    init(directory)
    assert "nothing is due" in tuf(directory, "refresh", "--online-key", key(directory, "online"))
    assert "renewed" in tuf(directory, "refresh", "--online-key", key(directory, "online"), "--force")


def test_a_client_follows_a_rotation(directory: Path, tmp_path: Path) -> None:
    init(directory)
    publish(directory)
    root = (directory / "tuf" / "1.root.json").read_bytes()
    client(directory / "tuf", tmp_path / "client", root).refresh()
    new = directory / "new"
    tuf(directory / "other", "init", "--keys", new, "--password-file", directory / "password")
    said = tuf(
        directory,
        *("rotate", "root", "--new-key", new / "tuf-root.key.pem", "--root-key", key(directory, "root")),
        *("--password-file", directory / "password"),
    )
    assert "root version 2" in said
    assert fetched(client(directory / "tuf", tmp_path / "client"), "trusted_root.json").startswith(b"{")


def test_mistakes_are_named(directory: Path) -> None:
    assert "--root-key is missing" in refused(directory, "init")
    assert "--password-file" in refused(directory, "init", "--keys", directory / "keys")
    assert "has no TUF repository" in refused(directory, "show")
    init(directory)
    assert "exists and is not overwritten" in refused(
        directory, "init", "--keys", directory / "keys", "--password-file", directory / "password"
    )
    words = ("-c", directory / "ca.yaml", "--online-key", key(directory, "online"))
    assert "is encrypted" in refused(directory, "publish", *words, "--targets-key", key(directory, "targets"))
    assert "needs 1 signatures" in refused(directory, "publish", *words, "--targets-key", key(directory, "online"))
    assert "cannot be used as a key" in refused(
        directory, "refresh", "--online-key", f"nokms:key={directory / 'ctlog.pub.pem'}"
    )
    (directory / "rsa.pem").write_text("no key")
    assert "expected one private key" in refused(directory, "refresh", "--online-key", directory / "rsa.pem")
    rotation = ("--new-key", key(directory, "online"), "--root-key", key(directory, "online"))
    assert "is no role" in refused(directory, "rotate", "snapshot", *rotation)
    assert "--online-key is missing" in refused(directory, "rotate", "targets", *rotation)
    assert "old root keys" in refused(directory, "rotate", "online", *rotation)


def test_a_server_serves_the_repository_and_renews_what_is_due(directory: Path) -> None:
    keys = Keys.new()
    created(directory / "tuf", keys, now=NOW - timedelta(days=4)).publish(
        files(), keys.targets, keys.online, NOW - timedelta(days=4)
    )
    (directory / "tuf/online.pem").write_bytes(private_bytes(keys.online[0]))  # as nobody should have it
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    configure(directory, listen=f"127.0.0.1:{port}", tuf={"directory": "tuf", "online-key": "tuf/online.pem"})
    with serving(directory, "serve", "--config", directory / "ca.yaml", url=url):
        newest = httpx.get(f"{url}/tuf/timestamp.json")
        assert newest.headers["cache-control"] == "no-cache"
        assert newest.json()["signed"]["version"] == 3
        assert "immutable" in httpx.get(f"{url}/tuf/1.root.json").headers["cache-control"]
        name = next((directory / "tuf" / "targets").glob("*.trusted_root.json")).name
        assert httpx.get(f"{url}/tuf/targets/{name}").json()["certificateAuthorities"]
        for path in ("2.root.json", "", "targets", "targets/", ".lock", "online.pem", "nothing", "targets/targets/x"):
            assert httpx.get(f"{url}/tuf/{path}").status_code == 404, path
        assert httpx.post(f"{url}/tuf/timestamp.json").status_code == 501
        assert httpx.get(f"{url}/readyz").json()["checks"]["tuf"] == "ok"


def test_a_server_says_what_runs_out_and_cannot_be_renewed(directory: Path) -> None:
    created(directory / "tuf", Keys.new(), now=NOW - timedelta(days=6))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    configure(directory, listen=f"127.0.0.1:{port}", tuf={"directory": "tuf"})
    with serving(directory, "serve", "--config", directory / "ca.yaml", url=url) as served:
        answer = httpx.get(f"{url}/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"]["tuf"] != "ok"
        assert any("TUF timestamp metadata expires" in record.get("problem", "") for record in served.records())


def test_a_server_does_not_start_with_a_repository_that_is_none(directory: Path) -> None:
    configure(directory, tuf={"directory": "tuf"})
    checked = command("config", "check", "--config", directory / "ca.yaml")
    assert checked.exit_code == 78
    assert "has no TUF repository" in checked.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"online-key": "online.pem"}, "`directory`, which is missing"),
        (
            {"directory": "tuf", "online-key": "a", "online-key-uri": "awskms:x", "online-key-public": "b"},
            "one of them",
        ),
        ({"directory": "tuf", "online-key-uri": "awskms:x"}, "belong together"),
        ({"directory": "tuf", "online-key-public": "b"}, "belong together"),
    ],
)
def test_settings_that_make_no_sense_are_refused(directory: Path, settings: dict[str, str], said: str) -> None:
    configure(directory, tuf=settings)
    checked = command("config", "check", "--config", directory / "ca.yaml")
    assert checked.exit_code == 78
    assert said in checked.stderr
