"""A server whose CA is rotated: what it publishes, what it issues, and what its log takes, at every moment."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isnan
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.ct.embedded.directory import LogDirectory
from ca.documents.follow import DEBOUNCE, LOOK_AGAIN
from ca.keys.handover import RETIRE_AFTER
from ca.main import clock
from tests.api.server import CA, body, leaf, p256, running_ca
from tests.faults.replicas import Replicas, workers
from tests.process import command

ORIGIN = "ct.example.org/2026h2"
Trusted = dict[tuple[bytes, ...], dict[str, str]]
"""Periods by chain, of a trusted root."""


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def trusted(client: httpx.Client) -> Trusted:
    document = client.get("/api/v2/trustedRoot").json()
    return {
        tuple(b64decode(certificate["rawBytes"]) for certificate in authority["certChain"]["certificates"]): authority[
            "validFor"
        ]
        for authority in document["certificateAuthorities"]
    }


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def verified(answer: httpx.Response, roots: Trusted) -> str:
    """The issuing certificate's name, if the answer verifies with a trusted root from before it was asked for."""
    assert answer.status_code == 200, answer.text
    reply = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    certificate, *chain = (x509.load_pem_x509_certificate(pem.encode()) for pem in reply)
    period = roots[tuple(each.public_bytes(Encoding.DER) for each in chain)]
    certificate.verify_directly_issued_by(chain[0])
    assert moment(period["start"]) <= certificate.not_valid_before_utc
    assert "end" not in period
    return chain[0].subject.rfc4514_string()


