"""`dayfly ca prepare`, `activate`, `retire` and `show`, run as people run them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.api.test_rotation import pass_time
from tests.dev.server import listener, serving
from tests.keys.pems import private_pem
from tests.keys.rotations import pair, root
from tests.process import command

NEW = ("--after", "0s")


@dataclass
class Own:
    """A CA with a configuration."""

    directory: Path

    def configure(self, **members: object) -> None:
        files = {"cert": "chain.pem", "key": "intermediate.key.pem"}
        settings = {"identity-config": "identity.yaml", "ca": files, "ct": {"log": "none"}, **members}
        (self.directory / "ca.yaml").write_text(yaml.safe_dump(settings))

    def ca(self, *words: str | Path):
        return command("ca", words[0], "-c", self.directory / "ca.yaml", *words[1:])

    def prepare(self, *words: str | Path):
        own = self.directory
        return self.ca(
            "prepare", "--root-key", own / "root.key.pem", "--root-password-file", own / "root.password", *words
        )

    def states(self) -> dict[str, str]:
        """Issuing certificates by state."""
        shown = self.ca("show", "--json")
        assert shown.exit_code == 0, shown.stderr
        return {chain["state"]: chain["certificate"] for chain in json.loads(shown.stdout)["chains"]}

    @property
    def chain(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates((self.directory / "chain.pem").read_bytes())


@pytest.fixture
def own(tmp_path: Path) -> Own:
    own = Own(tmp_path / "own")
    write_ca(own.directory, "example.org", "lab", clock())
    own.configure()
    return own


def refused(result, says: str) -> None:
    assert result.exit_code == 78
    assert says in result.stderr
    assert "PRIVATE" not in result.output + result.stderr


# ---- prepare --------------------------------------------------------------------------------------------------


def test_a_pair_is_made_under_the_root_with_the_date_in_its_name(own: Own) -> None:
    prepared = own.prepare()
    assert prepared.exit_code == 0, prepared.stderr
    assert own.states() == {
        "active": "CN=lab-intermediate,O=example.org",
        "next": f"CN=lab-issuing-{clock():%Y-%m-%d},O=example.org",
    }
    issuing, above = x509.load_pem_x509_certificates((own.directory / "rotation/next/chain.pem").read_bytes())
    issuing.verify_directly_issued_by(above)
    assert above == own.chain[1]
    assert (own.directory / "rotation/next/key.pem").stat().st_mode & 0o777 == 0o600


def test_a_pair_may_have_a_name(own: Own) -> None:
    assert own.prepare("--common-name", "the next").exit_code == 0
    assert own.states()["next"] == "CN=the next,O=example.org"


def test_a_new_root_is_made_and_its_key_is_encrypted(own: Own, tmp_path: Path) -> None:
    made = own.ca("prepare", "--new-root", "--out", tmp_path / "offline")
    assert made.exit_code == 0, made.stderr
    assert "offline" in made.stdout
    new = x509.load_pem_x509_certificate((tmp_path / "offline/root.crt.pem").read_bytes())
    assert new.subject.rfc4514_string() == f"CN=lab-{clock():%Y-%m-%d},O=example.org"
    assert b"ENCRYPTED" in (tmp_path / "offline/root.key.pem").read_bytes()
    assert own.ca("activate", *NEW).exit_code == 0
    assert own.chain[1] == new


def test_a_pair_made_elsewhere_is_taken(own: Own, tmp_path: Path) -> None:
    elsewhere = pair(root("elsewhere"), "made elsewhere", clock() - timedelta(hours=1))
    (tmp_path / "chain.pem").write_text("".join(elsewhere.chain.pems))
    (tmp_path / "key.pem").write_bytes(private_pem(elsewhere.key))
    words = ("prepare", "--chain", tmp_path / "chain.pem", "--key", tmp_path / "key.pem")
    refused(own.ca(*words), "is under another root")
    assert own.ca(*words, "--new-root").exit_code == 0
    assert own.states()["next"] == "CN=made elsewhere,O=Dayfly tests"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--chain", "chain.pem"],
        ["--key", "intermediate.key.pem"],
        ["--new-root"],
        ["--out", "somewhere"],
        ["--root-key", "root.key.pem", "--new-root", "--out", "somewhere"],
        ["--root-key", "root.key.pem", "--chain", "chain.pem", "--key", "intermediate.key.pem"],
        ["--chain", "chain.pem", "--key", "intermediate.key.pem", "--out", "somewhere"],
    ],
)
def test_where_the_pair_comes_from_is_said_in_one_way(own: Own, words: list[str]) -> None:
    refused(own.ca("prepare", *words), "where does the next pair come from?")
    assert not (own.directory / "rotation/next").exists()


def test_another_root_s_key_makes_nothing(own: Own, tmp_path: Path) -> None:
    write_ca(tmp_path / "other", "example.org", "lab", clock(), b"password")
    (tmp_path / "password").write_text("password\n")
    other = ("--root-key", tmp_path / "other/root.key.pem", "--root-password-file", tmp_path / "password")
    refused(own.ca("prepare", *other), 'is not the key of the root "CN=lab,O=example.org"')
    assert "next" not in own.states()


def test_the_issuing_key_is_no_root_s(own: Own) -> None:
    key = own.directory / "intermediate.key.pem"
    refused(own.ca("prepare", "--root-key", key), "is not the key of the root")


def test_the_root_s_password_is_needed_and_the_right_one(own: Own, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    key = own.directory / "root.key.pem"
    refused(own.ca("prepare", "--root-key", key), "the key is encrypted")
    refused(own.ca("prepare", "--root-key", key, "--root-password-file", tmp_path / "wrong"), "password is wrong")


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines"])
def test_a_name_that_no_certificate_can_have_is_refused(own: Own, name: str) -> None:
    refused(own.prepare("--common-name", name), "--common-name")
    assert "next" not in own.states()


def test_no_root_is_made_in_vain(own: Own, tmp_path: Path) -> None:
    words = ("prepare", "--new-root", "--out", tmp_path / "new")
    refused(own.ca(*words, "--common-name", ""), "--common-name")
    own.prepare()
    refused(own.ca(*words), "prepared already")
    assert not (tmp_path / "new").exists()
    assert own.ca(*words, "--replace").exit_code == 0


def test_a_root_is_not_overwritten(own: Own) -> None:
    refused(own.ca("prepare", "--new-root", "--out", own.directory), "is not overwritten")


# ---- activate -------------------------------------------------------------------------------------------------


def test_it_is_activated_an_hour_after_it_was_published(own: Own) -> None:
    own.prepare()
    refused(own.ca("activate"), "activate it from")
    state = own.directory / "rotation/next/state.json"
    state.write_text(json.dumps({"published": (clock() - timedelta(minutes=61)).isoformat()}))
    assert own.ca("activate").exit_code == 0
    assert set(own.states()) == {"active", "former"}


def test_it_is_activated_at_once_where_that_is_said(own: Own) -> None:
    own.prepare()
    assert own.ca("activate", "--now").exit_code == 0
    assert set(own.states()) == {"active", "former"}


@pytest.mark.parametrize("time", ["", "1", "h", "-1h", "1w", "1h30m", "9999999h"])
def test_a_time_that_is_none_is_refused(own: Own, time: str) -> None:
    own.prepare()
    refused(own.ca("activate", "--after", time), "--after")


@dataclass
class Roots:
    """A log that says which roots it accepts."""

    answer: Response = field(default_factory=lambda: JSONResponse({"certificates": []}))

    async def get_roots(self, _request: Request) -> Response:
        return self.answer

    def accept(self, certificates: list[x509.Certificate]) -> None:
        encoded = [b64encode(certificate.public_bytes(Encoding.DER)).decode() for certificate in certificates]
        self.answer = JSONResponse({"certificates": encoded})


@pytest.fixture
def log(own: Own) -> Iterator[Roots]:
    """The CA's log, elsewhere, which accepts its root."""
    roots, sock = Roots(), listener()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    own.configure(ct={"log": url, "log-key": "ctlog.pub.pem"})
    roots.accept(own.chain[-1:])
    with serving(Starlette(routes=[Route("/ct/v1/get-roots", roots.get_roots)]), sock):
        yield roots


