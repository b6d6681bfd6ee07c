from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ca.documents import parse
from ca.errors import ConfigurationError
from ca.identity.model import Extension
from ca.oidc.addresses import Scope
from ca.oidc.identity_config import load_identity_config, read_identity_config
from ca.oidc.model import Reach, TokenRules
from ca.oidc.registry import IssuerRegistry
from tests.oidc.pki import self_signed
from tests.oidc.provider import make_key

ROOT = Path(__file__).parents[2]
PUBLIC_INSTANCE = ROOT / "tests" / "vectors" / "fulcio-public-instance.yaml"

ENTRY = "    issuer-url: https://issuer.example\n    client-id: sigstore\n    type: email\n"
FIXED = f"oidc-issuers:\n  https://issuer.example:\n{ENTRY}"


def read(text: str, name: str = "identity.yaml"):
    return read_identity_config(parse(text, name, text_only=True))


def problems(text: str, name: str = "identity.yaml") -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read(text, name)
    return refused.value.detail.splitlines()


def fixed(key: str = "https://issuer.example", **members: str) -> str:
    entry = {"issuer-url": key, "client-id": "sigstore", "type": "email"}
    entry |= {name.replace("_", "-"): value for name, value in members.items()}
    lines = "".join(f"    {name}: {value}\n" for name, value in entry.items() if value is not ...)
    return f"oidc-issuers:\n  {key}:\n{lines}"


def meta(*patterns: str, **members: str) -> str:
    entry = {"client-id": "sigstore", "type": "kubernetes"}
    entry |= {name.replace("_", "-"): value for name, value in members.items()}
    lines = "".join(f"    {name}: {value}\n" for name, value in entry.items())
    return "meta-issuers:\n" + "".join(f'  "{pattern}":\n{lines}' for pattern in patterns)


def test_the_public_instances_configuration_loads_unchanged():
    issuers = load_identity_config(PUBLIC_INSTANCE)
    assert [sum(issuer.wildcard is kind for issuer in issuers) for kind in (False, True)] == [22, 9]
    assert {issuer.audience for issuer in issuers} == {"sigstore"}
    assert issuers[0].url == "https://accounts.google.com"
    registry = IssuerRegistry(issuers)
    for issuer in issuers:
        assert registry.find(issuer.url.replace("*", "foo")) is issuer
    assert registry.find("https://token.actions.githubusercontent.com").identity_type.name == "ci-provider"
    assert registry.find("https://oauth2.sigstore.dev/auth").identity_type.challenge_claim == "email"


def test_our_own_example_loads():
    assert load_identity_config(ROOT / "config" / "identity.yaml")


def test_every_key_of_an_issuer_is_read(tmp_path):
    text = fixed(type="username", subject_domain="example.issuer.example", challenge_claim="sub", description="d")
    text += "    contact: c\n    environment: e\n    skip-email-verification: true\n"
    (issuer,) = read(text)
    assert issuer.subject_domain == "example.issuer.example"
    assert issuer.skip_email_verification
    assert issuer.identity_type.name == "username"
    (spiffe,) = read(fixed(type="spiffe", spiffe_trust_domain="example.org"))
    assert spiffe.spiffe_trust_domain == "example.org"


def test_scalars_of_yaml_are_text_as_in_fulcio():
    (issuer,) = read(fixed(client_id="0123"))
    assert issuer.audience == "0123"


def test_json_has_go_names_in_any_case_and_tabs():
    text = json.dumps(
        {
            "OIDCIssuers": {
                "https://issuer.example": {
                    "IssuerURL": "https://issuer.example",
                    "clientid": "sigstore",
                    "TYPE": "email",
                    "IssuerClaim": "$.federated_claims.connector_id",
                    "SkipEmailVerification": True,
                    "Description": "x",
                }
            },
            "MetaIssuers": {
                "https://*.example/ci": {"ClientID": "sigstore", "Type": "ci-provider", "CiProvider": "OwnName"}
            },
            "CIIssuerMetadata": {
                "OwnName": {
                    "DefaultTemplateValues": {"ClientID": "kept as it is", "url": "https://ci.example"},
                    "ExtensionTemplates": {
                        "GithubWorkflowSHA": "sha",
                        "BuildSignerURI": "{{.url}}/{{.ClientID}}",
                        "Subject": "sub",
                    },
                    "SubjectAlternativeNameTemplate": "{{.url}}",
                }
            },
        },
        indent="\t",
    )
    email, ci = read(text, "config.json")
    assert (email.skip_email_verification, email.wildcard, ci.wildcard) == (True, False, True)
    identity = ci.identity_type.identify("https://a.example/ci", {"sub": "s", "sha": "abc"})
    assert identity.subject_alt_name.value == "https://ci.example"
    assert identity.extensions == {
        Extension.GITHUB_WORKFLOW_SHA: "abc",
        Extension.BUILD_SIGNER_URI: "https://ci.example/kept as it is",
    }
    assert read(text, "without-a-suffix") == (email, ci)


