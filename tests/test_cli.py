"""The commands, run as people run them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca.ct.embedded.directory import LogDirectory
from ca.main import clock
from tests.process import Served, command, dayfly, free_port, serving

PAUSE = 0.5
"""Seconds."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("dev")
    listen = f"127.0.0.1:{free_port()}"
    with serving(directory, "dev", "--listen", listen, url=f"http://{listen}") as served:
        yield served


@pytest.fixture
def data(dev: Served) -> Path:
    return dev.stderr.parent / ".dayfly"


def test_dev_prints_where_it_is_and_lines_to_paste(dev: Served) -> None:
    shown = dev.stdout.read_text()
    assert dev.url in shown
    assert f"{dev.url}/issuer" in shown
    assert "dayfly request --url" in shown
    assert "cosign sign-blob" in shown


def test_dev_says_in_its_log_and_its_certificates_what_it_is(dev: Served, data: Path) -> None:
    assert "Not for production" in dev.stderr.read_text()
    for certificate in x509.load_pem_x509_certificates((data / "ca/chain.pem").read_bytes()):
        assert "not for production" in certificate.subject.rfc4514_string()


def test_dev_token_prints_a_token_without_a_newline(data: Path) -> None:
    printed = command("dev-token", "--email", "ada@example.com", "--data", data)
    assert printed.exit_code == 0
    assert printed.stdout.count(".") == 2
    assert "\n" not in printed.stdout


@pytest.mark.parametrize("option", [[], ["--csr"]])
def test_request_shows_the_certificate(dev: Served, data: Path, option: list[str]) -> None:
    token = command("dev-token", "--email", "ada@example.com", "--data", data).stdout
    shown = command("request", "--url", dev.url, "--token", token, *option)
    assert shown.exit_code == 0, shown.stderr
    assert "ada@example.com" in shown.stdout
    assert f"{dev.url}/issuer" in shown.stdout
    assert token not in shown.stdout


def test_request_shows_the_name_first(dev: Served, data: Path) -> None:
    token = command("dev-token", "--email", "ada@example.com", "--data", data).stdout
    rows = [line for line in command("request", "--url", dev.url, "--token", token).stdout.splitlines() if "│" in line]
    assert "subject alternative name" in rows[0]


def test_request_reads_the_token_from_standard_input(dev: Served, data: Path) -> None:
    token = command("dev-token", "--email", "ada@example.com", "--data", data).stdout
    assert command("request", "--url", dev.url, "--token", "-", stdin=f"{token}\n").exit_code == 0


@pytest.mark.parametrize("token", ["", " ", "secret.\nb.c", "secret. b.c", "sécret.b.c", "secret.\x00b.c"])
def test_request_refuses_what_no_header_can_carry_without_showing_it(dev: Served, token: str) -> None:
    refused = command("request", "--url", dev.url, "--token", token, "--csr")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: --token: expected one line of ASCII")
    assert "cret" not in refused.stderr


@pytest.mark.parametrize("token", ["x", "a.b.c", "a.e30.c", "a.W10.c"])
def test_request_says_what_a_token_looks_like(dev: Served, token: str) -> None:
    refused = command("request", "--url", dev.url, "--token", token)
    assert refused.exit_code == 1
    assert "three parts of base64url" in refused.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:5555", "ftp://127.0.0.1", "https://[::1", ""])
def test_request_says_what_a_url_looks_like(url: str) -> None:
    refused = command("request", "--url", url, "--token", "a.b.c", "--csr")
    assert refused.exit_code == 1
    assert f"--url: {url}: expected a URL such as http://127.0.0.1:5555" in refused.stderr


def test_request_names_a_ca_that_does_not_answer() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    refused = command("request", "--url", url, "--token", "a.b.c", "--csr")
    assert refused.exit_code == 1
    assert f"--url: {url} does not answer" in refused.stderr


def test_request_notices_that_it_does_not_speak_to_a_ca(dev: Served) -> None:
    refused = command("request", "--url", f"{dev.url}/issuer", "--token", "a.b.c", "--csr")
    assert refused.exit_code == 1
    assert "the CA answered 404" in refused.stderr


def test_request_prints_the_chain_as_pem(dev: Served, data: Path) -> None:
    token = command("dev-token", "--email", "ada@example.com", "--data", data).stdout
    printed = command("request", "--url", dev.url, "--token", token, "--pem").stdout
    assert len(x509.load_pem_x509_certificates(printed.encode())) == 3


def test_request_shows_why_the_ca_refuses(dev: Served) -> None:
    refused = command("request", "--url", dev.url, "--token", "a.b.c", "--csr")
    assert refused.exit_code == 1
    assert "There was an error processing the identity token" in refused.stderr


def test_dev_survives_a_restart_with_its_ca(tmp_path: Path) -> None:
    chains = []
    for _ in range(2):
        listen = f"127.0.0.1:{free_port()}"
        with serving(tmp_path, "dev", "--listen", listen, "--data", tmp_path / "d", url=f"http://{listen}") as served:
            chains.append(httpx.get(f"{served.url}/api/v2/trustBundle").json())
            token = command("dev-token", "--email", "ada@example.com", "--data", tmp_path / "d").stdout
            assert command("request", "--url", served.url, "--token", token).exit_code == 0
    assert chains[0] == chains[1]