def test_the_same_root_is_accepted_already(own: Own, log: Roots) -> None:
    assert "before `dayfly ca activate`" not in own.prepare().stdout
    assert own.ca("activate", *NEW).exit_code == 0


def test_a_log_that_does_not_accept_the_new_root_holds_it_up(own: Own, log: Roots, tmp_path: Path) -> None:
    prepared = own.ca("prepare", "--new-root", "--out", tmp_path / "new")
    assert "have its root added before `dayfly ca activate`" in prepared.stdout
    refused(own.ca("activate", *NEW), "does not accept the root of")
    refused(own.ca("activate", "--now"), "issuance would stop")
    assert set(own.states()) == {"active", "next"}

    new = x509.load_pem_x509_certificate((tmp_path / "new/root.crt.pem").read_bytes())
    log.accept([new])
    assert own.ca("activate", *NEW).exit_code == 0


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Response(status_code=503), "answered 503 to get-roots"),
        (Response(b"nothing"), "cannot be read"),
        (JSONResponse({"roots": []}), "cannot be read"),
        (JSONResponse({"certificates": ["%"]}), "cannot be read"),
        (Response(b'{"certificates":["' + b"A" * (5 << 20) + b'"]}'), "more than"),
    ],
    ids=["503", "nothing", "another object", "no base64", "too long"],
)
def test_a_log_that_does_not_say_its_roots_holds_it_up(own: Own, log: Roots, answer: Response, says: str) -> None:
    own.prepare()
    log.answer = answer
    refused(own.ca("activate", *NEW), says)


