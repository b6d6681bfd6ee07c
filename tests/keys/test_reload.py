"""The pair in its files, on a real file system: written, renamed, swapped, halved and broken."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr

from ca.documents import follow
from ca.errors import ConfigurationError, SignerUnavailable
from ca.keys.reload import ReloadingFileKey
from ca.keys.settings import CASettings
from tests.certificate.pki import CA, START, Chain, ca_builder, hash_of, make_ca, private_key
from tests.keys.conftest import NOW
from tests.keys.pems import PKCS8, private_pem

pytestmark = pytest.mark.anyio


def clock():
    return NOW


def another(number: int = 50, **replace) -> CA:
    """An issuing certificate with a key of its own."""
    root_key, key = private_key("P-384", 99), private_key("P-256", number)
    root = ca_builder(root_key, "root").sign(root_key, hash_of(root_key))
    issuing = ca_builder(key, f"issuing {number}", "root", **replace).sign(root_key, hash_of(root_key))
    return CA(Chain.of([issuing, root]), key, b"")


@asynccontextmanager
async def following(settings: CASettings):
    keys = await ReloadingFileKey.load(settings, clock)
    task = asyncio.create_task(keys.run())
    await asyncio.sleep(0.3)  # for the watch to be there
    try:
        yield keys
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def with_a_broken_name(settings: CASettings) -> bytes:
    """The chain with a root whose name is not UTF-8, which pyca notices late."""
    issuing, root = x509.load_pem_x509_certificates(settings.cert.read_bytes())
    spoilt = root.public_bytes(Encoding.DER).replace(b"\x0c\x04root", b"\x0c\x04\xff\xff\xff\xff")
    return issuing.public_bytes(Encoding.PEM) + ssl.DER_cert_to_PEM_cert(spoilt).encode()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def in_use(keys: ReloadingFileKey) -> bytes:
    ca_key = keys.current(NOW)
    assert keys.chains() == [ca_key.chain]
    return ca_key.chain.spki


def renamed_over(path: Path, content: bytes) -> None:
    """As editors and careful programs write."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)


async def test_what_is_wrong_at_the_start_stops_the_start(write) -> None:
    settings = write(make_ca(), private_pem(private_key("P-256", 3)))
    with pytest.raises(ConfigurationError, match="public keys are not equal"):
        await ReloadingFileKey.load(settings, clock)


async def test_a_pair_written_in_place_is_taken(write) -> None:
    settings, new = write(make_ca()), another()
    async with following(settings) as keys:
        write(new)
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None


async def test_a_pair_renamed_over_the_old_one_is_taken(write, logs) -> None:
    settings, new = write(make_ca()), another()
    async with following(settings) as keys:
        renamed_over(settings.cert, "".join(new.chain.pems).encode())
        renamed_over(settings.key, private_pem(new.key))
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None
    assert "CN=issuing 50" in next(record for record in logs if record["event"] == "CA key loaded")["subject"]


async def test_a_kubernetes_swap_is_taken(tmp_path: Path, write) -> None:
    """https://kubernetes.io/docs/concepts/configuration/secret/: `..data` is swapped, the files stay symlinks."""
    old, new, volume = make_ca(), another(), tmp_path / "volume"
    for name, ca in {"..2026_11_01": old, "..2026_11_03": new}.items():
        volume.mkdir(exist_ok=True)
        write(ca, directory=volume / name)
    (volume / "..data").symlink_to("..2026_11_01")
    for name in ("chain.pem", "key.pem"):
        (volume / name).symlink_to(f"..data/{name}")

    async with following(CASettings(cert=volume / "chain.pem", key=volume / "key.pem")) as keys:
        assert in_use(keys) == old.chain.spki
        (volume / "..data_tmp").symlink_to("..2026_11_03")
        (volume / "..data_tmp").replace(volume / "..data")
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None


async def test_half_a_swap_keeps_the_last_good_pair_until_the_other_half_comes(write, logs) -> None:
    old, new = make_ca(), another()
    settings = write(old)
    async with following(settings) as keys:
        renamed_over(settings.key, private_pem(new.key))
        await until(lambda: keys.last_reload_error)
        assert "public keys are not equal" in keys.last_reload_error
        assert str(settings.key) in keys.last_reload_error
        assert in_use(keys) == old.chain.spki
        assert await keys.current(NOW).signing_key.sign(b"x")

        renamed_over(settings.cert, "".join(new.chain.pems).encode())
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None
    assert [record["event"] for record in logs] == [
        "the CA key cannot be loaded, the last good one stays in use",
        "CA key loaded",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda settings: settings.cert.write_text("nothing"),
        lambda settings: settings.cert.write_bytes(with_a_broken_name(settings)),
        lambda settings: settings.key.write_text("nothing"),
        lambda settings: settings.key.write_bytes(b""),
        lambda settings: settings.key.unlink(),
        lambda settings: settings.cert.unlink(),
        lambda settings: settings.cert.write_text("".join(make_ca(end=START - timedelta(seconds=1)).chain.pems)),
        lambda settings: settings.key.write_bytes(private_pem(private_key("P-256", 98), PKCS8, b"secret")),
    ],
    ids=["chain", "name", "key", "empty", "key gone", "chain gone", "expired", "encrypted"],
)
async def test_a_broken_pair_keeps_the_last_good_one_and_mends(write, spoil) -> None:
    ca = make_ca()
    settings = write(ca)
    async with following(settings) as keys:
        spoil(settings)
        await until(lambda: keys.last_reload_error)
        assert in_use(keys) == ca.chain.spki
        write(ca)
        await until(lambda: keys.last_reload_error is None)
        assert in_use(keys) == ca.chain.spki


