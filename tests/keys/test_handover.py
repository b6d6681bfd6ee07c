"""From one CA key to the next, on a real file system, and cut short at every step of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

from ca.certificate.chain import Chain
from ca.errors import ConfigurationError
from ca.keys.handover import RETIRE_AFTER, handover
from ca.keys.rotation import identifier
from ca.keys.settings import CASettings
from tests.certificate.pki import ca_builder
from tests.keys.conftest import NOW
from tests.keys.rotations import (
    HOUR,
    LATER,
    MUCH_LATER,
    Pair,
    activate,
    loaded,
    pair,
    prepare,
    retire,
    root,
    spkis,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only renames files

ROOT = root()
OLD, NEW, NEWER = (pair(ROOT, name) for name in ("old", "new", "newer"))
ELSEWHERE = pair(root("another root"), "elsewhere")


@pytest.fixture
def settings(tmp_path: Path) -> CASettings:
    return write(tmp_path, OLD)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


# ---- the way from one to the other --------------------------------------------------------------------------


def test_without_a_rotation_there_is_the_one_chain(settings: CASettings) -> None:
    keys = loaded(settings)
    assert spkis(keys) == [OLD.chain.spki]
    assert keys.retired() == []


def test_a_prepared_chain_is_published_and_does_not_issue(settings: CASettings) -> None:
    prepare(settings, NEW)
    keys = loaded(settings)
    assert keys.current(LATER).chain.ders == OLD.chain.ders
    assert spkis(keys) == [OLD.chain.spki, NEW.chain.spki]


def test_an_activated_chain_issues_and_the_old_one_stays_published(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    keys = loaded(settings)
    assert keys.current(LATER).chain.ders == NEW.chain.ders
    assert spkis(keys) == [NEW.chain.spki, OLD.chain.spki]
    assert keys.retired() == []
    assert settings.cert.read_text() == "".join(NEW.chain.pems)
    assert not (settings.rotation_directory / "next").exists()


def test_a_retired_chain_is_out_of_the_bundle_and_has_an_end(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    assert [chain.ders for chain in retire(settings)] == [OLD.chain.ders]
    keys = loaded(settings)
    assert spkis(keys) == [NEW.chain.spki]
    assert [(ended.chain.ders, ended.end) for ended in keys.retired()] == [(OLD.chain.ders, MUCH_LATER)]


def test_a_retired_chains_key_is_nowhere(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    retire(settings)
    name = identifier(OLD.chain)
    assert files(settings.cert.parent) == {
        "chain.pem",
        "intermediate.key.pem",
        f"rotation/former/{name}/chain.pem",
        f"rotation/former/{name}/state.json",
    }


def test_rotations_may_overlap_and_follow_each_other(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    prepare(settings, NEWER, LATER)
    keys = loaded(settings)
    assert spkis(keys) == [NEW.chain.spki, NEWER.chain.spki, OLD.chain.spki]
    activate(settings, LATER + 2 * HOUR)
    assert spkis(loaded(settings)) == [NEWER.chain.spki, NEW.chain.spki, OLD.chain.spki]
    assert len(retire(settings, LATER + 9 * HOUR)) == 2
    assert spkis(loaded(settings)) == [NEWER.chain.spki]


def test_the_former_pair_can_be_put_back(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    place = settings.rotation_directory / "former" / identifier(OLD.chain)
    old = Pair(
        Chain.parse((place / "chain.pem").read_bytes()), load_pem_private_key((place / "key.pem").read_bytes(), None)
    )
    prepare(settings, old, LATER)
    activate(settings, LATER, timedelta())
    keys = loaded(settings)
    assert spkis(keys) == [OLD.chain.spki, NEW.chain.spki]
    assert [chain.ders for chain in retire(settings)] == [NEW.chain.ders]


def test_the_next_key_has_the_password_and_the_mode_of_the_active_one(tmp_path: Path) -> None:
    settings = write(tmp_path / "locked", OLD, b"secret")
    settings.key.chmod(0o640)
    prepare(settings, NEW)
    key = settings.rotation_directory / "next" / "key.pem"
    assert b"ENCRYPTED" in key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    activate(settings)
    assert loaded(settings).current(LATER).chain.ders == NEW.chain.ders
    assert stat.S_IMODE(settings.key.stat().st_mode) == 0o640


def test_files_behind_symlinks_are_replaced_and_the_symlinks_stay(tmp_path: Path) -> None:
    real = write(tmp_path / "real", OLD)
    links = tmp_path / "links"
    links.mkdir()
    (links / "chain.pem").symlink_to(real.cert)
    (links / "key.pem").symlink_to(real.key)
    settings = CASettings(cert=links / "chain.pem", key=links / "key.pem")
    prepare(settings, NEW)
    activate(settings)
    assert settings.cert.is_symlink()
    assert settings.key.is_symlink()
    assert loaded(real.model_copy(update={"rotation": links / "rotation"})).current(LATER).chain.ders == NEW.chain.ders


def test_a_chain_that_has_expired_is_rotated_as_any_other(tmp_path: Path) -> None:
    settings = write(tmp_path, OLD)
    late = OLD.chain.not_after + timedelta(days=1)
    prepare(settings, pair(ROOT, "late", late), late)
    activate(settings, late, timedelta())
    assert loaded(settings, late).current(late)


def test_another_root_is_taken_where_that_is_meant(settings: CASettings) -> None:
    prepare(settings, ELSEWHERE, new_root=True)
    activate(settings)
    assert spkis(loaded(settings)) == [ELSEWHERE.chain.spki, OLD.chain.spki]


def test_the_rotation_may_be_kept_elsewhere(tmp_path: Path) -> None:
    settings = write(tmp_path / "ca", OLD).model_copy(update={"rotation": tmp_path / "elsewhere"})
    prepare(settings, NEW)
    assert spkis(loaded(settings)) == [OLD.chain.spki, NEW.chain.spki]
    assert files(tmp_path / "ca") == {"chain.pem", "intermediate.key.pem"}


# ---- what is refused, and changes nothing --------------------------------------------------------------------


def refused(settings: CASettings, says: str, step: Callable[[], object]) -> None:
    before = {path: path.read_bytes() for path in settings.cert.parent.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match=says):
        step()
    assert {path: path.read_bytes() for path in settings.cert.parent.rglob("*") if path.is_file()} == before


def not_for_code_signing() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    usages = (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False)
    issuing = ca_builder(key, "tls", "root", extended_key_usage=usages)
    return Pair(Chain.of([issuing.sign(ROOT.private_key, SHA384()), ROOT.certificate]), key)


def signed_by_nobody() -> Pair:
    """A root of the same name signed it."""
    made = pair(root(), "forged")
    return Pair(Chain.of([made.chain.certificates[0], ROOT.certificate]), made.key)


@pytest.mark.parametrize(
    ("following", "says"),
    [
        (Pair(NEW.chain, NEWER.key), "public keys are not equal"),
        (ELSEWHERE, "under another root"),
        (Pair(ELSEWHERE.chain, NEW.key), "public keys are not equal"),
        (OLD, "has the key that issues now"),
        (pair(ROOT, "expired", NOW - timedelta(days=2000)), "has expired"),
        (pair(ROOT, "early", NOW + HOUR), "not yet valid"),
        (Pair(Chain.of(NEW.chain.certificates[:1]), NEW.key), "is no root"),
        (Pair(Chain.of(NEW.chain.certificates[::-1]), NEW.key), "is a root"),
        (signed_by_nobody(), "signature on"),
        (not_for_code_signing(), "code signing"),
        (Pair(NEW.chain, "no key"), "no ECDSA"),
        (
            Pair(Chain.of(root("alone").certificate for _ in "1"), NEW.key) if False else Pair(NEW.chain, "no key"),
            "no ECDSA",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pair_that_could_not_issue_is_not_prepared(settings: CASettings, following: Pair, says: str) -> None:
    refused(settings, says, lambda: prepare(settings, following))


def test_a_prepared_chain_is_not_replaced_by_accident(settings: CASettings) -> None:
    prepare(settings, NEW)
    refused(settings, "prepared already", lambda: prepare(settings, NEWER))
    prepare(settings, NEWER, replace=True)
    assert spkis(loaded(settings)) == [OLD.chain.spki, NEWER.chain.spki]


def test_nothing_is_activated_where_nothing_is_prepared(settings: CASettings) -> None:
    refused(settings, "there is no next chain", lambda: activate(settings))


def test_a_chain_is_not_activated_before_its_time(settings: CASettings) -> None:
    prepare(settings, NEW)
    refused(
        settings,
        "activate it from 2026-11-03T13:30:15Z on",
        lambda: activate(settings, NOW + HOUR - timedelta(seconds=1)),
    )
    activate(settings, NOW + HOUR)


def test_a_clock_that_was_set_back_activates_nothing(settings: CASettings) -> None:
    prepare(settings, NEW)
    refused(settings, "is published since", lambda: activate(settings, NOW - HOUR, timedelta()))


def test_a_chain_that_has_expired_meanwhile_is_not_activated(settings: CASettings) -> None:
    prepare(settings, NEW)
    refused(settings, "has expired", lambda: activate(settings, NEW.chain.not_after + HOUR))


def test_a_key_that_was_exchanged_meanwhile_is_not_activated(settings: CASettings) -> None:
    prepare(settings, NEW)
    key = settings.rotation_directory / "next" / "key.pem"
    key.write_bytes(settings.key.read_bytes())
    refused(settings, "public keys are not equal", lambda: activate(settings))


def test_nothing_is_retired_where_nothing_was_replaced(settings: CASettings) -> None:
    refused(settings, "no chain waits", lambda: retire(settings))
    prepare(settings, NEW)
    refused(settings, "no chain waits", lambda: retire(settings))


def test_a_chain_is_not_retired_while_its_certificates_may_be_valid(settings: CASettings) -> None:
    prepare(settings, NEW)
    activate(settings)
    early = LATER + RETIRE_AFTER - timedelta(seconds=1)
    refused(settings, "may still be valid", lambda: retire(settings, early))
    retire(settings, LATER + RETIRE_AFTER)
    refused(settings, "no chain waits", lambda: retire(settings))


def test_a_pair_that_does_not_fit_is_put_right_first(settings: CASettings) -> None:
    settings.cert.write_text("".join(NEWER.chain.pems))
    refused(settings, "put the pair right first", lambda: prepare(settings, NEW))


def test_the_wrong_password_changes_nothing(tmp_path: Path) -> None:
    settings = write(tmp_path, OLD, b"secret")
    wrong = settings.model_copy(update={"key_password": SecretStr("wrong")})
    refused(wrong, "the password is wrong", lambda: prepare(wrong, NEW))


def test_two_commands_at_once_are_one(settings: CASettings) -> None:
    with handover(settings):
        refused(settings, "another `dayfly ca` is at work", lambda: prepare(settings, NEW))
    prepare(settings, NEW)


def test_a_lock_of_whoever_died_is_none(settings: CASettings) -> None:
    descriptor = os.open(settings.key.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    refused(settings, "another", lambda: prepare(settings, NEW))
    os.close(descriptor)
    prepare(settings, NEW)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = write(tmp_path / "ca", OLD).model_copy(update={"rotation": tmp_path / "file" / "rotation"})
    with pytest.raises(ConfigurationError, match="file"):
        prepare(settings, NEW)
    assert loaded(write(tmp_path / "ca", OLD)).current(LATER)


# ---- cut short ------------------------------------------------------------------------------------------------

CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chown"}


def cut_short(step: Callable[[], None], after: int) -> bool:
    """Run the step in a process that ends, as by SIGKILL, before its `after`-th change; whether it came to that."""
    child = os.fork()
    if child == 0:
        left = after

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in CHANGES and not (event == "open" and not int(arguments[2]) & (os.O_CREAT | os.O_WRONLY)):
                if left == 0:
                    os._exit(9)
                left -= 1

        sys.addaudithook(count)
        with suppress(BaseException):
            step()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 9}
    return code == 9


def everywhere(tmp_path: Path, before: Callable[[CASettings], None], step: Callable[[CASettings], None]):
    """The settings as each cut leaves them."""
    for after in range(100):
        settings = write(tmp_path / str(after), OLD)
        before(settings)
        cut = cut_short(lambda settings=settings: step(settings), after)
        yield settings
        if not cut:
            assert after > 3, "the step was never cut"
            return
    raise AssertionError("the step does not end")


def test_preparing_may_be_cut_short_anywhere(tmp_path: Path) -> None:
    for settings in everywhere(tmp_path, lambda _: None, lambda settings: prepare(settings, NEW)):
        keys = loaded(settings)
        assert keys.current(LATER).chain.ders == OLD.chain.ders
        assert spkis(keys) in ([OLD.chain.spki], [OLD.chain.spki, NEW.chain.spki])
        prepare(settings, NEWER, replace=True)
        assert spkis(loaded(settings)) == [OLD.chain.spki, NEWER.chain.spki]
        assert not [name for name in files(settings.cert.parent) if ".new" in name]


def test_activating_may_be_cut_short_anywhere_and_a_server_that_starts_then_serves_both(tmp_path: Path) -> None:
    seen = set()
    for settings in everywhere(tmp_path, lambda settings: prepare(settings, NEW), activate):
        keys = loaded(settings)
        seen.add(keys.current(LATER).chain.ders)
        assert set(spkis(keys)) == {OLD.chain.spki, NEW.chain.spki}
        if (settings.rotation_directory / "next").exists():
            activate(settings)
        keys = loaded(settings)
        assert keys.current(LATER).chain.ders == NEW.chain.ders
        assert spkis(keys) == [NEW.chain.spki, OLD.chain.spki]
        with handover(settings):
            pass
        place = f"rotation/former/{identifier(OLD.chain)}"
        assert files(settings.cert.parent) == {
            "chain.pem", "intermediate.key.pem", f"{place}/chain.pem", f"{place}/key.pem", f"{place}/state.json",
        }  # fmt: skip
    assert seen == {OLD.chain.ders, NEW.chain.ders}


def test_retiring_may_be_cut_short_anywhere(tmp_path: Path) -> None:
    def before(settings: CASettings) -> None:
        prepare(settings, NEW)
        activate(settings)

    for settings in everywhere(tmp_path, before, retire):
        keys = loaded(settings)
        assert len(keys.chains()) + len(keys.retired()) == 2
        with handover(settings) as steps:
            if steps.waiting():
                steps.retire(MUCH_LATER)
        assert [ended.chain.ders for ended in loaded(settings).retired()] == [OLD.chain.ders]
        assert not (settings.rotation_directory / "former" / identifier(OLD.chain) / "key.pem").exists()


def test_while_an_activation_is_cut_short_nothing_else_is_begun(tmp_path: Path) -> None:
    cut = 0
    for settings in everywhere(tmp_path, lambda settings: prepare(settings, NEW), activate):
        with handover(settings) as steps:
            interrupted = steps.interrupted
        if interrupted:
            cut += 1
            refused(settings, "end that first", lambda settings=settings: prepare(settings, NEWER, replace=True))
            refused(settings, "may still be valid", lambda settings=settings: retire(settings, LATER))
    assert cut


# ---- what a server finds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("chain.pem", None, r"next/chain\.pem: is missing"),
        ("state.json", None, r"next/state\.json: is missing"),
        ("chain.pem", b"nothing", "at least one certificate"),
        ("chain.pem", NEW.chain.pems[0].encode(), "is no root"),
        ("state.json", b"{", "not JSON"),
        ("state.json", b"\xff", "not UTF-8"),
        ("state.json", b"{}", "published"),
        ("state.json", b'{"published": "yesterday"}', "published"),
        ("state.json", b'{"published": "2026-11-03T12:00:00"}', "published"),
        ("state.json", b'{"published": "2026-11-03T12:00:00Z", "more": 1}', "more"),
    ],
)
def test_a_file_that_somebody_spoilt_stops_the_start_and_is_named(
    settings: CASettings, name: str, content: bytes | None, says: str
) -> None:
    prepare(settings, NEW)
    path = settings.rotation_directory / "next" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says):
        loaded(settings)


def test_a_server_that_runs_keeps_what_it_had_when_a_file_is_spoilt(settings: CASettings) -> None:
    prepare(settings, NEW)
    keys = loaded(settings)
    (settings.rotation_directory / "next" / "state.json").write_text("{")
    asyncio.run(keys.reload())
    assert "state.json" in (keys.last_reload_error or "")
    assert spkis(keys) == [OLD.chain.spki, NEW.chain.spki]


def test_a_server_needs_no_key_but_the_one_that_issues(settings: CASettings) -> None:
    prepare(settings, NEW)
    (settings.rotation_directory / "next" / "key.pem").unlink()
    assert spkis(loaded(settings)) == [OLD.chain.spki, NEW.chain.spki]


def test_a_server_that_starts_in_the_midst_of_steps_finds_a_pair_and_both_chains(settings: CASettings) -> None:
    """To and fro, as fast as it goes."""
    prepare(settings, NEW)
    ended, problems = threading.Event(), []

    def rotate() -> None:
        try:
            for following in [OLD, NEW] * 5:
                activate(settings, LATER, timedelta())
                prepare(settings, following, LATER)
        except BaseException as problem:
            problems.append(problem)
        finally:
            ended.set()

    thread = threading.Thread(target=rotate)
    thread.start()
    starts = 0
    while not ended.is_set():
        keys = loaded(settings)
        assert set(spkis(keys)) == {OLD.chain.spki, NEW.chain.spki}
        starts += 1
    thread.join()
    assert not problems
    assert starts > 5
