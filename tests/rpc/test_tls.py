"""TLS by files, which change while the server runs."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

import grpc
import pytest
from cryptography import x509

from ca.errors import ConfigurationError
from ca.main import clock
from ca.rpc.settings import RPCSettings
from ca.rpc.tls import ServedPair
from tests.api.server import CA, body, running_ca
from tests.http.test_tls import Pair, write
from tests.rpc.client import Client, connected


def settings_of(pair: Pair) -> dict[str, str]:
    return {"listen": "127.0.0.1:0", **pair.settings}


@contextmanager
def trusting(ca: CA, certificate: bytes) -> Iterator[Client]:
    credentials = grpc.ssl_channel_credentials(certificate)
    with connected(ca.rpc, credentials, ssl_target_name_override="localhost") as client:
        yield client


def presented(ca: CA, **version: ssl.TLSVersion) -> tuple[str, str | None]:
    """Whom the server's certificate names, and what it speaks."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name, value in version.items():
        setattr(context, name, value)
    host, port = ca.rpc.split(":")
    with create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as client:
        der = client.getpeercert(binary_form=True)
        assert der
        return x509.load_der_x509_certificate(der).subject.rfc4514_string(), client.selected_alpn_protocol()


def test_calls_over_tls_are_answered(tmp_path: Path) -> None:
    pair = write(tmp_path)
    with running_ca(tmp_path, grpc=settings_of(pair)) as ca, trusting(ca, pair.certificate.read_bytes()) as rpc:
        assert rpc.sign(body(ca.token())).code == 0
        assert presented(ca) == ("CN=localhost", "h2")
        with pytest.raises(ssl.SSLError), pytest.deprecated_call():
            presented(ca, maximum_version=ssl.TLSVersion.TLSv1_1)
        with connected(ca.rpc) as plain:
            assert plain.trust_bundle().code == grpc.StatusCode.UNAVAILABLE.value[0], "in the clear"


def test_a_new_pair_is_taken_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first = write(tmp_path)
    with running_ca(tmp_path, grpc=settings_of(first)) as ca, trusting(ca, first.certificate.read_bytes()) as rpc:
        assert rpc.trust_bundle().code == 0
        assert 0 < ca.figure("grpc_tls_expiry_seconds") < 90_000
        write(tmp_path, "second.example", days=3)
        until(lambda: presented(ca)[0] == "CN=second.example")
        assert rpc.trust_bundle().code == 0, "the connection from before stays"
        until(lambda: ca.figure("grpc_tls_expiry_seconds") > 200_000)
        first.key.write_text("broken")
        until(lambda: ca.figure("grpc_tls_reload_failed") == 1)
        assert presented(ca)[0] == "CN=second.example"
        write(tmp_path, "third.example")
        until(lambda: presented(ca)[0] == "CN=third.example")
        until(lambda: ca.figure("grpc_tls_reload_failed") == 0)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["tls-certificate", "tls-key"])
def test_one_file_without_the_other_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="go together"):
        RPCSettings.model_validate({"listen": "127.0.0.1:1", name: "a.pem"})


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = write(tmp_path).certificate, write(tmp_path / "other").key
    with pytest.raises(ConfigurationError, match="not the key of the first certificate"):
        ServedPair(certificate, key, clock())


def test_an_expired_pair_is_refused(tmp_path: Path) -> None:
    pair = write(tmp_path, days=-1)
    with pytest.raises(ConfigurationError, match="expired"):
        ServedPair(pair.certificate, pair.key, clock())


def test_generated_messages_are_those_of_the_definition(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    out = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", root, *out, "ca/rpc/proto/fulcio.proto"]
    subprocess.run(command, cwd=root, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    for name in ("fulcio_pb2.py", "fulcio_pb2.pyi"):
        assert (root / "ca/rpc/proto" / name).read_text() == (tmp_path / "ca/rpc/proto" / name).read_text()
