"""Key and chain belong together, or there is no CA key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256

from ca.certificate.chain import Chain, ChainInvalid
from ca.errors import SignerUnavailable
from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.keys.local import LocalKey
from ca.keys.model import KeyUnusable, prove, verify
from tests.certificate.pki import ALGORITHMS, CA_KINDS, START, ca_builder, make_ca, private_key
from tests.keys.conftest import NOW

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("kind", CA_KINDS)
async def test_a_pair_is_proven_and_signs_with_its_algorithm(kind: str) -> None:
    ca = make_ca(kind)
    ca_key = await prove(LocalKey.of(ca.key), ca.chain, NOW)
    assert ca_key.chain is ca.chain
    assert ca_key.signing_key.signature_algorithm.hex() == ALGORITHMS[kind]
    signature = await ca_key.signing_key.sign(b"message")
    verify(ca_key.signing_key.public_key, signature, b"message")
    with pytest.raises(InvalidSignature):
        verify(ca_key.signing_key.public_key, signature, b"another message")


@pytest.mark.parametrize("kind", CA_KINDS)
async def test_a_key_of_another_chain_is_refused(kind: str) -> None:
    with pytest.raises(KeyUnusable, match="public keys are not equal"):
        await prove(LocalKey.of(private_key(kind, 3)), make_ca(kind).chain, NOW)


@dataclass(frozen=True)
class Liar:
    """Claims another's public key, as a mixed-up HSM slot does."""

    claimed: LocalKey
    real: LocalKey

    @property
    def public_key(self):
        return self.claimed.public_key

    @property
    def signature_algorithm(self) -> bytes:
        return self.claimed.signature_algorithm

    async def sign(self, message: bytes) -> bytes:
        return await self.real.sign(message)


@pytest.mark.parametrize("kind", CA_KINDS)
async def test_a_key_whose_signatures_do_not_verify_is_refused(kind: str) -> None:
    ca = make_ca(kind)
    liar = Liar(LocalKey.of(ca.key), LocalKey.of(private_key(kind, 3)))
    with pytest.raises(KeyUnusable, match="trial signature does not verify"):
        await prove(liar, ca.chain, NOW)


async def test_a_chain_that_may_not_issue_is_refused() -> None:
    ca = make_ca(extended_key_usage=None)
    with pytest.raises(ChainInvalid, match="code signing"):
        await prove(LocalKey.of(ca.key), ca.chain, NOW)


async def test_a_chain_that_has_ended_is_refused() -> None:
    ca = make_ca()
    with pytest.raises(ChainInvalid, match="has expired"):
        await prove(LocalKey.of(ca.key), ca.chain, ca.chain.not_after + SECOND)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ec.generate_private_key(ec.SECP224R1()), "ECDSA curve P-224 not allowed"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA curve secp256k1 not allowed"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "ECDSA curve brainpoolP256r1 not allowed"),
        (ed448.Ed448PrivateKey.generate(), "no ECDSA, RSA or Ed25519 key"),
        (x25519.X25519PrivateKey.generate(), "no ECDSA, RSA or Ed25519 key"),
        (dsa.generate_private_key(2048), "no ECDSA, RSA or Ed25519 key"),
        ("no key at all", "no ECDSA, RSA or Ed25519 key"),
    ],
    ids=["P-224", "secp256k1", "brainpool", "Ed448", "X25519", "DSA", "text"],
)
def test_other_kinds_of_key_sign_nothing(key, said: str) -> None:
    with pytest.raises(KeyUnusable, match=said):
        LocalKey.of(key)


@pytest.mark.parametrize(("bits", "exponent"), [(1024, 65537), (2050, 65537), (2048, 3)])
async def test_weak_rsa_keys_are_refused(bits: int, exponent: int) -> None:
    key = rsa.generate_private_key(exponent, bits)
    chain = Chain.of([ca_builder(key, "weak").sign(key, SHA256())])
    with pytest.raises(KeyUnusable, match="the CA key is weak"):
        await prove(LocalKey.of(key), chain, NOW)


def test_a_local_key_does_not_show_itself() -> None:
    assert "PrivateKey" not in repr(LocalKey.of(private_key("P-256")))


# ---- in use --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def keys() -> EphemeralKeys:
    return EphemeralKeys(await ephemeral_ca_key(NOW, organization="Tests"))


async def test_an_ephemeral_ca_issues_from_now_on(keys: EphemeralKeys) -> None:
    assert keys.current(NOW) is keys.ca_key
    assert keys.chains() == [keys.ca_key.chain]
    assert keys.last_reload_error is None
    names = [certificate.subject.rfc4514_string() for certificate in keys.ca_key.chain.certificates]
    assert names == ["CN=ephemeral intermediate,O=Tests", "CN=ephemeral root,O=Tests"]


async def test_two_ephemeral_cas_have_nothing_in_common(keys: EphemeralKeys) -> None:
    other = await ephemeral_ca_key(NOW)
    assert other.chain.spki != keys.ca_key.chain.spki


async def test_an_expired_chain_stops_issuance_in_clear_words(keys: EphemeralKeys) -> None:
    end = keys.ca_key.chain.not_after
    keys.current(end)
    with pytest.raises(SignerUnavailable) as caught:
        keys.current(end + SECOND)
    assert caught.value.public_message.startswith(
        "error communicating with CA backend: the CA cannot issue: certificate"
    )
    assert f"has expired: it is {end + SECOND:%FT%TZ}, it ended {end:%FT%TZ}" in caught.value.detail


async def test_a_chain_that_is_not_yet_valid_stops_issuance(keys: EphemeralKeys) -> None:
    with pytest.raises(SignerUnavailable, match="is not yet valid"):
        keys.current(keys.ca_key.chain.not_before - SECOND)


async def test_an_expired_root_stops_issuance_too() -> None:
    ca = make_ca(end=START + timedelta(days=400))
    ca_key = await prove(LocalKey.of(ca.key), ca.chain, NOW)
    root = ca.chain.certificates[-1]
    assert root.not_valid_after_utc < ca.chain.certificates[0].not_valid_after_utc
    with pytest.raises(SignerUnavailable, match="CN=root"):
        ca_key.require_valid(root.not_valid_after_utc + SECOND)
