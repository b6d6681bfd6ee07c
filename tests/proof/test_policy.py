from __future__ import annotations

import hashlib

import pytest

from ca.proof.algorithms import ALGORITHMS, DEFAULT_ALGORITHMS, Hash, KeyKind
from ca.proof.policy import KeyPolicy, KeyPolicyError, load_blocked_keys

DIGEST = hashlib.sha256(b"one").hexdigest()
OTHER = hashlib.sha256(b"two").hexdigest()


def test_the_default_is_fulcios():
    assert DEFAULT_ALGORITHMS == (
        "ecdsa-sha2-256-nistp256",
        "ecdsa-sha2-384-nistp384",
        "ecdsa-sha2-512-nistp521",
        "rsa-sign-pkcs1-2048-sha256",
        "rsa-sign-pkcs1-3072-sha256",
        "rsa-sign-pkcs1-4096-sha256",
        "ed25519",
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_name_is_an_entry_of_its_own(name):
    algorithm = ALGORITHMS[name]

    assert KeyPolicy.parse([name]).permitted == {(algorithm.kind, algorithm.hash): name}


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_an_entry_for_rsa_pss_permits_what_the_one_for_pkcs1_does(size):
    pss = KeyPolicy.parse([f"rsa-sign-pss-{size}-sha256"])

    assert pss.permitted == {(KeyKind(f"RSA-{size}"), Hash.SHA256): f"rsa-sign-pkcs1-{size}-sha256"}
    assert pss.names == (f"rsa-sign-pss-{size}-sha256",)


def test_the_same_name_twice_is_the_same_policy():
    assert KeyPolicy.parse(["ed25519", "ed25519"]).permitted == KeyPolicy.parse(["ed25519"]).permitted


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "",
        " ed25519",
        "ed25519 ",
        "ED25519",
        "ecdsa",
        "rsa-sign-pss-1024-sha256",
        "rsa-sign-pkcs1-2048-sha512",
        "ecdsa-sha2-256-nistp224",
    ],
)
def test_an_unknown_name_is_refused_in_fulcios_words(name):
    with pytest.raises(KeyPolicyError) as caught:
        KeyPolicy.parse(["ed25519", name])

    assert str(caught.value).startswith(f"could not find matching signature algorithm for flag: {name}; ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ecdsa-sha2-256-nistp265", "ecdsa-sha2-256-nistp256"),
        ("ecdsa-sha256-nistp256", "ecdsa-sha2-256-nistp256"),
        ("ed25518", "ed25519"),
        ("rsa-sign-pkcs1-2048", "rsa-sign-pkcs1-2048-sha256"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(name, meant):
    with pytest.raises(KeyPolicyError, match=f"did you mean {meant}\\?"):
        KeyPolicy.parse([name])


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(KeyPolicyError, match=r"known are ecdsa-sha2-256-nistp256, .*, ecdsa-sha2-256-nistp521"):
        KeyPolicy.parse(["foo"])


def test_an_entry_that_permits_nothing_is_refused_with_the_reason():
    with pytest.raises(KeyPolicyError, match="ed25519-ph permits nothing"):
        KeyPolicy.parse(["ed25519-ph"])


def test_an_empty_list_is_refused():
    with pytest.raises(KeyPolicyError, match="nobody could get a certificate"):
        KeyPolicy.parse([])


# ---- blocked keys -------------------------------------------------------------------------------------------


def test_digests_are_read_line_by_line():
    text = f"# stolen 2026-01\n{DIGEST}\n\n  {OTHER.upper()}  # lost\r\n{DIGEST}"

    assert load_blocked_keys(text) == {bytes.fromhex(DIGEST), bytes.fromhex(OTHER)}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "   # nothing\n"])
def test_a_list_may_be_empty(text):
    assert load_blocked_keys(text) == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "x",
        DIGEST[:-1],
        DIGEST + "0",
        DIGEST[:-1] + "g",
        f"{DIGEST} {OTHER}",
        f"{DIGEST}  key.pem",
        f"SHA256:{DIGEST}",
        "0x" + DIGEST[2:],
        DIGEST[:32] + " " + DIGEST[32:],
        hashlib.sha1(b"one").hexdigest(),
        hashlib.sha512(b"one").hexdigest(),
        "-----BEGIN PUBLIC KEY-----",
        "é" * 64,
        "٣" * 64,
    ],
)
def test_another_line_is_refused_with_its_number(line):
    with pytest.raises(KeyPolicyError, match=r"^line 3: "):
        load_blocked_keys(f"# keys\n{DIGEST}\n{line}\n{OTHER}\n")
