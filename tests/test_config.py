from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ca.config import load_settings
from ca.errors import ConfigurationError

EXAMPLE = Path(__file__).parent.parent / "config" / "ca.yaml"
MINIMAL = """\
identity-config: identity.yaml
ca:
  cert: chain.pem
  key: key.pem
ct:
  log: none
"""
ELSEWHERE = "  log: https://a\n  log-key: a.pem\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.yaml"
    path.write_text(MINIMAL)
    return path


def refusal(file: Path | None, flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, flags or {}, environment or {})
    return str(caught.value)


def uncommented(text: str) -> str:
    """The example with its defaults switched on: lines that are a commented setting or list item."""
    import re

    return re.sub(r"^( *)# (?=[a-z-]+:( |$)|  - )", r"\1", text, flags=re.MULTILINE)


def missing(settings: BaseModel, above: str = "") -> Iterator[str]:
    for name in type(settings).model_fields:
        if name not in settings.model_fields_set:
            yield f"{above}{name}"
        elif isinstance(part := getattr(settings, name), BaseModel):
            yield from missing(part, f"{above}{name}.")


def test_the_example_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    shown = tmp_path / "ca.yaml"
    shown.write_text(uncommented(EXAMPLE.read_text()))
    # What is there for a log elsewhere does not go with the default.
    everything = load_settings(shown, {"ct-log": "https://ct.example.org"}, {})
    # A password is not for the file, and an online key has either of two names.
    assert list(missing(everything)) == ["ca.key_password", "tuf.online_key_uri", "tuf.online_key_public"]
    plain = tmp_path / "plain.yaml"
    plain.write_text(EXAMPLE.read_text())
    defaults = load_settings(plain, {}, {})
    # Examples of what has no default.
    shows: Any = dict.fromkeys(("ca", "ct", "blocked_keys", "data", "grpc", "timestamp", "trust", "tuf"), True)
    shows |= {"http": {"tls_certificate", "tls_key"}, "limits": {"redis"}}
    assert everything.model_dump(exclude=shows) == defaults.model_dump(exclude=shows)


def test_paths_in_the_file_are_relative_to_it_and_flags_to_the_working_directory(file: Path) -> None:
    settings = load_settings(file, {"ca-key": Path("here.pem")}, {})
    assert settings.ca.cert == file.parent / "chain.pem"
    assert settings.ca.key == Path("here.pem")


def test_paths_in_the_members_of_a_list_are_relative_to_the_file_too(file: Path) -> None:
    file.write_text(MINIMAL + "trust:\n  rekor:\n  - {url: https://rekor.example.org, public-key: rekor.pem}\n")
    assert load_settings(file, {}, {}).trust.rekor[0].public_key == file.parent / "rekor.pem"


@pytest.mark.parametrize("member", ["3", "{url: https://rekor.example.org, public-key: 3}", "[]"])
def test_a_member_of_a_list_that_is_wrong_is_named_by_its_line(file: Path, member: str) -> None:
    file.write_text(MINIMAL + f"trust:\n  rekor:\n  - {member}\n")
    assert refusal(file).startswith(f"{file}:9: trust.rekor[0]")


def test_fallbacks_have_the_settings_of_a_log_and_paths_relative_to_the_file(file: Path) -> None:
    fallbacks = "  fallbacks:\n    - {log: https://b/, log-key: b.pem}\n    - {log: https://c, log-key: /etc/c.pem}\n"
    file.write_text(MINIMAL.replace("  log: none\n", ELSEWHERE + fallbacks))
    elsewhere = load_settings(file, {}, {}).ct.elsewhere
    assert [log.log for log in elsewhere] == ["https://a", "https://b", "https://c"]
    assert [log.log_key for log in elsewhere] == [file.parent / "a.pem", file.parent / "b.pem", Path("/etc/c.pem")]


def test_flags_win_over_the_environment_and_that_over_the_file(file: Path) -> None:
    environment = {"DAYFLY_LISTEN": "127.0.0.1:2", "DAYFLY_WORKERS": "3", "DAYFLY_CA_KEY_PASSWORD": "secret"}
    settings = load_settings(file, {"listen": "127.0.0.1:1"}, environment)
    assert settings.listen == "127.0.0.1:1"
    assert settings.workers == 3
    assert settings.ca.password() == b"secret"