def test_problems_of_json_have_lines_too():
    text = '{\n\t"OIDCIssuers": {\n\t\t"https://issuer.example": {\n\t\t\t"ClientIDs": "x"\n}}}'
    assert problems(text, "config.json")[0].startswith("config.json:4: oidc-issuers")


def test_an_entry_in_two_spellings_is_refused():
    text = '{"OIDCIssuers": {"https://i.example": {"ClientID": "a",\n "clientId": "b"}}}'
    assert problems(text, "config.json")[0].startswith("config.json:2: ")


def test_go_names_belong_to_json():
    assert "unknown key" in problems(fixed().replace("client-id", "ClientID"))[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://127.9.9.9:1/x",
        "http://[::1]:5556/dex",
        "https://a.example/My%20Realm",
    ],
)
def test_http_is_for_urls_that_name_loopback(url):
    (issuer,) = read(f'oidc-issuers:\n  "{url}":\n    issuer-url: "{url}"\n    client-id: s\n    type: email\n')
    assert issuer.url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://issuer.example", "http is accepted only"),
        ("http://localhost.evil.example", "http is accepted only"),
        ("http://127.0.0.1.evil.example", "http is accepted only"),
        ("http://10.0.0.1", "http is accepted only"),
        ("http://0.0.0.0", "http is accepted only"),
        ("http://127.1", "http is accepted only"),
        ("http://2130706433", "http is accepted only"),
        ("ftp://issuer.example", "begins with https://"),
        ("issuer.example", "begins with https://"),
        ("https://", "begins with https://"),
        ("//issuer.example", "begins with https://"),
        ("https:issuer.example", "begins with https://"),
        ("https://user@issuer.example", "names no user"),
        ("https://user:pw@issuer.example", "names no user"),
        ("https://issuer.example?x=y", "no query"),
        ("https://issuer.example/?", "no query"),
        ("https://issuer.example/#x", "no fragment"),
        ("https://issuer.example/a b", "no space"),
        ("https://issuer.example\\\\@evil.example", "no backslash"),
        ("https://issuer.example/a/../b", "no . or .."),
        ("https://issuer.example/./b", "no . or .."),
        ("https://ißuer.example", "ASCII"),
        ("https://issuer.example:99999", "not a URL"),
        ("https://issuer.example:port", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://*.example", "wildcards belong under meta-issuers"),
    ],
)
def test_what_is_no_issuers_url_is_refused(url, why):
    lines = problems(f'oidc-issuers:\n  "{url}":\n    issuer-url: "{url}"\n    client-id: s\n    type: email\n')
    assert lines[0].startswith("identity.yaml:2: oidc-issuers")
    assert why in lines[0]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("http://*.example", "http is accepted only"),
        ("http://127.0.0.*", "http is accepted only"),
        ("http://*", "http is accepted only"),
        ("https://a@*.example", "names no user"),
        ("https://*.example/?*", "no query"),
    ],
)
def test_wildcards_are_held_to_the_same_rules(pattern, why):
    assert why in problems(meta(pattern))[0]


