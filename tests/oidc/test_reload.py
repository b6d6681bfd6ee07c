"""The identity configuration in its file, on a real file system: written, renamed, swapped and broken."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ca.documents import follow
from ca.errors import ConfigurationError, IssuerDisabled, IssuerNotTrusted
from ca.oidc.reload import ReloadingIssuers

pytestmark = pytest.mark.anyio

ADA, BOB = "https://ada.example", "https://bob.example"


def entry(url: str = ADA, **members: object) -> str:
    fields = {"issuer-url": url, "client-id": "sigstore", "type": "email"}
    fields |= {name.replace("_", "-"): value for name, value in members.items()}
    return f"  {url}:\n" + "".join(f"    {name}: {value}\n" for name, value in fields.items())


def config(*entries: str) -> str:
    return "oidc-issuers:\n" + "".join(entries)


@pytest.fixture
def logs():
    with capture_logs() as records:
        yield records


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "identity.yaml"
    path.write_text(config(entry()))
    return path


@asynccontextmanager
async def following(path: Path):
    issuers = ReloadingIssuers(path)
    task = asyncio.create_task(issuers.run())
    await asyncio.sleep(0.3)  # for the watch to be there
    try:
        yield issuers
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def urls(issuers: ReloadingIssuers) -> list[str]:
    return [issuer.url for issuer in issuers.registry.issuers]


async def test_a_file_written_in_place_is_taken(file: Path) -> None:
    async with following(file) as issuers:
        file.write_text(config(entry(), entry(BOB)))
        await until(lambda: urls(issuers) == [ADA, BOB])


async def test_a_file_renamed_over_the_old_one_is_taken(file: Path) -> None:
    async with following(file) as issuers:
        new = file.with_suffix(".new")
        new.write_text(config(entry(BOB)))
        new.replace(file)
        await until(lambda: urls(issuers) == [BOB])


async def test_a_kubernetes_swap_is_taken(tmp_path: Path) -> None:
    for name, text in {"..1": config(entry()), "..2": config(entry(BOB))}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "identity.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "identity.yaml").symlink_to("..data/identity.yaml")
    async with following(tmp_path / "identity.yaml") as issuers:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        await until(lambda: urls(issuers) == [BOB])


async def test_look_has_the_file_read_where_nothing_is_told_of_changes(tmp_path: Path, file: Path) -> None:
    link = tmp_path / "links" / "identity.yaml"
    link.parent.mkdir()
    link.symlink_to(file)  # another directory is watched than the one that changes
    async with following(link) as issuers:
        for entries in ([entry(BOB)], [entry()], [entry(BOB)]):
            file.write_text(config(*entries))
            issuers.look()
            expected = [ADA] if entries == [entry()] else [BOB]
            async with asyncio.timeout(3):
                await until(lambda expected=expected: urls(issuers) == expected)


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "oidc-issuers: [",
        "oidc-issuers: {}",
        config(entry(), entry()),
        config(entry(colour="red")),
        config(entry(type="nonsense")),
        config(entry(), entry("ftp://bob.example")),
        None,
    ],
    ids=["empty", "syntax", "nobody", "twice", "unknown key", "type", "one bad of two", "gone"],
)
async def test_a_broken_file_keeps_the_last_good_one_whole_and_mends(file: Path, spoilt: str | None) -> None:
    async with following(file) as issuers:
        before = issuers.registry
        if spoilt is None:
            file.unlink()
        else:
            file.write_text(spoilt)
        await until(lambda: issuers.last_reload_error)
        assert str(file) in issuers.last_reload_error
        assert issuers.registry is before

        file.write_text(config(entry(BOB)))
        await until(lambda: issuers.last_reload_error is None)
        assert urls(issuers) == [BOB]


async def test_a_broken_file_stops_the_start(file: Path) -> None:
    file.write_text("oidc-issuers: {}")
    with pytest.raises(ConfigurationError, match="trusts no issuer"):
        ReloadingIssuers(file)
    file.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ReloadingIssuers(file)


async def test_whoever_has_taken_a_registry_keeps_it(file: Path) -> None:
    issuers = ReloadingIssuers(file)
    held = issuers.registry
    file.write_text(config(entry(enabled="false")))
    await issuers.reload()
    assert held.find(ADA).enabled
    with pytest.raises(IssuerDisabled):
        issuers.registry.find(ADA)


async def test_subscribers_are_handed_what_comes_into_use_and_nothing_broken(file: Path) -> None:
    issuers, handed = ReloadingIssuers(file), []
    issuers.subscribe(handed.append)
    file.write_text("oidc-issuers: {}")
    await issuers.reload()
    assert handed == []
    file.write_text(config(entry(BOB)))
    await issuers.reload()
    assert handed == [issuers.registry]
    with pytest.raises(IssuerNotTrusted):
        handed[0].find(ADA)


async def test_a_file_that_did_not_change_is_not_loaded_again(file: Path, logs) -> None:
    issuers = ReloadingIssuers(file)
    before = issuers.registry
    file.touch()
    await issuers.reload()
    assert issuers.registry is before
    assert logs == []


async def test_the_record_of_a_reload_says_what_changed_and_no_values(file: Path, logs) -> None:
    file.write_text(config(entry(), entry(BOB), entry("https://eve.example")))
    issuers = ReloadingIssuers(file)
    changed = entry(
        BOB,
        client_id="secret-audience",
        skip_email_verification="true",
        enabled="false",
        network="private",
        sole_audience="true",
    )
    file.write_text(config(changed, entry("https://eve.example"), entry("https://new.example")))
    await issuers.reload()
    (record,) = logs
    assert record == {
        "event": "identity configuration loaded",
        "log_level": "info",
        "added": ("https://new.example",),
        "removed": (ADA,),
        "changed": {
            BOB: (
                "switched off",
                "verification skipped",
                "sole audience",
                "scope",
                "key hosts",
                "audience",
                "skip email verification",
            ),
        },
    }
    assert "secret" not in str(record)


async def test_the_record_names_another_type_and_another_template(file: Path, logs) -> None:
    def ci(template: str) -> str:
        return f"ci-issuer-metadata:\n  own:\n    subject-alternative-name-template: {template}\n"

    own = entry(BOB, type="ci-provider", ci_provider="own")
    file.write_text(config(entry(), own) + ci("https://ci.example/{{.a}}"))
    issuers = ReloadingIssuers(file)
    file.write_text(config(entry(type="kubernetes"), own) + ci("https://ci.example/{{.b}}"))
    await issuers.reload()
    assert logs[0]["changed"] == {ADA: ("type",), BOB: ("subject alternative name",)}


async def test_the_same_trouble_is_said_once(file: Path, logs) -> None:
    issuers = ReloadingIssuers(file)
    file.write_text("oidc-issuers: {}")
    for _ in range(3):
        await issuers.reload()
    assert len(logs) == 1
    file.unlink()
    for _ in range(3):
        await issuers.reload()
    assert len(logs) == 2


async def test_a_change_that_no_file_system_tells_of_is_seen_within_a_second(tmp_path: Path):
    assert follow.LOOK_AGAIN + follow.DEBOUNCE < 1
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/identity.yaml").write_text(config(entry()))
    (tmp_path / "identity.yaml").symlink_to(tmp_path / "elsewhere/identity.yaml")
    async with following(tmp_path / "identity.yaml") as issuers:
        (tmp_path / "elsewhere/identity.yaml").write_text(config(entry(enabled="false")))
        await until(lambda: not issuers.registry.issuers[0].enabled)
