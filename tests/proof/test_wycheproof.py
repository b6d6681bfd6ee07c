"""Project Wycheproof's signatures, run through the check that a request meets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ca.errors import CallerError, KeyWeak, ProofFailed
from ca.proof import prove
from ca.proof.model import KeyWithProof
from ca.proof.parse import parse_key
from ca.proof.possession import verify_proof
from ca.proof.weak import strong_kind
from tests.proof.builders import DEFAULT_POLICY

VECTORS = Path(__file__).parents[1] / "vectors" / "wycheproof"

NUMBER_OF_CASES = {
    "ecdsa_secp256r1_sha256_test.json": 484,
    "ecdsa_secp384r1_sha384_test.json": 504,
    "ecdsa_secp521r1_sha512_test.json": 542,
    "ed25519_test.json": 151,
    "rsa_signature_2048_sha256_test.json": 259,
    "rsa_signature_3072_sha256_test.json": 259,
    "rsa_signature_4096_sha256_test.json": 258,
}

REFUSED = {
    # Go refuses these too: RFC 8017 §9.2 wants the NULL.
    ("rsa_signature_2048_sha256_test.json", 8): (ProofFailed, "MissingNull"),
    ("rsa_signature_3072_sha256_test.json", 8): (ProofFailed, "MissingNull"),
    ("rsa_signature_4096_sha256_test.json", 8): (ProofFailed, "MissingNull"),
    # The exponent of these keys is 3.
    ("rsa_signature_2048_sha256_test.json", 258): (KeyWeak, "SmallPublicKey"),
    ("rsa_signature_2048_sha256_test.json", 259): (KeyWeak, "SmallPublicKey"),
    ("rsa_signature_3072_sha256_test.json", 259): (KeyWeak, "SmallPublicKey"),
}
"""The signatures called valid or acceptable that are refused, by file and case: how, and by which flag of theirs."""


def cases(file: str) -> Iterator[tuple[dict[str, Any], KeyWithProof, bytes]]:
    for group in json.loads((VECTORS / file).read_text())["testGroups"]:
        key = group["publicKeyPem"].encode()
        for test in group["tests"]:
            yield test, KeyWithProof(key, bytes.fromhex(test["sig"])), bytes.fromhex(test["msg"])


def outcome(material: KeyWithProof, message: bytes) -> CallerError | None:
    try:
        key = parse_key(material)
        verify_proof(key.public_key, strong_kind(key.public_key), material.unverified_proof, message)
    except CallerError as error:
        return error
    return None


@pytest.mark.parametrize(("file", "number"), NUMBER_OF_CASES.items())
def test_every_case_is_run(file, number):
    assert len(list(cases(file))) == number


@pytest.mark.parametrize("file", NUMBER_OF_CASES)
def test_no_invalid_signature_is_accepted(file):
    for test, material, message in cases(file):
        if test["result"] == "invalid":
            assert isinstance(outcome(material, message), ProofFailed), test


@pytest.mark.parametrize("file", NUMBER_OF_CASES)
def test_every_other_signature_is_accepted_but_for_those_listed(file):
    for test, material, message in cases(file):
        if test["result"] == "invalid":
            continue
        error = outcome(material, message)
        if expected := REFUSED.get((file, test["tcId"])):
            assert type(error) is expected[0], test
            assert expected[1] in test["flags"]
        else:
            assert error is None, test


@pytest.mark.parametrize("file", NUMBER_OF_CASES)
def test_a_whole_proof_comes_to_the_same_where_the_message_is_text(file):
    """`prove` takes a challenge, so the messages that are no UTF-8 stop at the check inside."""
    outcomes = set()
    for _, material, message in cases(file):
        try:
            challenge = message.decode()
        except UnicodeDecodeError:
            continue
        expected = outcome(material, message)
        with pytest.raises(type(expected)) if expected else nullcontext():
            prove(material, challenge, DEFAULT_POLICY)
        outcomes.add(type(expected))
    assert {type(None), ProofFailed} <= outcomes