@pytest.mark.parametrize("listen", ["0.0.0.0:5555", "[::]:5555", "192.0.2.1:5555", "example.com:5555", "5555", ":5555"])
def test_dev_listens_on_loopback_alone(tmp_path: Path, listen: str) -> None:
    refused = command("dev", "--listen", listen, "--data", tmp_path / "d")
    assert refused.exit_code == 78
    assert "loopback" in refused.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("listen", ["127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:-1"])
def test_dev_names_a_port_that_is_none(tmp_path: Path, listen: str) -> None:
    refused = command("dev", "--listen", listen, "--data", tmp_path / "d")
    assert refused.exit_code == 78
    assert f"--listen: {listen} is not a loopback address with a port" in refused.stderr


def test_dev_leaves_the_files_of_an_instance_that_runs_already(dev: Served, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    refused = command("dev", "--listen", dev.url.removeprefix("http://"), "--data", data)
    assert refused.exit_code == 78
    assert f"cannot listen on {dev.url.removeprefix('http://')}: Address already in use" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in data.iterdir()} == before


def test_dev_names_a_directory_that_it_cannot_write(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    refused = command("dev", "--listen", "127.0.0.1:0", "--data", taken)
    assert refused.exit_code == 78
    assert f"--data: {taken}: " in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--email", "ada"], "an e-mail address such as ada@example.com is expected"),
        (["--email", "ada@example.com", "--claim", "groups"], "a claim is written name=text or name:=JSON"),
        (["--email", "ada@example.com", "--claim", "iss=x"], "set by the issuer itself"),
    ],
)
def test_dev_token_says_what_it_expects(data: Path, arguments: list[str], says: str) -> None:
    refused = command("dev-token", "--data", data, *arguments)
    assert refused.exit_code == 78
    assert refused.stderr.startswith("error: ")
    assert says in refused.stderr
    assert "There was an error processing" not in refused.stderr


def test_dev_token_without_an_instance_says_how_to_start_one(tmp_path: Path) -> None:
    refused = command("dev-token", "--email", "ada@example.com", "--data", tmp_path)
    assert refused.exit_code == 78
    assert "dayfly dev" in refused.stderr


REMOTE = "log: https://ct.example.org/2026h2\n  "


# ---- a CA of one's own ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("own") / "ca"
    made = command(
        "ca", "init", "--out", directory, "--organization", "example.org", "--issuer", "https://idp.example.org"
    )
    assert made.exit_code == 0, made.stderr
    LogDirectory(directory).create("ct.example.org/2026h2", clock())
    return directory


def test_ca_init_makes_a_ca_and_a_configuration_that_loads(own: Path) -> None:
    intermediate, root = x509.load_pem_x509_certificates((own / "chain.pem").read_bytes())
    intermediate.verify_directly_issued_by(root)
    assert "example.org" in root.subject.rfc4514_string()
    load_pem_private_key((own / "intermediate.key.pem").read_bytes(), None)
    with pytest.raises(TypeError):
        load_pem_private_key((own / "root.key.pem").read_bytes(), None)
    for key in own.glob("*.key.pem"):
        assert key.stat().st_mode & 0o077 == 0, key


def test_ca_init_does_not_overwrite(own: Path) -> None:
    again = command("ca", "init", "--out", own)
    assert again.exit_code == 78
    assert "ca.yaml" in again.stderr or str(own) in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--organization", ""], "--organization: expected 1 to 64"),
        (["--organization", "x" * 65], "--organization: expected 1 to 64"),
        (["--common-name", "a\nb"], "--common-name: expected 1 to 51"),
        (["--common-name", "x" * 52], "--common-name: expected 1 to 51"),
        (["--issuer", "idp.example.org"], "an issuer's URL begins with https:// and a host"),
        (["--issuer", "http://idp.example.org"], "use https"),
        (["--root-password-file", "/dev/null"], "--root-password-file: /dev/null is empty"),
        (["--root-password-file", "/nowhere"], "/nowhere: cannot be read"),
    ],
)
def test_ca_init_makes_nothing_of_a_mistake(tmp_path: Path, arguments: list[str], says: str) -> None:
    refused = command("ca", "init", "--out", tmp_path / "ca", *arguments)
    assert refused.exit_code == 78
    assert says in refused.stderr
    assert not (tmp_path / "ca").exists()