def test_a_password_is_not_shown(file: Path) -> None:
    settings = load_settings(file, {}, {"DAYFLY_CA_KEY_PASSWORD": "secret"})
    assert "secret" not in repr(settings)


def test_a_password_file_loses_its_line_end_only(file: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_bytes(b" two words \r\n")
    settings = load_settings(file, {"ca-key-password-file": password}, {})
    assert settings.ca.password() == b" two words "


def test_lists_in_the_environment_are_written_with_commas(file: Path) -> None:
    environment = {"DAYFLY_CLIENT_SIGNING_ALGORITHMS": "ed25519, ecdsa-sha2-256-nistp256"}
    assert load_settings(file, {}, environment).client_signing_algorithms == ("ed25519", "ecdsa-sha2-256-nistp256")


@pytest.mark.parametrize(
    ("line", "replacement", "says"),
    [
        ("  log: none", "  logg: none", "ct.logg: unknown key; did you mean log?"),
        ("  log: none", "  log: http", "ct.log: write embedded, the log's https:// URL"),
        ("  log: none", "  log: https://log.example", "log-key is missing"),
        ("  log: none", "  log: https://u:p@log.example\n  log-key: a.pem", "no user and no password"),
        (
            "  log: none",
            f"{ELSEWHERE}  fallbacks: [{{log: 'https://u:p@b', log-key: b.pem}}]",
            "no user and no password",
        ),
        ("  log: none", "  log-key: ctlog.pub.pem", "log-key and log-tls-ca belong to a log elsewhere"),
        (
            "  log: none",
            "  log: none\n  fallbacks: [{log: 'https://b', log-key: b.pem}]",
            "fallbacks belong to a log elsewhere",
        ),
        ("  log: none", "  fallbacks: [{log: 'https://b', log-key: b.pem}]", "fallbacks belong to a log elsewhere"),
        (
            "  log: none",
            "  log-not-after-limit: 2027-01-01T00:00:00Z",
            "log-not-after-start and -limit belong to a log",
        ),
        ("  log: none", f"{ELSEWHERE}  fallbacks: [{{log: 'https://a/', log-key: b.pem}}]", "a log is named twice"),
        ("  log: none", f"{ELSEWHERE}  fallbacks: [{{log: embedded, log-key: b.pem}}]", "write the log's https:// URL"),
        ("  log: none", f"{ELSEWHERE}  fallbacks: [{{log: 'https://b'}}]", "log-key: is missing"),
        ("  log: none", f"{ELSEWHERE}  fallbacks: [{{log: 'https://b', key: b.pem}}]", "unknown key"),
        ("  log: none", f"{ELSEWHERE}  fallbacks: https://b", "only the configuration file can hold"),
        ("  log: none", f"{ELSEWHERE}  fallback-after: 0", "at least 0.05"),
        ("  log: none", f"{ELSEWHERE}  log-not-after-limit: 2027-01-01T00:00:00", "log-not-after-limit"),
        (
            "  log: none",
            f"{ELSEWHERE}  log-not-after-start: 2027-01-01T00:00:00Z\n  log-not-after-limit: 2027-01-01T00:00:00Z",
            "the log would take nothing",
        ),
        ("  cert: chain.pem", "", "ca.cert: is missing"),
        ("  key: key.pem", "  key: key.pem\n  key: other.pem", "the key key appears twice"),
        ("ca:", "certificate-lifetime: 601\nca:", "at most 600"),
        ("ca:", "certificate-lifetime: 0\nca:", "at least 1"),
        ("ca:", "workers: many\nca:", "workers: expected a whole number"),
        ("ca:", "listen: 5555\nca:", "listen: write HOST:PORT"),
        ("ca:", "listen: 127.0.0.1:65536\nca:", "listen: a port is at most 65535"),
        ("ca:", "log: console\nca:", "log: expected a mapping"),
        ("ca:", "client-signing-algorithms: ed25519\nca:", "client-signing-algorithms: expected a list"),
        ("identity-config: identity.yaml", "identity-config: [a]", "identity-config: expected text"),
        ("ca:", "client-signing-algorithms: [ecdsa-sha2-256-nistp265]\nca:", "did you mean ecdsa-sha2-256-nistp256?"),
        ("ca:", "client-signing-algorithms: []\nca:", "nobody could get a certificate"),
        ("ca:", "http: {body-limit: 10}\nca:", "body-limit"),
        ("ca:", "log: {format: xml}\nca:", "log.format"),
        ("ca:", "metrics: {listen: nowhere}\nca:", "metrics.listen"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(file: Path, line: str, replacement: str, says: str) -> None:
    file.write_text(MINIMAL.replace(line, replacement))
    message = refusal(file)
    assert says in message
    assert message.startswith(f"{file}:")


@pytest.mark.parametrize(
    ("flags", "environment", "begins"),
    [
        ({"listen": "nowhere"}, {}, "--listen: write HOST:PORT"),
        ({}, {"DAYFLY_WORKERS": "zero"}, "DAYFLY_WORKERS: "),
        ({"ct-log": "ftp://x"}, {}, "--ct-log: "),
        ({}, {"DAYFLY_CT_FALLBACKS": "https://b"}, "DAYFLY_CT_FALLBACKS: is a list of logs"),
        ({"workers": 0}, {}, "--workers: "),
    ],
)
def test_a_mistake_elsewhere_names_the_flag_or_variable(
    file: Path, flags: dict[str, Any], environment: dict[str, str], begins: str
) -> None:
    assert refusal(file, flags, environment).startswith(begins)


def test_without_a_file_what_is_missing_is_named() -> None:
    assert refusal(None, {"ct-log": "none", "ca-key": Path("key.pem")}).splitlines() == [
        "--identity-config or --config: is missing",
        "--ca-cert or --config: is missing",
    ]


def test_without_a_file_a_setting_that_another_needs_is_named() -> None:
    flags = {"identity-config": Path("i.yaml"), "ca-cert": Path("c.pem"), "ca-key": Path("k.pem")}
    assert refusal(None, {**flags, "ct-log": "https://log.example"}).startswith("--ct-…: log-key is missing")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml").startswith(str(tmp_path / "absent.yaml"))


def test_certificate_transparency_is_never_off_by_default(file: Path) -> None:
    file.write_text(MINIMAL.replace("ct:\n  log: none\n", ""))
    assert load_settings(file, {}, {}).ct.log == "embedded"


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("DAYFLY_LISTEM", "did you mean DAYFLY_LISTEN?"),
        ("DAYFLY_CTLOG", "did you mean DAYFLY_CT_LOG?"),
        ("DAYFLY_CT_LOG_KEYS", "did you mean DAYFLY_CT_LOG_KEY?"),
        ("DAYFLY_CT-LOG", "did you mean DAYFLY_CT_LOG?"),
        ("DAYFLY_SOMETHING_ELSE_ALTOGETHER", ""),
        ("DAYFLY_", ""),
    ],
)
def test_a_variable_that_nothing_reads_is_refused_without_its_value(file: Path, variable: str, suggestion: str) -> None:
    refused = refusal(file, environment={variable: "secret", "DAYFLY_WORKERS": "2"})
    assert refused.startswith(f"{variable}: no such setting")
    assert suggestion in refused
    assert "secret" not in refused
    assert "\n" not in refused


def test_each_unknown_variable_is_told(file: Path) -> None:
    assert refusal(file, environment={"DAYFLY_A": "", "DAYFLY_B": ""}).count("no such setting") == 2


@pytest.mark.parametrize(
    "variable",
    [
        "DAYFLY_SERVICE_HOST",
        "DAYFLY_SERVICE_PORT",
        "DAYFLY_SERVICE_PORT_HTTP",
        "DAYFLY_PORT",
        "DAYFLY_PORT_5555_TCP",
        "DAYFLY_PORT_5555_TCP_ADDR",
        "DAYFLY_CTLOG_SERVICE_HOST",
        "DAYFLY_CTLOG_PORT_6962_TCP_PROTO",
        "NOT_DAYFLY_AT_ALL",
        "dayfly_listen",
    ],
)
def test_what_kubernetes_says_of_services_and_what_is_not_ours_is_left_alone(file: Path, variable: str) -> None:
    assert load_settings(file, {}, {variable: "tcp://10.0.0.1:5555"}).listen == "127.0.0.1:5555"