def test_wildcards_may_stand_in_a_loopback_issuers_port_and_path():
    assert len(read(meta("http://localhost:*/x", "http://127.0.0.1/*"))) == 2


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (fixed(issuer_url="https://other.example"), 3, "issuer-url: is not the key that it stands under"),
        (fixed(issuer_url="https://issuer.example/"), 3, "issuer-url: is not the key"),
        (fixed(issuer_url=...), 2, "issuer-url: is missing"),
        (meta("https://*.example", issuer_url="https://x.example"), 5, "issuer-url: is not the key"),
        (fixed(client_id=...), 2, "client-id: is missing"),
        (fixed(client_id='""'), 4, "client-id: is missing"),
        (fixed(client_id='" "'), 4, "client-id: is missing"),
        (fixed(client_id="~"), 4, "client-id: is missing"),
        (meta("https://*.example", client_id='""'), 3, "client-id: is missing"),
        (fixed(type=...), 2, "type: "),
        (fixed(type="emial"), 5, "did you mean email?"),
        (fixed(type="ci-provider"), 2, "ci-provider: metadata not found"),
        (fixed(type="ci-provider", ci_provider="nowhere"), 6, "metadata not found for ci provider nowhere"),
        (fixed(type="uri", issuer_claim="$.x"), 6, "only email issuers can use issuer claim mapping"),
        (fixed(type="uri"), 2, "uri issuer must have SubjectDomain set"),
        (fixed(type="uri", subject_domain="issuer.example"), 6, "SubjectDomain for uri must contain scheme"),
        (fixed(type="uri", subject_domain="http://issuer.example"), 6, "URI schemes do not match"),
        (fixed(type="username", subject_domain="a.other"), 6, "do not match"),
        (fixed(type="spiffe"), 2, "spiffe issuer must have SPIFFETrustDomain set"),
        (fixed(type="spiffe", spiffe_trust_domain="a#b"), 6, "spiffe trust domain is invalid"),
        (meta("https://*.example", type="spiffe", spiffe_trust_domain="a.b"), 4, "SPIFFE meta issuers not supported"),
        (meta("https://*.example", type="username"), 2, "username issuer must have SubjectDomain set"),
        (fixed(ca_cert="nonsense"), 6, "failed to parse CA certificate for issuer https://issuer.example"),
        (meta("https://*.example", ca_cert="x"), 5, "failed to parse CA certificate for meta issuer https://*.example"),
        (fixed(cient_id="x"), 6, "unknown key; did you mean client-id?"),
        (fixed(skip_email_verification="maybe"), 6, "skip-email-verification: expected a valid boolean"),
        (fixed(description="[a]"), 6, "description: expected text; put it into quotes"),
        (FIXED + "odc-issuers: {}\n", 6, "unknown key; did you mean oidc-issuers?"),
        (FIXED + FIXED, 6, "the key oidc-issuers appears twice"),
        (FIXED + f"  https://issuer.example:\n{ENTRY}", 6, "the key https://issuer.example appears twice"),
        (meta("https://a*.example", "https://*b.example"), 5, "neither is more specific"),
        (meta("https://*.example", "https://*.example"), 5, "appears twice"),
        ("", 1, "trusts no issuer"),
        ("oidc-issuers: {}\n", 1, "trusts no issuer"),
        ("oidc-issuers:\nmeta-issuers:\n", 1, "trusts no issuer"),
        ("oidc-issuers: []\n", 1, "oidc-issuers: expected a mapping"),
        ("oidc-issuers:\n  https://issuer.example:\n", 2, "client-id: is missing"),
        ("just text\n", 1, "expected a mapping"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_with_its_line(text, line, why):
    lines = problems(text)
    assert any(each.startswith(f"identity.yaml:{line}: ") and why in each for each in lines), lines


CI = """ci-issuer-metadata:
  own:
    default-template-values:
      url: https://ci.example
      environment:
    extension-templates:
      build-trigger: event
      {extension}
    subject-alternative-name-template: "{name}"
"""


def ci(extension: str = "issuer: ignored", name: str = "{{.url}}") -> str:
    text = CI.replace("{extension}", extension).replace("{name}", name)
    return fixed(type="ci-provider", ci_provider="own") + text


def test_a_null_default_is_an_empty_one():
    (issuer,) = read(ci("deployment-environment: environment"))
    identity = issuer.identity_type.identify("https://issuer.example", {"sub": "s", "event": "push"})
    assert identity.extensions == {Extension.BUILD_TRIGGER: "push"}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (ci("build-config-uri: '{{.url'"), 14, "extension-templates.build-config-uri: "),
        (ci("build-config-uri: '{{range .x}}{{end}}'"), 14, "extension-templates.build-config-uri: "),
        (ci(name="{{"), 15, "subject-alternative-name-template: "),
        (ci(name=""), 15, "subject-alternative-name-template: "),
        (ci("build-confg-uri: x"), 14, "unknown key; did you mean build-config-uri?"),
        (ci("token-subject: x"), 14, "unknown key"),
        (ci("issuer-v2: x"), 14, "unknown key"),
        (
            FIXED + CI.replace("{extension}", "subject: x").replace("{name}", "{{"),
            14,
            "subject-alternative-name-template",
        ),
    ],
)
def test_broken_templates_are_refused_once_whether_used_or_not(text, line, why):
    lines = problems(text)
    assert len(lines) == 1
    assert lines[0].startswith(f"identity.yaml:{line}: ci-issuer-metadata.own.")
    assert why in lines[0]


