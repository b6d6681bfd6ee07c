"""The commands, run as people run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.process import Served, dayfly, free_port, serving

SECRET_PARTS = 3


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
    printed = dayfly("dev-token", "--email", "ada@example.com", "--data", data)
    assert printed.returncode == 0
    assert printed.stdout.count(".") == 2
    assert "\n" not in printed.stdout


@pytest.mark.parametrize("option", [[], ["--csr"]])
def test_request_shows_the_certificate(dev: Served, data: Path, option: list[str]) -> None:
    token = dayfly("dev-token", "--email", "ada@example.com", "--data", data).stdout
    shown = dayfly("request", "--url", dev.url, "--token", token, *option)
    assert shown.returncode == 0, shown.stderr
    assert "ada@example.com" in shown.stdout
    assert f"{dev.url}/issuer" in shown.stdout
    assert token not in shown.stdout


def test_request_prints_the_chain_as_pem(dev: Served, data: Path) -> None:
    token = dayfly("dev-token", "--email", "ada@example.com", "--data", data).stdout
    printed = dayfly("request", "--url", dev.url, "--token", token, "--pem").stdout
    assert len(x509.load_pem_x509_certificates(printed.encode())) == 3


def test_request_shows_why_the_ca_refuses(dev: Served) -> None:
    refused = dayfly("request", "--url", dev.url, "--token", "a.b.c", "--csr")
    assert refused.returncode == 78
    assert "There was an error processing the identity token" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_dev_survives_a_restart_with_its_ca(tmp_path: Path) -> None:
    chains = []
    for _ in range(2):
        listen = f"127.0.0.1:{free_port()}"
        with serving(tmp_path, "dev", "--listen", listen, "--data", tmp_path / "d", url=f"http://{listen}") as served:
            chains.append(httpx.get(f"{served.url}/api/v2/trustBundle").json())
            token = dayfly("dev-token", "--email", "ada@example.com", "--data", tmp_path / "d").stdout
            assert dayfly("request", "--url", served.url, "--token", token).returncode == 0
    assert chains[0] == chains[1]


@pytest.mark.parametrize("listen", ["0.0.0.0:5555", "[::]:5555", "192.0.2.1:5555", "example.com:5555", "5555", ":5555"])
def test_dev_listens_on_loopback_alone(tmp_path: Path, listen: str) -> None:
    refused = dayfly("dev", "--listen", listen, "--data", tmp_path / "d")
    assert refused.returncode == 78
    assert "loopback" in refused.stderr
    assert not (tmp_path / "d").exists()


def test_dev_token_without_an_instance_says_how_to_start_one(tmp_path: Path) -> None:
    refused = dayfly("dev-token", "--email", "ada@example.com", "--data", tmp_path)
    assert refused.returncode == 78
    assert "dayfly dev" in refused.stderr


# ---- a CA of one's own ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("own") / "ca"
    made = dayfly(
        "ca", "init", "--out", directory, "--organization", "example.org", "--issuer", "https://idp.example.org"
    )
    assert made.returncode == 0, made.stderr
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
    again = dayfly("ca", "init", "--out", own)
    assert again.returncode == 78
    assert "ca.yaml" in again.stderr or str(own) in again.stderr


def test_config_check_shows_what_would_be_served(own: Path) -> None:
    shown = dayfly("config", "check", "--config", own / "ca.yaml")
    assert shown.returncode == 0, shown.stderr
    assert "good" in shown.stdout
    assert "example.org" in shown.stdout


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("identity-config:", "identity-confg:", "did you mean identity-config?"),
        ("intermediate.key.pem", "ctlog.key.pem", "not equal"),
        ("chain.pem", "absent.pem", "absent.pem"),
    ],
)
def test_config_check_names_the_mistake(own: Path, before: str, after: str, says: str) -> None:
    config = own / "broken.yaml"
    config.write_text((own / "ca.yaml").read_text().replace(before, after))
    refused = dayfly("config", "check", "--config", config)
    assert refused.returncode == 78
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


# ---- the server as a process ---------------------------------------------------------------------------------


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
        token = dayfly("dev-token", "--email", "ada@example.com", "--data", data).stdout
        assert dayfly("request", "--url", served.url, "--token", token).returncode == 0
        assert dayfly("request", "--url", served.url, "--token", "a.b.c", "--csr").returncode == 78
        exposed = httpx.get(f"http://{metrics}/metrics").text
        records = served.records()
        text = served.stderr.read_text()
    assert served.process.returncode in {0, -15}
    issuer = f"{dev.url}/issuer"
    assert f'dayfly_signing_requests_total{{issuer="{issuer}",outcome="issued",reason=""}} 1.0' in exposed
    assert 'outcome="refused",reason="TOKEN_MALFORMED"} 1.0' in exposed
    assert "dayfly_chain_expiry_seconds" in exposed

    (issued,) = (record for record in records if record.get("outcome") == "issued")
    assert issued["san"] == issued["subject"] == "ada@example.com"
    assert issued["issuer"] == issuer
    assert issued["ct"] == "none"
    assert len(issued["certificate_sha256"]) == 64
    assert issued["status"] == 200
    assert set(issued["steps"]) == {"token", "identity", "proof", "draft", "certificate", "lint"}
    (refused,) = (record for record in records if record.get("outcome") == "refused")
    assert refused["reason"] == "TOKEN_MALFORMED"
    assert any("switched off" in record["event"] for record in records)
    for part in token.split("."):
        assert part not in text
    assert "BEGIN" not in text


def test_serve_without_settings_says_what_is_missing() -> None:
    refused = dayfly("serve")
    assert refused.returncode == 78
    assert "identity-config" in refused.stderr
    assert "Traceback" not in refused.stderr