def test_config_check_shows_what_would_be_served(own: Path) -> None:
    shown = command("config", "check", "--config", own / "ca.yaml")
    assert shown.exit_code == 0, shown.stderr
    assert "good" in shown.stdout
    assert "example.org" in shown.stdout


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("identity-config:", "identity-confg:", "did you mean identity-config?"),
        ("intermediate.key.pem", "ctlog.key.pem", "not equal"),
        ("chain.pem", "absent.pem", "absent.pem"),
        (
            "log: embedded",
            REMOTE + "log-key: ctlog.pub.pem\n  log-tls-ca: binary",
            "log-tls-ca: not certificates in PEM",
        ),
        ("log: embedded", REMOTE + "log-key: ctlog.pub.pem\n  log-tls-ca: absent", "absent: cannot be read"),
        ("ca:", "blocked-keys: binary\nca:", "binary: line 1: not a SHA-256"),
        ("cert: chain.pem", "cert: binary", "binary: "),
        ("key: intermediate.key.pem", "key: binary", "binary: "),
        ("log: embedded", REMOTE + "log-key: binary", "binary:1: "),
        ("identity-config: identity.yaml", "identity-config: binary", "binary:1: not UTF-8"),
        ("key: intermediate.key.pem", "key: root.key.pem\n  key-password-file: binary", "the password is wrong"),
        ("key: intermediate.key.pem", "key: root.key.pem\n  key-password-file: absent", "absent: cannot be read"),
    ],
)
def test_config_check_names_the_mistake(own: Path, before: str, after: str, says: str) -> None:
    (own / "binary").write_bytes(b"\x30\x82\xff\xfe\x00")
    config = own / "broken.yaml"
    config.write_text((own / "ca.yaml").read_text().replace(before, after))
    refused = command("config", "check", "--config", config)
    assert refused.exit_code == 78
    assert says in refused.stderr


# ---- the server as a process ---------------------------------------------------------------------------------


def sent_slowly() -> Iterator[bytes]:
    """A request without a token."""
    yield b"{"
    time.sleep(PAUSE)
    yield b"}"


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_leaves_a_record_and_counts(tmp_path: Path, dev: Served, data: Path, workers: int) -> None:
    """The development instance's keys and issuer, under `dayfly serve`."""
    listen, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    arguments: list[str | Path] = [
        *("serve", "--listen", listen, "--workers", str(workers), "--metrics-listen", metrics),
        *("--identity-config", data / "identity.yaml", "--ct-log", "none", "--data", tmp_path),
        *("--ca-cert", data / "ca/chain.pem", "--ca-key", data / "ca/intermediate.key.pem"),
    ]
    with serving(tmp_path, *arguments, url=f"http://{listen}") as served:
        token = command("dev-token", "--email", "ada@example.com", "--data", data).stdout
        assert command("request", "--url", served.url, "--token", token).exit_code == 0
        assert command("request", "--url", served.url, "--token", "a.b.c", "--csr").exit_code == 1
        assert httpx.post(f"{served.url}/api/v2/signingCert", content=sent_slowly()).status_code == 400
        exposed = httpx.get(f"http://{metrics}/metrics").text
        records = served.records()
        text = served.stderr.read_text()
    assert served.process.returncode in {0, -15}
    issuer = f"{dev.url}/issuer"
    assert f'dayfly_signing_requests_total{{issuer="{issuer}",outcome="issued",reason=""}} 1.0' in exposed
    assert 'outcome="refused",reason="TOKEN_MALFORMED"} 1.0' in exposed
    assert "dayfly_chain_expiry_seconds" in exposed
    took = re.search(r'dayfly_signing_seconds_sum{outcome="refused"} (\S+)', exposed)
    assert took is not None
    assert 0 < float(took[1]) < PAUSE, "the refused step counts, the client's pauses do not"

    (issued,) = (record for record in records if record.get("outcome") == "issued")
    assert issued["san"] == issued["subject"] == "ada@example.com"
    assert issued["issuer"] == issuer
    assert issued["ct"] == "none"
    assert len(issued["certificate_sha256"]) == 64
    assert issued["status"] == 200
    assert set(issued["steps"]) == {"token", "identity", "proof", "limits", "draft", "certificate", "lint"}
    refused = [record["reason"] for record in records if record.get("outcome") == "refused"]
    assert refused == ["TOKEN_MALFORMED", "TOKEN_MISSING"]
    assert any("switched off" in record["event"] for record in records)
    for part in token.split("."):
        assert part not in text
    assert "BEGIN" not in text


def test_serve_without_settings_says_what_is_missing() -> None:
    refused = command("serve")
    assert refused.exit_code == 78
    assert "identity-config" in refused.stderr


@pytest.mark.parametrize("taken", ["--listen", "--metrics-listen"])
def test_serve_names_an_address_in_use(tmp_path: Path, dev: Served, data: Path, taken: str) -> None:
    arguments = {"--listen": "127.0.0.1:0", "--metrics-listen": "none", taken: dev.url.removeprefix("http://")}
    refused = dayfly(
        *("serve", *(word for pair in arguments.items() for word in pair)),
        *("--identity-config", data / "identity.yaml", "--ct-log", "none", "--data", tmp_path),
        *("--ca-cert", data / "ca/chain.pem", "--ca-key", data / "ca/intermediate.key.pem"),
    )
    assert refused.returncode == 78
    assert f"error: {taken}: cannot listen on {arguments[taken]}: Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_process_ends_with_the_code_and_without_a_traceback() -> None:
    """What the tests above see within this process, once as the shell sees it."""
    refused = dayfly("config", "check", "--config", "/nowhere")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert refused.stderr == "error: /nowhere: cannot be read: No such file or directory\n"


def test_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert command("--version").stdout == f"dayfly {version('dayfly')}\n"
