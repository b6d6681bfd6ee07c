from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import KeySet

from ca.dev.tokens import IssuerKey, load_or_create_issuer_key, mint_token, parse_claims
from ca.errors import ClaimInvalid, ConfigurationError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "http://127.0.0.1:5556"


def test_token_is_signed_by_the_key_in_the_jwks(issuer_key: IssuerKey) -> None:
    token = mint_token(issuer_key, URL, "ada@example.com", {"groups": ["dev"]}, NOW)
    keys = KeySet.import_key_set(issuer_key.jwks())
    claims = json.loads(jws.deserialize_compact(token, keys, algorithms=["RS256"]).payload)
    issued = int(NOW.timestamp())
    assert claims == {
        "iss": URL,
        "aud": "sigstore",
        "sub": "ada@example.com",
        "email": "ada@example.com",
        "email_verified": True,
        "groups": ["dev"],
        "iat": issued,
        "nbf": issued,
        "exp": issued + 600,
    }


def test_minting_sets_the_times_over_whatever_the_claims_say(issuer_key: IssuerKey) -> None:
    payload = issuer_key.mint({"exp": 1}, NOW, timedelta(seconds=5)).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"] == int(NOW.timestamp()) + 5


@pytest.mark.parametrize("claim", ["iss", "aud", "iat", "nbf", "exp", "nonce", "email"])
def test_claims_that_are_the_issuers_own_are_refused_by_name(issuer_key: IssuerKey, claim: str) -> None:
    with pytest.raises(ClaimInvalid, match=f'"{claim}"') as refusal:
        mint_token(issuer_key, URL, "ada@example.com", {claim: "x"}, NOW)
    assert refusal.value.metadata == {"claim": claim}


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@exa mple.com",
        "ada@example.com\n",
        "ада@example.com",
        "a@b@example.com",
    ],
)
def test_email_that_no_certificate_can_name_is_refused(issuer_key: IssuerKey, email: str) -> None:
    with pytest.raises(ClaimInvalid, match="e-mail"):
        mint_token(issuer_key, URL, email, {}, NOW)


def test_claims_are_text_after_equals_and_json_after_colon_equals() -> None:
    assert parse_claims(["sub=repo:o/r", "run_id=7", "n:=7", "on:=true", "equation=a=b", "empty="]) == {
        "sub": "repo:o/r",
        "run_id": "7",
        "n": 7,
        "on": True,
        "equation": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("written", [["sub"], ["=x"], [":=1"], ["n:="], ["n:=nope"], ["n:=Infinity"], ["a=1", "a:=2"]])
def test_claim_that_does_not_parse_is_refused(written: list[str]) -> None:
    with pytest.raises(ClaimInvalid):
        parse_claims(written)


def test_key_is_made_once_for_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "issuer.pem"
    made = load_or_create_issuer_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_issuer_key(path).kid == made.kid
    assert [entry.name for entry in path.parent.iterdir()] == ["issuer.pem"]


def test_key_is_one_and_the_same_for_all_who_come_first_together(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        kids = {key.kid for key in pool.map(load_or_create_issuer_key, [tmp_path / "issuer.pem"] * 4)}
    assert len(kids) == 1


def test_file_that_is_no_rsa_private_key_is_named_and_left_alone(tmp_path: Path, issuer_key: IssuerKey) -> None:
    ec_key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "issuer.pem"
    for content in (b"", b"not a key", ec_key, issuer_key.private.as_pem(private=False)):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"issuer\.pem"):
            load_or_create_issuer_key(path)
        assert path.read_bytes() == content


def test_directory_in_the_keys_place_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_or_create_issuer_key(tmp_path)
