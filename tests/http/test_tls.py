"""TLS by files, which change while connections last."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from ca.errors import ConfigurationError
from ca.http.settings import HTTPSettings
from ca.http.tls import ServerCertificate
from ca.main import clock
from tests.http.server import GET, Guarded, guarded, rest


class Pair(NamedTuple):
    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"tls-certificate": str(self.certificate), "tls-key": str(self.key)}


def write(
    directory: Path,
    name: str = "localhost",
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    days: int = 1,
    encryption: KeySerializationEncryption | None = None,
) -> Pair:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(clock() - timedelta(days=9))
        .not_valid_after(clock() + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(directory / "tls.pem", directory / "tls.key.pem")
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return pair


def connect(server: Guarded, **version: ssl.TLSVersion) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in version.items():
        setattr(context, name, value)
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def name_of(client: ssl.SSLSocket) -> str:
    der = client.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def certificate_of(server: Guarded) -> ServerCertificate:
    assert server.front.certificate
    return server.front.certificate


def test_a_new_pair_serves_new_connections_and_old_ones_last(tmp_path: Path) -> None:
    with guarded(**write(tmp_path, "first").settings) as server, connect(server) as old:
        assert name_of(old) == "CN=first"
        write(tmp_path, "second")
        certificate_of(server).reload(clock())
        with connect(server) as new:
            assert name_of(new) == "CN=second"
        old.sendall(GET)
        assert old.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("damage", ["half", "gone", "garbage", "expired"])
def test_a_bad_pair_leaves_the_last_good_one(tmp_path: Path, damage: str) -> None:
    pair = write(tmp_path, "good")
    with guarded(**pair.settings) as server:
        good = pair.key.read_bytes()
        match damage:
            case "half":
                write(tmp_path, "bad")
                pair.key.write_bytes(good)
            case "gone":
                pair.certificate.unlink()
            case "garbage":
                pair.key.write_text("garbage")
            case "expired":
                write(tmp_path, "bad", days=-1)
        certificate_of(server).reload(clock())
        assert str(tmp_path) in (certificate_of(server).last_reload_error or "")
        with connect(server) as client:
            assert name_of(client) == "CN=good"
        write(tmp_path, "better")
        certificate_of(server).reload(clock())
        assert certificate_of(server).last_reload_error is None
        with connect(server) as client:
            assert name_of(client) == "CN=better"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_is_1_2_or_later(tmp_path: Path) -> None:
    with guarded(**write(tmp_path).settings) as server:
        with connect(server, maximum_version=ssl.TLSVersion.TLSv1_2) as client:
            assert client.version() == "TLSv1.2"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server, minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00", GET])
def test_a_handshake_that_does_not_come_is_not_waited_for(tmp_path: Path, sent: bytes) -> None:
    with guarded(**write(tmp_path).settings) as server:
        started = time.monotonic()
        assert b"HTTP/" not in server.exchange(sent)
        while server.ended("handshake") == 0:
            assert time.monotonic() - started < 8
            time.sleep(0.05)


def test_slow_clients_are_closed_behind_tls_too(tmp_path: Path) -> None:
    with guarded(**write(tmp_path).settings) as server, connect(server) as client:
        client.sendall(b"GET / HT")
        assert rest(client).startswith(b"HTTP/1.1 408")


def refused(pair: Pair) -> str:
    certificate = ServerCertificate.of(HTTPSettings.model_validate(pair.settings))
    assert certificate
    with pytest.raises(ConfigurationError) as refusal:
        certificate.load(clock())
    return str(refusal.value)


def test_what_is_wrong_with_a_pair_names_the_file(tmp_path: Path) -> None:
    pair = write(tmp_path)
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other")._replace(certificate=pair.certificate)
    assert refused(other).startswith(f"{other.key}: not the key of")
    assert refused(Pair(pair.key, pair.key)).startswith(f"{pair.key}: not certificates")
    assert refused(Pair(pair.certificate, pair.certificate)).startswith(f"{pair.certificate}: not a private key")
    assert refused(pair._replace(key=tmp_path / "none")).startswith(f"{tmp_path / 'none'}: cannot be read")
    assert "expired" in refused(write(tmp_path, days=-1))
    assert "encrypted" in refused(write(tmp_path, encryption=BestAvailableEncryption(b"secret")))
    assert "cannot serve TLS" in refused(write(tmp_path, key=rsa.generate_private_key(65537, 1024)))


@pytest.mark.parametrize("alone", ["tls-certificate", "tls-key"])
def test_one_file_alone_is_refused(alone: str) -> None:
    with pytest.raises(ValueError, match="go together"):
        HTTPSettings.model_validate({alone: "tls.pem"})