def test_all_problems_are_told_in_the_order_of_the_file():
    text = meta("https://*.example", client_id='""') + fixed(client_id='""', type="emial")
    lines = problems(text)
    assert [line.split(":")[1] for line in lines] == ["3", "8", "9"]


def test_a_ca_certificate_is_kept_as_pem(tmp_path):
    pem = self_signed(tmp_path)[0].read_text()
    text = FIXED + "    ca-cert: |\n" + "".join(f"      {line}\n" for line in pem.splitlines())
    (issuer,) = read(text)
    assert issuer.reach.ca_certificate == pem


def test_a_missing_file_trusts_nobody(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_identity_config(tmp_path / "config.yaml")


# ---- keys that Fulcio does not have ------------------------------------------------------------------------------


def test_left_out_keys_ask_nothing_more_than_fulcio_does():
    (issuer,) = read(FIXED)
    assert issuer.rules == TokenRules()
    assert issuer.reach == Reach()
    assert issuer.reach.key_hosts is None


def test_every_key_beside_fulcios_is_read(tmp_path):
    text = FIXED + (
        "    algorithms: [RS256, ES256]\n"
        "    audiences: [other]\n"
        "    sole-audience: true\n"
        "    azp: [client]\n"
        "    max-token-age: 600\n"
        "    network: private\n"
        "    jwks-hosts: [keys.example]\n"
        "    ca-cert-file: ca.pem\n"
        "    bearer-token-file: /run/token\n"
        "    proxy: http://user:pass@proxy.example:3128\n"
        "    stale-if-error: 0\n"
    )
    (issuer,) = read(text, str(tmp_path / "identity.yaml"))
    assert issuer.rules == TokenRules(
        frozenset({"RS256", "ES256"}), frozenset({"other"}), True, frozenset({"client"}), timedelta(minutes=10)
    )
    assert issuer.reach == Reach(
        scope=Scope.PRIVATE,
        key_hosts=frozenset({"keys.example"}),
        ca_certificate_file=tmp_path / "ca.pem",
        bearer_token_file=Path("/run/token"),
        proxy="http://user:pass@proxy.example:3128",
        stale_if_error=0,
    )
    assert "pass" not in repr(issuer)


def test_keys_beside_fulcios_have_json_names_too():
    entry = {
        "IssuerURL": "https://i.example",
        "ClientID": "s",
        "Type": "email",
        "MaxTokenAge": 60,
        "SoleAudience": True,
    }
    (issuer,) = read(json.dumps({"OIDCIssuers": {"https://i.example": entry}}), "config.json")
    assert issuer.rules.max_age == timedelta(minutes=1)
    assert issuer.rules.sole_audience


REFUSED_KEYS = {
    "algorithms: [HS256]": "algorithms: HS256 is none of RS256",
    "algorithms: [none]": "algorithms: none is none of",
    "algorithms: RS256": "algorithms: expected a list",
    "algoritms: [RS256]": "algoritms: unknown key; did you mean algorithms?",
    "max-token-age: 0": "max-token-age: expected at least 1",
    "max-token-age: an hour": "max-token-age: expected a whole number",
    "max-tokenage: 5": "did you mean max-token-age?",
    "network: internal": "network: expected",
    "stale-if-error: 86401": "stale-if-error: expected at most 86400",
    "stale-if-error: -1": "stale-if-error: expected at least 0",
    "sole-audience: 5": "sole-audience: ",
    "proxy: proxy.example:3128": "proxy: expected http://HOST:PORT",
    "proxy: socks5://proxy.example": "proxy: expected http://HOST:PORT",
    "proxy: http://proxy.example/path": "proxy: expected http://HOST:PORT",
    "jwks-hosts: [https://keys.example]": "jwks-hosts: expected hosts alone",
    "jwks-hosts: ['*.example']": "jwks-hosts: expected hosts alone",
    "jwks-hosts: [Keys.example]": "jwks-hosts: expected hosts alone",
    "jwks-file: missing.json": "missing.json: cannot be read",
}


@pytest.mark.parametrize(("line", "problem"), REFUSED_KEYS.items())
def test_keys_that_could_not_work_are_refused_in_their_line(line, problem):
    assert [found for found in problems(f"{FIXED}    {line}\n") if found.startswith("identity.yaml:6: ")] != []
    assert problem in problems(f"{FIXED}    {line}\n")[0]


def test_a_proxys_password_is_in_no_problem():
    assert "hunter2" not in str(problems(f"{FIXED}    proxy: ftp://u:hunter2@proxy.example\n"))


@pytest.mark.parametrize("key", ["jwks-file", "bearer-token-file"])
def test_what_is_for_one_issuer_is_refused_for_a_wildcard(tmp_path, key):
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [make_key("ES256").as_dict(private=False)]}))
    assert "is for one issuer" in problems(meta("https://*.example", **{key: str(tmp_path / "keys.json")}))[0]