def test_a_log_that_does_not_answer_holds_it_up(own: Own) -> None:
    own.configure(ct={"log": "http://127.0.0.1:9", "log-key": "ctlog.pub.pem"})
    assert "the log does not answer" in own.prepare().stdout
    refused(own.ca("activate", *NEW), "the log does not answer")


def test_an_instance_that_does_not_answer_holds_it_up_unless_it_is_not_asked(own: Own) -> None:
    own.configure(trust={"url": "http://127.0.0.1:9"})
    own.prepare()
    refused(own.ca("activate", *NEW), "is the server running?")
    assert own.ca("activate", "--now").exit_code == 0


def test_a_tuf_repository_without_the_next_chain_holds_it_up(own: Own, tmp_path: Path) -> None:
    tuf = tmp_path / "tuf"
    own.configure(tuf={"directory": str(tuf)})
    (tmp_path / "password").write_text("password")

    def run(name: str, *words: str | Path) -> None:
        done = command("tuf", name, "--dir", tuf, "--password-file", tmp_path / "password", *words)
        assert done.exit_code == 0, done.stderr

    keys = tmp_path / "keys"
    publish = (
        *("publish", "-c", own.directory / "ca.yaml", "--url", "https://ca.example.org"),
        *("--targets-key", keys / "tuf-targets.key.pem", "--online-key", keys / "tuf-online.key.pem"),
    )
    run("init", "--keys", keys)
    run(*publish)
    assert "dayfly tuf publish" in own.prepare().stdout
    refused(own.ca("activate", *NEW), f"{tuf}: its trusted root is without")
    run(*publish)
    assert own.ca("activate", *NEW).exit_code == 0


# ---- retire and show ------------------------------------------------------------------------------------------


def test_a_whole_rotation_is_shown_step_by_step(own: Own) -> None:
    def advice() -> str:
        shown = own.ca("show")
        assert shown.exit_code == 0, shown.stderr
        return str(shown.stdout).partition("Next: ")[2]

    assert advice().startswith("nothing; `dayfly ca prepare` by")
    own.prepare()
    assert advice().startswith("`dayfly ca activate`, once all clients have the next chain")
    own.ca("activate", *NEW)
    assert advice().startswith("`dayfly ca retire`, in 1")
    refused(own.ca("retire"), "may still be valid")
    pass_time(own.directory / "rotation")
    assert advice().strip() == "`dayfly ca retire`"
    retired = own.ca("retire")
    assert retired.exit_code == 0
    assert "its key is deleted" in retired.stdout
    assert set(own.states()) == {"active", "retired"}
    assert advice().startswith("nothing;")


def test_programs_are_shown_seconds(own: Own) -> None:
    own.prepare()
    active, following = json.loads(own.ca("show", "--json").stdout)["chains"]
    three_years = 1095 * 86400
    assert three_years - 60 < active["expiresIn"] <= following["expiresIn"] <= three_years
    assert following["since"].endswith("Z")
    assert active["since"] is None


def test_a_chain_that_ends_soon_is_to_be_rotated(own: Own) -> None:
    under = root("lab", clock() - timedelta(days=3))
    old = pair(under, "old", clock() - timedelta(days=1095 - 30))
    (own.directory / "chain.pem").write_text("".join(old.chain.pems))
    (own.directory / "intermediate.key.pem").write_bytes(private_pem(old.key))
    assert "the active chain expires soon" in own.ca("show").stdout


def test_an_activation_that_was_cut_short_is_shown_and_ended(own: Own) -> None:
    own.prepare()
    (own.directory / "intermediate.key.pem").write_bytes((own.directory / "rotation/next/key.pem").read_bytes())
    assert "cut short" in own.ca("show").stdout
    assert own.ca("activate").exit_code == 0
    assert (own.directory / "chain.pem").read_text().count("BEGIN") == 2


@pytest.mark.parametrize("step", ["activate", "retire"])
def test_there_is_nothing_to_do_without_a_rotation(own: Own, step: str) -> None:
    refused(own.ca(step), "there is no next chain" if step == "activate" else "no chain waits")


def test_trust_show_has_the_chains_with_their_periods(own: Own) -> None:
    words = ("trust", "show", "-c", own.directory / "ca.yaml", "--url", "https://ca.example.org")
    own.prepare("--common-name", "second")
    assert "second" in command(*words).stdout
    own.ca("activate", *NEW)
    pass_time(own.directory / "rotation")
    own.ca("retire")
    (line,) = (line for line in command(*words).stdout.splitlines() if "lab-intermediate" in line)
    assert line.count(f"{clock():%Y-%m-%d}") == 2
