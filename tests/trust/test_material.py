"""What the operator configures, and how mistakes are named."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from ca.errors import ConfigurationError
from ca.trust.material import Operated
from ca.trust.settings import TrustSettings
from tests.trust.instances import chain, own_parts, write_ed25519

if TYPE_CHECKING:
    from pathlib import Path


def rekor(path: Path, **more: Any) -> TrustSettings:
    return TrustSettings.model_validate(
        {"rekor": [{"url": "https://rekor.example.org:8443/log", "public-key": path, **more}]}
    )


def test_rekor_2_is_named_by_the_note_hash_of_its_host_and_key(tmp_path: Path) -> None:
    raw = write_ed25519(tmp_path / "key.pem")
    (log,) = Operated(rekor(tmp_path / "key.pem")).material(own_parts()).tlogs
    assert log.log_id == sha256(b"rekor.example.org\n\x01" + raw).digest()


def test_rekor_2_may_have_an_origin_of_its_own(tmp_path: Path) -> None:
    raw = write_ed25519(tmp_path / "key.pem")
    (log,) = Operated(rekor(tmp_path / "key.pem", origin="rekor.local")).material(own_parts()).tlogs
    assert log.log_id == sha256(b"rekor.local\n\x01" + raw).digest()


def test_rekor_2_with_an_ecdsa_key_is_named_by_the_hash_of_the_key(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (log,) = Operated(rekor(tmp_path / "key.pem")).material(own_parts()).tlogs
    assert log.log_id == sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def test_rekor_1_is_named_by_the_hash_of_the_key(tmp_path: Path) -> None:
    write_ed25519(tmp_path / "key.pem")
    (log,) = Operated(rekor(tmp_path / "key.pem", version=1)).material(own_parts()).tlogs
    assert log.log_id == sha256(log.public_key).digest()


def test_operator_is_the_host_of_the_url_unless_it_has_a_name() -> None:
    settings = {"url": "https://ca.example.org"}
    assert Operated(TrustSettings.model_validate(settings)).material(own_parts()).operator == "ca.example.org"
    settings["operator"] = "Example Inc."
    assert Operated(TrustSettings.model_validate(settings)).material(own_parts()).operator == "Example Inc."


def test_no_service_is_named_without_a_url() -> None:
    assert Operated(TrustSettings()).material(own_parts()).ca_services == ()


@pytest.mark.parametrize(
    "url",
    [
        "ca.example.org",
        "ftp://ca.example.org",
        "https://",
        "https://ca.example.org/fulcio",
        "https://ca.example.org?a=b",
        "https://ca.example.org#a",
        "https://user@ca.example.org",
    ],
)
def test_url_that_clients_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        TrustSettings(url=url)


@pytest.mark.parametrize(
    "window",
    [
        {"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "2026-02-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"},
        {"start": "2026-02-01T00:00:00"},
        {"start": "yesterday"},
    ],
)
def test_window_that_is_none_is_refused(window: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TrustSettings.model_validate({"oidc": [{"url": "https://login.example.org", **window}]})


@pytest.mark.parametrize("version", [0, 3, "two"])
def test_rekor_of_an_unknown_version_is_refused(tmp_path: Path, version: object) -> None:
    with pytest.raises(ValidationError):
        rekor(tmp_path / "key.pem", version=version)


def test_missing_key_of_rekor_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key\.pem: cannot be read"):
        Operated(rekor(tmp_path / "key.pem"))


@pytest.mark.parametrize("content", [b"", b"\x30\x00", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_key_of_rekor_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"key\.pem: is no log's public key in PEM"):
        Operated(rekor(tmp_path / "key.pem"))


def test_key_of_rekor_that_no_client_verifies_with_is_named(tmp_path: Path) -> None:
    key = dsa.generate_private_key(1024).public_key()
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ConfigurationError, match="expected an ECDSA key on P-256"):
        Operated(rekor(tmp_path / "key.pem"))


def timestamps(path: Path) -> TrustSettings:
    return TrustSettings.model_validate(
        {"timestamp-authorities": [{"url": "https://tsa.example.org/api/v1/timestamp", "chain": path}]}
    )


def test_timestamp_authority_without_its_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "tsa.pem").write_text(chain("tsa").pems[0])
    with pytest.raises(ConfigurationError, match=r"tsa\.pem: has one certificate"):
        Operated(timestamps(tmp_path / "tsa.pem"))


@pytest.mark.parametrize("content", ["", "no chain"])
def test_timestamp_authority_without_a_chain_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tsa.pem").write_text(content)
    with pytest.raises(ConfigurationError, match=r"tsa\.pem: certificate chain must contain"):
        Operated(timestamps(tmp_path / "tsa.pem"))