@dataclass
class Clients:
    """They ask on and on."""

    server: Replicas
    client: httpx.Client
    issuers: list[str] = field(default_factory=list)
    """Who has signed, in order."""
    problems: list[str] = field(default_factory=list)

    def ask(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                roots = trusted(self.client)
                request = body(self.server.token(), key=p256())
                answer = self.client.post("/api/v2/signingCert", json=request)
                self.issuers.append(verified(answer, roots))
            except Exception as problem:
                self.problems.append(repr(problem))

    def wait_for(self, count: int = 8) -> set[str]:
        """Who signs the next ones."""
        seen = len(self.issuers)
        until(lambda: len(self.issuers) >= seen + count or self.problems)
        return set(self.issuers[seen:])


@contextmanager
def asking(server: Replicas) -> Iterator[Clients]:
    # Each time on a new connection, which any worker may get.
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=server.urls[0], limits=limits, timeout=20)
    clients, stop = Clients(server, client), threading.Event()
    threads = [threading.Thread(target=clients.ask, args=(stop,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        client.close()


def published_by_all(client: httpx.Client, judge: Callable[[Trusted], bool]) -> None:
    """By every worker: each answer is on a new connection, and whoever was late has looked again by then."""
    until(lambda: judge(trusted(client)))
    time.sleep(2 * (LOOK_AGAIN + DEBOUNCE))
    until(lambda: all(judge(trusted(client)) for _ in range(12)))


def pass_time(directory: Path) -> None:
    """As if the last rotation had been long ago."""
    for path in directory.glob("former/*/state.json"):
        state = json.loads(path.read_text())
        state["replaced"] = (moment(state["replaced"]) - RETIRE_AFTER).isoformat()
        path.write_text(json.dumps(state))


@pytest.mark.timeout(240)
def test_no_request_fails_while_two_workers_rotate_twice_and_retire(tmp_path: Path) -> None:
    """The second time to another root."""
    LogDirectory(tmp_path / "log").create(ORIGIN, clock())
    config, ca = tmp_path / "replica/ca.json", tmp_path / "ca"

    def step(*words: str | Path) -> None:
        done = command("ca", words[0], "-c", config, *words[1:])
        assert done.exit_code == 0, done.stderr

    with workers(tmp_path, {}, ct={"log": "embedded"}, data=str(tmp_path / "log")) as server, asking(server) as clients:
        url = server.urls[0]
        (first,) = clients.wait_for()

        step("prepare", "--root-key", ca / "root.key.pem", "--root-password-file", ca / "root.password")
        published_by_all(clients.client, lambda roots: len(roots) == 2)
        assert clients.wait_for() == {first}
        step("activate", "--after", "0s", "--url", url)
        until(lambda: clients.wait_for() != {first})
        until(lambda: first not in clients.wait_for())

        step("prepare", "--new-root", "--out", tmp_path / "root", "--common-name", "second")
        published_by_all(clients.client, lambda roots: len(roots) == 3)
        step("activate", "--after", "0s", "--url", url)
        until(lambda: clients.wait_for() == {"CN=second,O=Dayfly tests"})

        pass_time(ca / "rotation")
        step("retire")
        published_by_all(clients.client, lambda roots: sum("end" in period for period in roots.values()) == 2)
        clients.wait_for()
        assert len(clients.client.get("/api/v2/trustBundle").json()["chains"]) == 1
        assert len(trusted(clients.client)) == 3
    assert clients.problems == []
    assert len(Counter(clients.issuers)) == 3


# ---- what one server publishes ---------------------------------------------------------------------------------


@contextmanager
def rotating(directory: Path, **ct: str) -> Iterator[tuple[CA, Callable[..., None]]]:
    """A CA, and a step of its rotation, after which all is as the server says."""
    with running_ca(directory, ct=ct or None) as ca:
        config = directory / "ca.yaml"
        files = "cert: ca/chain.pem, key: ca/intermediate.key.pem"
        config.write_text(
            f"identity-config: identity.yaml\nca: {{{files}}}\nct: {{log: {ct.get('log', 'none')}}}\ndata: .\n"
            f"trust: {{url: '{ca.client.base_url}'}}\n"
            "timestamp: {chain: ca/timestamp-chain.pem, key: ca/timestamp.key.pem}\n"
        )

        def step(name: str, *words: str | Path) -> None:
            before = ca.client.get("/api/v2/trustedRoot").json()
            bundle = ca.client.get("/api/v2/trustBundle").json()
            done = command("ca", name, "-c", config, *words)
            assert done.exit_code == 0, done.stderr
            until(
                lambda: (
                    ca.client.get("/api/v2/trustedRoot").json() != before
                    or ca.client.get("/api/v2/trustBundle").json() != bundle
                )
            )

        yield ca, step


def root_key(ca: CA) -> tuple[str | Path, ...]:
    own = ca.directory / "ca"
    return "--root-key", own / "root.key.pem", "--root-password-file", own / "root.password"


def test_bundle_root_cert_and_trusted_root_go_together(tmp_path: Path) -> None:
    with rotating(tmp_path) as (ca, step):
        old = ca.client.get("/api/v1/rootCert").text
        step("prepare", *root_key(ca))
        bundle = ca.client.get("/api/v2/trustBundle").json()["chains"]
        assert len(bundle) == 2
        assert ca.client.get("/api/v1/rootCert").text.startswith(old)
        assert ca.client.get("/api/v1/rootCert").text.count("BEGIN CERTIFICATE") == 4
        step("activate", "--after", "0s")
        assert ca.client.get("/api/v2/trustBundle").json()["chains"] == bundle[::-1]
        pass_time(tmp_path / "ca" / "rotation")
        step("retire")
        assert ca.client.get("/api/v2/trustBundle").json()["chains"] == bundle[1:]
        new, ended = sorted(trusted(ca.client).values(), key=len)
        assert "end" not in new
        assert moment(ended["end"]) - clock() < timedelta(minutes=1)


def test_the_live_instance_is_as_the_command_says_at_every_step(tmp_path: Path) -> None:
    with rotating(tmp_path) as (ca, step):

        def agrees() -> None:
            checked = command("trust", "check", "-c", tmp_path / "ca.yaml")
            assert checked.exit_code == 0, checked.stdout

        agrees()
        step("prepare", *root_key(ca))
        agrees()
        step("activate", "--after", "0s")
        agrees()
        pass_time(tmp_path / "ca" / "rotation")
        step("retire")
        agrees()


def test_certificates_from_before_are_of_the_old_chain_and_those_from_after_of_the_new(tmp_path: Path) -> None:
    with rotating(tmp_path) as (ca, step):
        before = leaf(ca.ask())
        step("prepare", *root_key(ca), "--common-name", "new")
        during = leaf(ca.ask())
        step("activate", "--after", "0s")
        assert before.issuer == during.issuer
        assert leaf(ca.ask()).issuer.rfc4514_string() == "CN=new,O=Dayfly tests"


def test_the_embedded_log_takes_both_roots_while_both_are_published(tmp_path: Path) -> None:
    LogDirectory(tmp_path).create(ORIGIN, clock())
    with rotating(tmp_path, log="embedded") as (ca, step):

        def roots() -> list[str]:
            found: list[str] = ca.client.get("/ctlog/ct/v1/get-roots").json()["certificates"]
            return found

        (first,) = roots()
        step("prepare", "--new-root", "--out", tmp_path / "new")
        assert roots()[:1] == [first]
        assert len(roots()) == 2
        step("activate", "--after", "0s")
        assert first in roots()
        assert leaf(ca.ask())
        pass_time(tmp_path / "ca" / "rotation")
        step("retire")
        assert len(roots()) == 1
        assert first not in roots()


def test_the_next_chain_s_end_shows_in_metrics(tmp_path: Path) -> None:
    with rotating(tmp_path) as (ca, step):
        until(lambda: isnan(ca.figure("next_chain_expiry_seconds")))
        step("prepare", *root_key(ca))
    with running_ca(tmp_path) as ca:
        until(lambda: ca.figure("next_chain_expiry_seconds") > 0)


def test_a_spoilt_file_shows_in_readiness_and_certificates_are_issued(tmp_path: Path) -> None:
    with rotating(tmp_path) as (ca, step):
        step("prepare", *root_key(ca))
        state = tmp_path / "ca/rotation/next/state.json"
        good = state.read_text()
        state.write_text("{")
        until(lambda: ca.client.get("/readyz").json()["checks"]["caKeyFiles"] != "ok")
        assert ca.client.get("/readyz").status_code == 200
        assert leaf(ca.ask())
        state.write_text(good)
        until(lambda: ca.client.get("/readyz").json()["checks"]["caKeyFiles"] == "ok")


def test_a_chain_that_the_instance_does_not_publish_is_not_activated(tmp_path: Path) -> None:
    """Its files are another machine's, say."""
    with rotating(tmp_path) as (ca, _):
        settings = (
            (tmp_path / "ca.yaml").read_text().replace("cert: ca/chain.pem", "cert: ca/chain.pem, rotation: here")
        )
        (tmp_path / "other.yaml").write_text(settings)
        done = command("ca", "prepare", "-c", tmp_path / "other.yaml", *root_key(ca))
        assert done.exit_code == 0, done.stderr
        refused = command("ca", "activate", "-c", tmp_path / "other.yaml", "--after", "0s")
        assert refused.exit_code == 78
        assert "its trusted root is without" in refused.stderr
        assert leaf(ca.ask())
