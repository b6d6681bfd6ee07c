"""`dayfly trust`: the documents, the cluster's objects, and the live instance held against both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from sigstore_models.trustroot.v1 import ClientTrustConfig, SigningConfig, TrustedRoot

from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.api.server import CA, running_ca
from tests.process import command
from tests.trust.instances import chain, write_ed25519

CRDS = Path(__file__).parent / "vectors" / "policy-controller"
POLICY = ("--image-glob", "registry.example.org/**", "--issuer", "https://login.example.org")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    with running_ca(tmp_path_factory.mktemp("ca")) as running:
        configure(running, {})
        yield running


def configure(ca: CA, trust: dict[str, Any], name: str = "ca.yaml") -> Path:
    """The running CA's configuration as an operator would have it in a file, with this `trust:`."""
    path = ca.directory / name
    configuration = {
        "identity-config": "identity.yaml",
        "ca": {"cert": "ca/chain.pem", "key": "ca/intermediate.key.pem"},
        "ct": {"log": "none"},
        "timestamp": {"chain": "ca/timestamp-chain.pem", "key": "ca/timestamp.key.pem"},
        "trust": {"url": str(ca.client.base_url), **trust},
    }
    path.write_text(yaml.safe_dump(configuration))
    return path


def timestamps(ca: CA) -> dict[str, Any]:
    (ca.directory / "tsa.pem").write_text("".join(chain("tsa").pems))
    return {"timestamp-authorities": [{"url": f"{ca.client.base_url}/api/v1/timestamp", "chain": "tsa.pem"}]}


def test_show_names_the_ca_by_its_serial(ca: CA) -> None:
    shown = command("trust", "show", "-c", ca.directory / "ca.yaml")
    assert shown.exit_code == 0
    assert "CN=Dayfly tests-intermediate" in shown.stdout
    assert str(ca.client.base_url) in shown.stdout


def test_show_writes_documents_that_sigstores_models_read_and_the_server_serves(ca: CA, tmp_path: Path) -> None:
    assert command("trust", "show", "-c", ca.directory / "ca.yaml", "--out", tmp_path / "new").exit_code == 0
    root = (tmp_path / "new" / "trusted_root.json").read_text()
    config = (tmp_path / "new" / "signing_config.v0.2.json").read_text()
    TrustedRoot.from_json(root)
    SigningConfig.from_json(config)
    ClientTrustConfig.from_json((tmp_path / "new" / "client_trust_config.json").read_text())
    assert json.loads(root) == ca.client.get("/api/v2/trustedRoot").json()
    assert json.loads(config) == ca.client.get("/api/v2/signingConfig").json()


def test_show_asks_for_the_url_where_nobody_has_said_it(ca: CA) -> None:
    path = configure(ca, {"url": None}, "nameless.yaml")
    refused = command("trust", "show", "-c", path)
    assert refused.exit_code == 78
    assert "trust.url is missing" in refused.stderr
    assert command("trust", "show", "-c", path, "--url", "https://ca.example.org").exit_code == 0


def test_show_names_the_line_of_a_wrong_entry(ca: CA) -> None:
    path = configure(ca, {"rekor": [{"url": "https://rekor.example.org", "publik-key": "x"}]}, "wrong.yaml")
    refused = command("trust", "show", "-c", path)
    assert refused.exit_code == 78
    assert re.search(r"wrong\.yaml:\d+: trust\.rekor\[0\]\.publik-key", refused.stderr)


def test_check_finds_the_live_instance_as_configured(ca: CA) -> None:
    checked = command("trust", "check", "-c", ca.directory / "ca.yaml")
    assert checked.exit_code == 0, checked.stdout
    assert "1 of 1 trusted chains in use" in checked.stdout


def test_check_finds_nobody_there(ca: CA) -> None:
    checked = command("trust", "check", "-c", ca.directory / "ca.yaml", "--url", "http://127.0.0.1:9")
    assert checked.exit_code == 1
    assert "no answer" in checked.stdout


def test_check_finds_an_instance_with_another_ca(ca: CA, tmp_path: Path) -> None:
    write_ca(tmp_path / "other", "Other", "Other", clock())
    path = configure(ca, {}, "other.yaml")
    document = yaml.safe_load(path.read_text())
    document["ca"] = {name: str(tmp_path / "other" / Path(file).name) for name, file in document["ca"].items()}
    path.write_text(yaml.safe_dump(document))
    checked = command("trust", "check", "-c", path)
    assert checked.exit_code == 1
    assert "it issues from CN=Dayfly tests-intermediate,O=Dayfly tests, which is not trusted here" in checked.stdout
    assert "it differs from this configuration in certificateAuthorities" in checked.stdout


