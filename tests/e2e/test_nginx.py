"""deploy/nginx.conf in a real nginx: HTTP and gRPC of one Dayfly at one address, with TLS."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml

from tests.api.server import body
from tests.e2e.against_fulcio.cases import person
from tests.e2e.against_fulcio.issuers import Issuers, serving_issuers
from tests.e2e.instance import DAYFLY, CAFiles
from tests.e2e.processes import Child, free_port
from tests.http.test_tls import write
from tests.rpc.client import Client, connected

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Front:
    """nginx with Dayfly behind it."""

    address: str
    certificate: Path
    dayfly: Child
    client: httpx.Client
    rpc: Client

    def record(self, request_id: str) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.dayfly.log.read_text().splitlines() if line.startswith("{")]
        return next(record for record in lines if record.get("request_id") == request_id)


@pytest.fixture(scope="module")
def issuers() -> Iterator[Issuers]:
    with serving_issuers() as issuers:
        yield issuers


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, ca: CAFiles, issuers: Issuers) -> Iterator[Front]:
    directory = tmp_path_factory.mktemp("nginx")
    http, rpc, tls = (f"127.0.0.1:{free_port()}" for _ in range(3))
    certificate = write(directory).certificate
    with dayfly(directory, ca, issuers, http, rpc) as behind, nginx(directory, http, rpc, tls) as proxy:
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with (
            httpx.Client(base_url=f"https://{tls}", verify=context, trust_env=False) as client,
            connected(tls, credentials, ssl_target_name_override="localhost") as caller,
        ):
            proxy.wait_until(lambda: caller.trust_bundle().code == 0)
            yield Front(tls, certificate, behind, client, caller)


@contextmanager
def dayfly(directory: Path, ca: CAFiles, issuers: Issuers, http: str, rpc: str) -> Iterator[Child]:
    issuer = issuers.issuer("email")
    trusted = {"oidc-issuers": {issuer: {"issuer-url": issuer, "client-id": "sigstore", "type": "email"}}}
    (directory / "identity.yaml").write_text(yaml.safe_dump(trusted))
    # As the comment of nginx.conf has it, with this machine's ports.
    settings = {
        "listen": http,
        "http": {"trusted-proxies": ["127.0.0.1"]},
        "grpc": {"listen": rpc},
        "identity-config": "identity.yaml",
        "ca": {"cert": str(ca.chain), "key": str(ca.key)},
        "ct": {"log": "none"},
        "metrics": {"listen": "none"},
    }
    config = directory / "ca.yaml"
    config.write_text(yaml.safe_dump(settings))
    with Child.start("dayfly-behind-nginx", [DAYFLY, "serve", "--config", config], directory) as child:
        yield child.wait_for_http(f"http://{http}/readyz")


def configured(directory: Path, http: str, rpc: str, tls: str) -> Path:
    """What an operator changes in the file that is shipped, and where this machine may write."""
    text = SHIPPED.read_text()
    for shipped, chosen in {
        "server 127.0.0.1:5555;": f"server {http};",
        "server 127.0.0.1:5554;": f"server {rpc};",
        "listen 443 ": f"listen {tls} ",
        "listen [::]:443 ssl http2;": "",
        "/etc/nginx/tls/tls.crt": f"{directory}/tls.pem",
        "/etc/nginx/tls/tls.key": f"{directory}/tls.key.pem",
        "\nhttp {\n": "\nhttp {\n"
        + "".join(
            f"    {kind}_temp_path {directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, chosen)
    path = directory / "nginx.conf"
    path.write_text(text)
    return path


def nginx_command(directory: Path, config: Path) -> list[str | Path]:
    assert NGINX
    user = "user root; " if os.getuid() == 0 else ""
    return [NGINX, "-e", directory / "nginx.error", "-c", config, "-g", f"{user}daemon off; pid {directory}/nginx.pid;"]


@contextmanager
def nginx(directory: Path, http: str, rpc: str, tls: str) -> Iterator[Child]:
    config = configured(directory, http, rpc, tls)
    with Child.start("nginx", nginx_command(directory, config), directory) as child:
        yield child


def test_nginx_finds_nothing_wrong(front: Front, tmp_path: Path) -> None:
    write(tmp_path)
    command = nginx_command(tmp_path, configured(tmp_path, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"))
    found = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    said = found.stderr + (tmp_path / "nginx.error").read_text()
    assert found.returncode == 0, said
    assert "[warn]" not in said.replace('[warn] the "listen ... http2" directive is deprecated', "")


def test_one_address_has_both(front: Front, issuers: Issuers) -> None:
    over_http = front.client.post("/api/v2/signingCert", json=body(person(issuers), "ada@example.com"))
    assert over_http.status_code == 200, over_http.text
    over_grpc = front.rpc.sign(body(person(issuers), "ada@example.com"))
    assert over_grpc.code == 0, over_grpc.message
    kind = "signedCertificateDetachedSct"
    chains = [reply[kind]["chain"]["certificates"][1:] for reply in (over_http.json(), over_grpc.reply)]
    assert chains[0] == chains[1]
    assert front.rpc.trust_bundle().reply == front.client.get("/api/v2/trustBundle").json()
    assert front.rpc.health().reply == {"status": "SERVING"}
    assert front.client.get("/readyz").status_code == 200


def test_refusals_come_through_whole(front: Front) -> None:
    asked = body("a.b.c")
    refused = front.rpc.sign(asked, x_request_id="refused")
    answer = front.client.post("/api/v2/signingCert", json=asked, headers={"X-Request-Id": "refused"}).json()
    assert (refused.code, refused.message) == (answer["code"], answer["message"])
    assert refused.reason == answer["details"][0]["reason"] == "TOKEN_MALFORMED"
    assert refused.metadata["x-request-id"] == "refused"


def test_the_longest_error_comes_through(front: Front) -> None:
    unknown = front.rpc.call(f"/dev.sigstore.fulcio.v2.CA/{'x' * 500}", b"", None)
    assert unknown.code == 12
    assert unknown.details[0]["reason"] == "METHOD_UNKNOWN"


def test_the_largest_token_comes_through_in_a_header(front: Front) -> None:
    token = "x" * 16_384
    answer = front.client.post("/api/v2/signingCert", json={}, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["details"][0]["reason"] == "TOKEN_MALFORMED"
    assert front.rpc.sign({}, authorization=f"Bearer {token}").reason == "TOKEN_MALFORMED"


def test_dayfly_refuses_what_is_too_large_in_its_own_words(front: Front) -> None:
    answer = front.client.post("/api/v2/signingCert", content=bytes(100_000))
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert front.client.post("/api/v2/signingCert", content=bytes(1_000_000)).status_code == 413
    assert front.rpc.sign_bytes(bytes(100_000)).code == 8
    assert front.rpc.sign_bytes(bytes(1_000_000)).code != 0


def test_the_client_is_the_one_that_nginx_saw(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.certificate))
    context.check_hostname = False
    elsewhere = httpx.HTTPTransport(verify=context, local_address="127.0.0.2")
    with httpx.Client(base_url=f"https://{front.address}", transport=elsewhere) as client:
        client.get("/api/v2/trustBundle", headers={"X-Request-Id": "seen", "X-Forwarded-For": "192.0.2.7"})
    assert front.record("seen")["client"] == "127.0.0.2", "and not whom it claims to be"
    # This client has the proxy's own address, so that what it claims is believed: both came through.
    front.rpc.sign_bytes(b"", ("x-request-id", "passed"), ("x-forwarded-for", "192.0.2.7"))
    assert front.record("passed")["client"] == "192.0.2.7"


def test_connections_that_were_idle_serve_again(front: Front, issuers: Issuers) -> None:
    time.sleep(6)
    for _ in range(3):
        assert front.rpc.sign(body(person(issuers))).code == 0
        assert front.client.post("/api/v2/signingCert", json=body(person(issuers))).status_code == 200
        time.sleep(2)