@pytest.mark.parametrize("content", ['{"keys": []}', "{}", "no", '{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
def test_a_jwks_file_without_a_usable_key_is_refused(tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    assert "jwks-file: " in problems(fixed(jwks_file=str(tmp_path / "keys.json")))[0]


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]", "[::ffff:127.0.0.1]", "192.168.1.1"])
def test_an_address_that_is_not_of_the_internet_needs_to_be_called_private(host):
    url = f"https://{host}"
    text = f'oidc-issuers:\n  "{url}":\n    issuer-url: "{url}"\n    client-id: s\n    type: email\n'
    assert "network: private" in problems(text)[0]
    if host in {"10.0.0.1", "[fd00::1]", "192.168.1.1"}:
        assert read(f"{text}    network: private\n")
    else:
        assert problems(f"{text}    network: private\n")


def test_wildcards_private_issuers_and_those_with_a_token_have_their_keys_on_their_own_host():
    assert read(meta("https://*.example"))[0].reach.key_hosts == frozenset()
    assert read(fixed(network="private"))[0].reach.key_hosts == frozenset()
    assert read(fixed(bearer_token_file="/run/token"))[0].reach.key_hosts == frozenset()
    assert read(meta("https://*.example", jwks_hosts="[keys.example]"))[0].reach.key_hosts == {"keys.example"}


# ---- in a pod ----------------------------------------------------------------------------------------------------


def pod(directory: Path, *files: str) -> Path:
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text("x")
    return directory


SERVICE_ACCOUNT = "secrets/kubernetes.io/serviceaccount"
IN_CLUSTER = fixed("https://kubernetes.default.svc", type="kubernetes")


def in_pod(text: str, directory: Path) -> Reach:
    (issuer,) = read_identity_config(parse(text, "identity.yaml", text_only=True), directory)
    return issuer.reach


def test_the_clusters_own_issuer_is_reached_as_pods_reach_it(tmp_path):
    root = pod(tmp_path, f"{SERVICE_ACCOUNT}/ca.crt", f"{SERVICE_ACCOUNT}/token")
    assert in_pod(IN_CLUSTER, root) == Reach(
        scope=Scope.PRIVATE,
        key_hosts=frozenset(),
        ca_certificate_file=root / SERVICE_ACCOUNT / "ca.crt",
        bearer_token_file=root / SERVICE_ACCOUNT / "token",
    )
    pod(root, "fulcio/ca.crt")
    assert in_pod(IN_CLUSTER, root).ca_certificate_file == root / "fulcio" / "ca.crt"
    longer = IN_CLUSTER.replace("default.svc", "default.svc.cluster.local")
    assert in_pod(longer, root).bearer_token_file


def test_what_an_operator_says_of_the_clusters_issuer_stays(tmp_path):
    root = pod(tmp_path, f"{SERVICE_ACCOUNT}/ca.crt", f"{SERVICE_ACCOUNT}/token")
    reach = in_pod(f"{IN_CLUSTER}    ca-cert-file: /own.pem\n    bearer-token-file: /own\n", root)
    assert (reach.ca_certificate_file, reach.bearer_token_file) == (Path("/own.pem"), Path("/own"))


@pytest.mark.parametrize(
    "text",
    [
        fixed("https://kubernetes.default.svc.evil.example".replace("svc.", "svc-"), type="kubernetes"),
        fixed("https://issuer.example", type="kubernetes"),
        fixed("https://kubernetes.default.svc", type="email"),
        meta("https://kubernetes.*.svc"),
    ],
)
def test_nobody_else_gets_the_pods_token(tmp_path, text):
    root = pod(tmp_path, f"{SERVICE_ACCOUNT}/ca.crt", f"{SERVICE_ACCOUNT}/token", "fulcio/ca.crt")
    reach = in_pod(text, root)
    assert (reach.ca_certificate_file, reach.bearer_token_file, reach.scope) == (None, None, Scope.PUBLIC)
