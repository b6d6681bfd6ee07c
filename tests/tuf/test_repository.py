"""The repository, as python-tuf's client sees it: what it must follow, and what it must refuse."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, RepositoryError, UnsignedMetadataError

from ca.errors import ConfigurationError
from ca.trust.material import Operated
from ca.trust.settings import TrustSettings
from ca.tuf.repository import LIFETIMES, Repository
from ca.tuf.targets import Target, targets
from tests.trust.instances import START, own_parts
from tests.tuf.repositories import NOW, Keys, client, created, fetched, files, key


@pytest.fixture
def keys() -> Keys:
    return Keys.new()


@pytest.fixture
def repository(tmp_path: Path, keys: Keys) -> Repository:
    made = created(tmp_path / "tuf", keys)
    made.publish(files(), keys.targets, keys.online, NOW)
    return made


def root(repository: Repository) -> bytes:
    return (repository.directory / "1.root.json").read_bytes()


def test_client_bootstraps_and_gets_what_was_published(repository: Repository, tmp_path: Path) -> None:
    updater = client(repository.directory, tmp_path / "client", root(repository))
    for name in ("trusted_root.json", "signing_config.v0.2.json"):
        assert json.loads(fetched(updater, name))["mediaType"].startswith("application/vnd.dev.sigstore.")


def test_older_clients_find_each_key_and_certificate_with_its_usage(repository: Repository) -> None:
    published = repository.targets().signed.targets
    usages = {name: file.custom["sigstore"]["usage"] for name, file in published.items() if file.custom}
    assert usages == {
        "fulcio_v1.crt.pem": "Fulcio",
        "fulcio_intermediate_v1.crt.pem": "Fulcio",
        "fulcio_v2.crt.pem": "Fulcio",
        "fulcio_intermediate_v2.crt.pem": "Fulcio",
        "ctfe.pub": "CTFE",
        "ctfe_2.pub": "CTFE",
    }


def test_older_clients_learn_what_is_out_of_use() -> None:
    made = targets(Operated(TrustSettings()).material(own_parts()), START + timedelta(days=200))
    assert made["ctfe.pub"].sigstore == {"usage": "CTFE", "status": "Expired", "uri": "https://ca.example.org/ctlog"}
    assert made["ctfe_2.pub"].sigstore == {"usage": "CTFE", "status": "Active", "uri": "https://ca.example.org/ctlog"}


def test_client_follows_a_publication(repository: Repository, keys: Keys, tmp_path: Path) -> None:
    first = fetched(client(repository.directory, tmp_path / "client", root(repository)), "signing_config.v0.2.json")
    assert not repository.holds(files("https://other.example.org"))
    repository.publish(changed := files("https://other.example.org"), keys.targets, keys.online, NOW)
    assert repository.holds(changed)
    second = fetched(client(repository.directory, tmp_path / "client"), "signing_config.v0.2.json")
    assert first != second == changed["signing_config.v0.2.json"].content


def test_what_was_published_is_still_there_after_the_next(repository: Repository, keys: Keys) -> None:
    before = {
        path.relative_to(repository.directory): path.read_bytes() for path in repository.directory.rglob("*.*json")
    }
    before.pop(Path("timestamp.json"))
    repository.publish(files("https://other.example.org"), keys.targets, keys.online, NOW)
    assert all((repository.directory / path).read_bytes() == content for path, content in before.items())


def test_refresh_waits_for_half_of_a_life(repository: Repository, keys: Keys) -> None:
    half = LIFETIMES["timestamp"] / 2
    assert not repository.refresh(keys.online, NOW + half - timedelta(seconds=1))
    assert repository.refresh(keys.online, NOW + half + timedelta(seconds=1))
    assert repository.expiries()["timestamp"] == NOW + half + timedelta(seconds=1) + LIFETIMES["timestamp"]
    assert not repository.refresh(keys.online, NOW + half + timedelta(seconds=2))
    assert repository.refresh(keys.online, NOW + half + timedelta(seconds=2), force=True)


def test_client_follows_a_refresh(repository: Repository, keys: Keys, tmp_path: Path) -> None:
    client(repository.directory, tmp_path / "client", root(repository)).refresh()
    repository.refresh(keys.online, NOW, force=True)
    client(repository.directory, tmp_path / "client").refresh()
    assert json.loads((tmp_path / "client/timestamp.json").read_bytes())["signed"]["version"] == 3


@pytest.mark.parametrize("role", ["root", "targets", "online"])
def test_client_that_was_away_catches_up_with_rotations(
    repository: Repository, keys: Keys, tmp_path: Path, role: str
) -> None:
    fetched(client(repository.directory, tmp_path / "client", root(repository)), "trusted_root.json")
    old = getattr(keys, role)
    for expected in (2, 3, 4):
        new = [key()]
        roots = keys.root if role != "root" else old
        version = repository.rotate(
            role, new, 1, root_signers=roots, old=old, online=keys.online if role != "online" else (), now=NOW
        )
        assert version == expected
        old = new
    for home, start in (("client", None), ("newcomer", root(repository))):
        fetched(client(repository.directory, tmp_path / home, start), "trusted_root.json")


def test_rotation_with_the_old_keys_leaves_no_moment_without_a_good_repository(
    repository: Repository, keys: Keys, tmp_path: Path
) -> None:
    """Whatever a client finds between one file and the next is good: every file alone, in the order written."""
    before = tmp_path / "before"
    shutil.copytree(repository.directory, before)
    repository.rotate("targets", [key()], 1, root_signers=keys.root, old=keys.targets, online=keys.online, now=NOW)
    written = {path for path in repository.directory.iterdir() if not (before / path.name).exists()}
    assert {path.name for path in written} == {"2.root.json", "3.targets.json", "3.snapshot.json"}
    for path in (repository.directory / "3.targets.json", repository.directory / "3.snapshot.json"):
        shutil.copy(path, before)
    shutil.copy(repository.directory / "timestamp.json", before)  # all but the new root
    fetched(client(before, tmp_path / "client", root(repository)), "trusted_root.json")


def test_lost_targets_key_is_replaced_all_the_same(repository: Repository, keys: Keys, tmp_path: Path) -> None:
    repository.rotate("targets", [key()], 1, root_signers=keys.root, online=keys.online, now=NOW)
    fetched(client(repository.directory, tmp_path / "client", root(repository)), "trusted_root.json")


def test_root_of_three_keys_is_signed_by_two(tmp_path: Path) -> None:
    keys = Keys.new(root=3)
    made = created(tmp_path / "tuf", keys, threshold=2)
    made.publish(files(), keys.targets, keys.online, NOW)
    new = [key(), key()]
    with pytest.raises(ConfigurationError, match="needs 2 signatures of the old root keys and has 1"):
        made.rotate("root", new, 2, root_signers=keys.root[:1], now=NOW)
    made.rotate("root", new, 2, root_signers=keys.root[1:], now=NOW)
    fetched(client(made.directory, tmp_path / "client", root(made)), "trusted_root.json")


# ---- what clients refuse -------------------------------------------------------------------------------------------


def test_client_refuses_an_expired_timestamp(tmp_path: Path, keys: Keys) -> None:
    made = created(tmp_path / "tuf", keys, now=NOW - timedelta(days=8))
    with pytest.raises(ExpiredMetadataError):
        client(made.directory, tmp_path / "client", root(made)).refresh()
    made.refresh(keys.online, NOW)
    client(made.directory, tmp_path / "client", root(made)).refresh()


def test_client_refuses_a_repository_that_went_back(repository: Repository, keys: Keys, tmp_path: Path) -> None:
    old = (repository.directory / "timestamp.json").read_bytes()
    repository.publish(files("https://other.example.org"), keys.targets, keys.online, NOW)
    client(repository.directory, tmp_path / "client", root(repository)).refresh()
    (repository.directory / "timestamp.json").write_bytes(old)
    updater = client(repository.directory, tmp_path / "client")
    with pytest.raises(BadVersionNumberError):
        updater.refresh()


def test_client_refuses_a_root_that_the_old_one_did_not_sign(
    repository: Repository, keys: Keys, tmp_path: Path
) -> None:
    client(repository.directory, tmp_path / "client", root(repository)).refresh()
    forger = Keys.new()
    forged = created(tmp_path / "forged", forger)
    forged.publish(files("https://evil.example.org"), forger.targets, forger.online, NOW)
    forged.rotate("root", forger.root, 1, root_signers=forger.root, now=NOW)
    shutil.copy(forged.directory / "2.root.json", repository.directory)
    with pytest.raises(UnsignedMetadataError):
        client(repository.directory, tmp_path / "client").refresh()


def test_client_refuses_a_file_that_was_exchanged(repository: Repository, tmp_path: Path) -> None:
    (path,) = (repository.directory / "targets").glob("*.trusted_root.json")
    path.write_bytes(path.read_bytes().replace(b"https", b"httpz"))
    updater = client(repository.directory, tmp_path / "client", root(repository))
    with pytest.raises(RepositoryError):
        fetched(updater, "trusted_root.json")


# ---- what the repository refuses -----------------------------------------------------------------------------------


def test_nothing_is_published_that_clients_would_refuse(repository: Repository, keys: Keys) -> None:
    stranger = Keys.new()
    published = (repository.directory / "timestamp.json").read_bytes()
    for offline, online, said in (
        (stranger.targets, keys.online, "targets needs 1 signatures"),
        (keys.targets, stranger.online, "snapshot needs 1 signatures"),
        (keys.online, keys.online, "targets needs 1 signatures"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            repository.publish({"new": Target(b"new")}, offline, online, NOW)
    assert (repository.directory / "timestamp.json").read_bytes() == published


def test_root_is_rotated_by_its_own_keys_alone(repository: Repository, keys: Keys) -> None:
    for signers in (keys.targets, keys.online, [key()]):
        with pytest.raises(ConfigurationError, match="old root keys"):
            repository.rotate("root", [key()], 1, root_signers=signers, now=NOW)
    assert repository.root().signed.version == 1


@pytest.mark.parametrize("threshold", [0, 2, -1])
def test_threshold_that_cannot_be_is_refused(
    repository: Repository, keys: Keys, tmp_path: Path, threshold: int
) -> None:
    with pytest.raises(ConfigurationError, match="threshold"):
        repository.rotate("root", [key()], threshold, root_signers=keys.root, now=NOW)
    with pytest.raises(ConfigurationError, match="threshold"):
        created(tmp_path / "other", keys, threshold=threshold)


def test_repository_is_not_made_over_another(repository: Repository, keys: Keys) -> None:
    with pytest.raises(ConfigurationError, match="has a TUF repository already"):
        created(repository.directory, keys)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("timestamp.json", b"{}", "is no TUF metadata"),
        ("timestamp.json", b"", "is no TUF metadata"),
        ("timestamp.json", None, "cannot be read"),
        ("1.root.json", None, "has no TUF repository"),
    ],
)
def test_damaged_file_is_named(repository: Repository, name: str, content: bytes | None, said: str) -> None:
    path = repository.directory / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        repository.expiries()


def test_metadata_of_another_role_is_named(repository: Repository) -> None:
    shutil.copy(repository.directory / "1.root.json", repository.directory / "timestamp.json")
    with pytest.raises(ConfigurationError, match="expected timestamp"):
        repository.expiries()