def test_check_finds_what_is_configured_and_not_served(ca: CA, tmp_path: Path) -> None:
    write_ed25519(tmp_path / "rekor.pem")
    own = str(ca.client.base_url)
    path = configure(ca, {"rekor": [{"url": own, "public-key": str(tmp_path / "rekor.pem")}]}, "rekor.yaml")
    checked = command("trust", "check", "-c", path)
    assert checked.exit_code == 1
    assert "it answers 404" in checked.stdout
    assert "it differs from this configuration in tlogs" in checked.stdout


def test_check_finds_another_issuer_than_is_configured(ca: CA) -> None:
    email, github = ca.issuer("email"), ca.issuer("github")
    checked = command(
        "trust", "check", "-c", configure(ca, {"oidc": [{"url": email}, {"url": github + "/no"}]}, "oidc.yaml")
    )
    assert checked.exit_code == 1
    lines = [line for line in checked.stdout.splitlines() if "│ issuer" in line]
    assert ["ok" in line for line in lines] == [True, False]


def objects(ca: CA, *more: str, trust: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    path = configure(ca, {**timestamps(ca), **(trust or {})}, "policy.yaml")
    printed = command("trust", "policy-controller", "-c", path, *POLICY, *more)
    assert printed.exit_code == 0, printed.stderr
    return list(yaml.safe_load_all(printed.stdout))


def schema(name: str) -> dict[str, Any]:
    """The schema of the served version, closed: a cluster drops what it does not know without a word."""
    definition = yaml.safe_load((CRDS / name).read_text())
    version = next(version for version in definition["spec"]["versions"] if version["name"] == "v1alpha1")
    closed = close(version["schema"]["openAPIV3Schema"])
    closed["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    return closed


def close(node: Any) -> Any:
    if isinstance(node, list):
        return [close(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: close(value) for name, value in node.items()}
    if "properties" in closed and closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


def test_objects_for_a_cluster_fit_the_controllers_own_schemas(ca: CA, tmp_path: Path) -> None:
    write_ed25519(tmp_path / "rekor.pem")
    rekor = {"rekor": [{"url": "https://rekor.example.org", "public-key": str(tmp_path / "rekor.pem")}]}
    for trust in ({}, rekor):
        root, policy = objects(ca, "--identity", "ada@example.org", "--identity-regexp", ".*@example.org", trust=trust)
        Draft202012Validator(schema("300-trustroot.yaml")).validate(root)
        Draft202012Validator(schema("300-clusterimagepolicy.yaml")).validate(policy)
        assert (root["kind"], policy["kind"]) == ("TrustRoot", "ClusterImagePolicy")


def test_schema_would_notice_a_field_that_the_controller_does_not_know(ca: CA) -> None:
    root, _ = objects(ca, "--identity", "ada@example.org")
    root["spec"]["sigstoreKeys"]["certificateAuthority"] = []
    assert not Draft202012Validator(schema("300-trustroot.yaml")).is_valid(root)


def test_policy_names_who_may_sign_what(ca: CA) -> None:
    _, policy = objects(ca, "--identity", "ada@example.org", "--identity", "eve@example.org", "--name", "builds")
    (authority,) = policy["spec"]["authorities"]
    assert policy["spec"]["images"] == [{"glob": "registry.example.org/**"}]
    assert [identity["subject"] for identity in authority["keyless"]["identities"]] == [
        "ada@example.org",
        "eve@example.org",
    ]
    assert {identity["issuer"] for identity in authority["keyless"]["identities"]} == {"https://login.example.org"}
    assert authority["keyless"]["trustRootRef"] == authority["rfc3161timestamp"]["trustRootRef"] == "builds"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--identity or --identity-regexp"),
        (["--identity-regexp", "("], "--identity-regexp"),
        (["--identity", "ada@example.org", "--name", "No Name"], "--name"),
    ],
)
def test_policy_that_a_cluster_would_refuse_is_not_printed(ca: CA, words: list[str], said: str) -> None:
    refused = command("trust", "policy-controller", "-c", configure(ca, timestamps(ca), "policy.yaml"), *POLICY, *words)
    assert refused.exit_code == 78
    assert said in refused.stderr
    assert not refused.stdout


def test_policy_without_a_trusted_time_is_not_printed(ca: CA) -> None:
    path = configure(ca, {}, "timeless.yaml")
    document = yaml.safe_load(path.read_text())
    del document["timestamp"]
    path.write_text(yaml.safe_dump(document))
    refused = command("trust", "policy-controller", "-c", path, *POLICY, "--identity", "ada@example.org")
    assert refused.exit_code == 78
    assert "a certificate lives ten minutes" in refused.stderr
