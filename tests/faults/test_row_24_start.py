"""Row 24, at the start: a configuration that cannot be meant stops it.

Expected: exit code 78 and a line on standard error that names the file and, where there is one, the line; nothing
listens, and no issuer is trusted by default. An issuer that is dead does not stop the start: its own tokens get 503.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.api.server import body
from tests.faults.conftest import ServerFile
from tests.oidc.provider import Provider
from tests.process import command, free_port, serving

ENTRY = "    issuer-url: https://issuer.example\n    client-id: sigstore\n    type: email\n"
LAUGHS = "define:\n  - &a0 [ha, ha]\n" + "".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


def refusal(path: Path, **environment: str) -> str:
    """What `serve` says; `config check` says the same."""
    served, checked = command("serve", "--config", path, **environment), command("config", "check", "--config", path)
    assert served.exit_code == 78
    if not environment:
        assert (checked.exit_code, checked.stderr) == (78, served.stderr)
    assert "Traceback" not in served.stderr
    return served.stderr


@pytest.mark.parametrize(
    ("identity", "line", "says"),
    [
        ("", 1, "trusts no issuer"),
        ("# nothing\n", 1, "there are no default issuers"),
        ("{}", 1, "trusts no issuer"),
        (f"oidc-issuer:\n  https://issuer.example:\n{ENTRY}", 1, "did you mean oidc-issuers"),
        (f"oidc-issuers:\n  https://issuer.example:\n{ENTRY}    client-idd: x\n", 6, "did you mean client-id"),
        (f"oidc-issuers:\n  https://issuer.example:\n{ENTRY}    enabled: perhaps\n", 6, "enabled"),
        (
            f"oidc-issuers:\n  https://issuer.example:\n{ENTRY}  https://issuer.example:\n{ENTRY}",
            6,
            "https://issuer.exa",
        ),
        (f"oidc-issuers:\n  https://issuer.example:\n{ENTRY}    type: uri\n", 6, "type"),
        (
            'meta-issuers:\n  "https://*.a.b": &k {client-id: s, type: kubernetes}\n  "https://*.a.b": *k\n',
            3,
            "https://*.a.b",
        ),
        (
            'meta-issuers:\n  "https://a*.b": &k {client-id: s, type: kubernetes}\n  "https://*a.b": *k\n',
            3,
            "narrow them",
        ),
        ("oidc-issuers: *nowhere\n", 1, "nowhere"),
        ("define:\n  - &loop [*loop]\n", 2, "loop"),
        (LAUGHS, None, "aliases expanded"),
        ("oidc-issuers: {" * 5000, None, ""),
        (
            "ci-issuer-metadata:\n  x:\n    subject-alternative-name-template: '{{.a'\n",
            3,
            "subject-alternative-name-template",
        ),
        ("oidc-issuers:\n\t- x\n", 2, ""),
        ("oidc-issuers: !!python/object:os.system {}\n", 1, ""),
    ],
    ids=[
        *(
            "empty",
            "comment",
            "nothing",
            "unknown section",
            "unknown key",
            "not a boolean",
            "issuer twice",
            "key twice",
        ),
        *("wildcard twice", "wildcards alike", "no such anchor", "anchor in itself", "billion laughs", "depth"),
        *("template", "tab", "tag"),
    ],
)
def test_row_24_an_identity_configuration_that_cannot_be_meant_stops_the_start(
    tmp_path: Path, server_file: ServerFile, identity: str, line: int | None, says: str
) -> None:
    path = server_file()
    (tmp_path / "identity.yaml").write_text(identity)
    said = refusal(path)
    assert said.startswith(f"error: {tmp_path / 'identity.yaml'}:{line or ''}")
    assert says in said


def test_row_24_a_missing_identity_configuration_stops_the_start(tmp_path: Path, server_file: ServerFile) -> None:
    path = server_file()
    (tmp_path / "identity.yaml").unlink()
    assert f"{tmp_path / 'identity.yaml'}: cannot be read: No such file or directory" in refusal(path)


def test_row_24_a_missing_configuration_stops_the_start(tmp_path: Path) -> None:
    assert f"{tmp_path / 'ca.yaml'}: cannot be read" in refusal(tmp_path / "ca.yaml")


def test_row_24_an_empty_configuration_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.yaml").touch()
    assert "identity-config" in refusal(tmp_path / "ca.yaml")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"identity_confg": "identity.yaml"}, "did you mean identity-config?"),
        ({"ct": {"log": "https://ct.example.org"}}, "log-key"),
        (
            {"ct": {"log": "https://ct.example.org", "log-key": "missing.pem"}},
            "missing.pem: cannot read the log's public key",
        ),
        ({"ct": {"log": "https://ct.example.org", "log-key": "ca.yaml"}}, "ca.yaml"),
        ({"ct": {"log": "https://ct.example.org", "log-key": "log.pem", "log-tls-ca": "gone.pem"}}, "gone.pem"),
        ({"ca": {"cert": "gone.pem", "key": "ca/intermediate.key.pem"}}, "gone.pem: cannot be read"),
        ({"ca": {"cert": "ca", "key": "ca/intermediate.key.pem"}}, "ca: cannot be read: Is a directory"),
        ({"workers": 0}, "workers"),
    ],
    ids=["unknown key", "no CT key", "CT key gone", "no key", "CT's CA gone", "chain gone", "directory", "no workers"],
)
def test_row_24_a_server_configuration_that_cannot_be_meant_stops_the_start(
    tmp_path: Path, server_file: ServerFile, members: dict[str, object], says: str
) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "log.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert says in refusal(server_file(**members))


def test_row_24_an_unknown_variable_stops_the_start(server_file: ServerFile) -> None:
    said = refusal(server_file(), DAYFLY_CT_LOGKEY="ctlog.pub.pem")
    assert said.startswith("error: DAYFLY_CT_LOGKEY: no such setting; did you mean DAYFLY_CT_LOG_KEY?")


@pytest.mark.parametrize("bundle", ["nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_row_24_an_issuer_s_broken_ca_bundle_stops_the_start(
    tmp_path: Path, server_file: ServerFile, provider: Provider, bundle: str
) -> None:
    path, identity = server_file(), tmp_path / "identity.yaml"
    content = yaml.safe_load(identity.read_text())
    content["oidc-issuers"][provider.issuer]["ca-cert"] = bundle
    identity.write_text(yaml.safe_dump(content))
    assert "failed to parse CA certificate for issuer" in refusal(path)


def test_row_24_a_dead_issuer_does_not_stop_the_start_nor_the_others(
    tmp_path: Path, server_file: ServerFile, provider: Provider
) -> None:
    listen, dead = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    path, identity = server_file(listen=listen), tmp_path / "identity.yaml"
    content = yaml.safe_load(identity.read_text())
    content["oidc-issuers"][dead] = {"issuer-url": dead, "client-id": "sigstore", "type": "email"}
    identity.write_text(yaml.safe_dump(content))
    now, ada = datetime.now(UTC), {"email": "ada@example.com", "email_verified": True}
    with serving(tmp_path, "serve", "--config", path, url=f"http://{listen}") as served:
        assert httpx.get(f"{served.url}/readyz").json()["ready"]
        refused = httpx.post(f"{served.url}/api/v2/signingCert", json=body(provider.token(now, iss=dead, **ada)))
        assert refused.status_code == 503
        assert refused.json()["details"][0]["reason"] == "ISSUER_UNAVAILABLE"
        issued = httpx.post(f"{served.url}/api/v2/signingCert", json=body(provider.token(now, **ada)))
        assert issued.status_code == 200