async def test_a_directory_that_goes_and_comes_back_is_found_again(tmp_path: Path, write, monkeypatch) -> None:
    monkeypatch.setattr(follow, "LOOK_AGAIN", 0.2)
    directory, new = tmp_path / "pair", another()
    settings = write(make_ca(), directory=directory)
    async with following(settings) as keys:
        directory.rename(tmp_path / "elsewhere")
        await until(lambda: keys.last_reload_error)
        write(new, directory=directory)
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None


async def test_a_change_behind_a_symlink_to_another_directory_is_found(tmp_path: Path, write, monkeypatch) -> None:
    monkeypatch.setattr(follow, "LOOK_AGAIN", 0.2)
    new = another()
    real = write(make_ca(), directory=tmp_path / "real")
    links = tmp_path / "links"
    links.mkdir()
    for path in (real.cert, real.key):
        (links / path.name).symlink_to(path)
    async with following(CASettings(cert=links / "chain.pem", key=links / "key.pem")) as keys:
        write(new, directory=tmp_path / "real")
        await until(lambda: in_use(keys) == new.chain.spki)


async def test_a_new_password_comes_with_a_new_key(tmp_path: Path, write) -> None:
    ca, new = make_ca(), another()
    password_file = tmp_path / "password"
    password_file.write_text("old\n")
    settings = write(ca, private_pem(ca.key, PKCS8, b"old")).model_copy(update={"key_password_file": password_file})
    async with following(settings) as keys:
        write(new, private_pem(new.key, PKCS8, b"new"))
        await until(lambda: keys.last_reload_error)
        assert "the password is wrong" in keys.last_reload_error
        renamed_over(password_file, b"new\r\n")
        await until(lambda: in_use(keys) == new.chain.spki)
        assert keys.last_reload_error is None


async def test_a_missing_password_file_stops_the_start(tmp_path: Path, write) -> None:
    settings = write(make_ca()).model_copy(update={"key_password_file": tmp_path / "password"})
    with pytest.raises(ConfigurationError, match=f"{tmp_path / 'password'}: cannot be read: No such file"):
        await ReloadingFileKey.load(settings, clock)


async def test_a_password_of_the_environment_is_used(write) -> None:
    ca = make_ca()
    settings = write(ca, private_pem(ca.key, PKCS8, b"secret"))
    keys = await ReloadingFileKey.load(settings.model_copy(update={"key_password": SecretStr("secret")}), clock)
    assert in_use(keys) == ca.chain.spki


async def test_files_that_did_not_change_are_not_loaded_again(write, logs) -> None:
    settings = write(make_ca())
    keys = await ReloadingFileKey.load(settings, clock)
    before = keys.current(NOW)
    os.utime(settings.cert)
    await keys.reload()
    assert keys.current(NOW) is before
    assert logs == []


async def test_the_same_trouble_is_said_once(write, logs) -> None:
    settings = write(make_ca())
    keys = await ReloadingFileKey.load(settings, clock)
    settings.key.write_text("nothing")
    for _ in range(3):
        await keys.reload()
    assert len(logs) == 1
    settings.key.unlink()
    for _ in range(3):
        await keys.reload()
    assert len(logs) == 2


async def test_a_chain_that_is_not_yet_valid_is_taken_when_its_time_comes(write) -> None:
    ca, new = make_ca(), another(start=START.replace(hour=13))
    settings = write(ca)
    moments = [NOW, NOW, NOW.replace(hour=13)]
    keys = await ReloadingFileKey.load(settings, lambda: moments.pop(0))
    write(new)
    await keys.reload()
    assert "is not yet valid" in keys.last_reload_error
    assert in_use(keys) == ca.chain.spki
    await keys.reload()
    assert keys.last_reload_error is None
    assert keys.chains() == [new.chain]


async def test_a_key_that_was_taken_before_a_reload_still_signs(write) -> None:
    """One issuance, one CA key: precertificate and certificate are signed by the same."""
    ca, new = make_ca(), another()
    keys = await ReloadingFileKey.load(write(ca), clock)
    held = keys.current(NOW)
    write(new)
    await keys.reload()
    assert in_use(keys) == new.chain.spki
    assert held.chain == ca.chain
    assert await held.signing_key.sign(b"x")


async def test_an_expired_chain_stops_issuance_until_a_new_one_comes(write) -> None:
    ca, new = make_ca(), another(end=START.replace(year=2027, month=12))
    keys = await ReloadingFileKey.load(write(ca), clock)
    later = ca.chain.not_after.replace(year=ca.chain.not_after.year + 1)
    with pytest.raises(SignerUnavailable, match="has expired"):
        keys.current(later)
    assert keys.chains() == [ca.chain]
    write(new)
    await keys.reload()
    keys.current(NOW)
