from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime

import pytest
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from ca.ct.remote import MAX_ANSWER, Patience, RemoteLog
from ca.ct.verify import LogKey
from ca.errors import ConfigurationError, LogRefused, LogUnavailable, SCTInvalid
from tests.ct.logs import HonestLog, Scripted, p256, serve, serve_raw
from tests.ct.pki import NOW, make_ca, precertificate

pytestmark = pytest.mark.anyio

QUICK = Patience(total=1.5, attempt=0.5, backoff=(0.01, 0.02))


@pytest.fixture
def log(ca):
    return HonestLog(ca.root)


@asynccontextmanager
async def client(url: str, log: HonestLog, patience: Patience = QUICK, **tls: str):
    remote = RemoteLog(url, LogKey.of(log.key.public_key()), patience=patience, **tls)
    try:
        yield remote
    finally:
        await remote.aclose()


@asynccontextmanager
async def submitting(app, log: HonestLog, patience: Patience = QUICK):
    async with serve(app) as url, client(url, log, patience) as remote:
        yield remote


async def refusal(app, log: HonestLog, precert, patience: Patience = QUICK):
    """What a submission to `app` raises, and how long it took."""
    clock = asyncio.get_running_loop().time
    async with submitting(app, log, patience) as remote:
        started = clock()
        with pytest.raises((LogUnavailable, LogRefused, SCTInvalid)) as caught:
            await remote.add_pre_chain(precert, NOW)
        return caught.value, clock() - started


# ---- An honest log ----


async def test_honest_log_promises(ca, log):
    async with submitting(log.app, log) as remote:
        sct = await remote.add_pre_chain(precertificate(ca), NOW)
        assert sct.log_id == remote.log_id


async def test_chain_is_sent_from_precertificate_to_root(ca, log):
    from base64 import b64encode

    precert = precertificate(ca)
    async with submitting(log.app, log) as remote:
        await remote.add_pre_chain(precert, NOW)
    assert json.loads(log.bodies[0]) == {
        "chain": [b64encode(der).decode() for der in (precert.der, *ca.ders)],
    }


async def test_many_submissions_share_one_client(ca, log):
    async with submitting(log.app, log) as remote:
        precerts = [precertificate(ca) for _ in range(50)]
        await asyncio.gather(*(remote.add_pre_chain(precert, NOW) for precert in precerts))
    assert len(log.bodies) == 50


async def test_connection_that_the_log_closed_in_between_is_replaced(ca, log):
    async with serve(log.app, timeout_keep_alive=0) as url, client(url, log) as remote:
        for pause in (0.0, 0.05, 0.0):
            await asyncio.sleep(pause)
            await remote.add_pre_chain(precertificate(ca), NOW)


# ---- What may pass is tried again, with the same bytes ----


@pytest.mark.parametrize("status", [408, 429, 499, 500, 502, 503, 504])
async def test_passing_trouble_is_overcome_with_the_same_bytes(ca, log, status):
    scripted = Scripted([Response(status_code=status), Response(status_code=status), log])
    async with submitting(scripted.app, log) as remote:
        await remote.add_pre_chain(precertificate(ca), NOW)
    assert len(scripted.bodies) == 3
    assert len(set(scripted.bodies)) == 1


@pytest.mark.parametrize("status", [408, 429, 499, 500, 503])
async def test_lasting_trouble_ends_after_three_attempts(ca, log, status):
    scripted = Scripted([Response(status_code=status)])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, LogUnavailable)
    assert problem.public_message == f"Error entering certificate in CTL: the log answered {status}"
    assert problem.retry_after == 5
    assert len(scripted.bodies) == 3
    assert len(set(scripted.bodies)) == 1


async def test_log_s_own_words_stay_in_the_cause(ca, log):
    scripted = Scripted([PlainTextResponse("internal: 10.0.0.7 is down", 503)])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert "10.0.0.7" not in problem.public_message
    assert "10.0.0.7" in str(problem.__cause__)


# ---- Retry-After ----


async def test_retry_after_that_fits_is_honoured(ca, log):
    scripted = Scripted([Response(status_code=429, headers={"Retry-After": "1"}), log])
    async with submitting(scripted.app, log) as remote:
        await remote.add_pre_chain(precertificate(ca), NOW)
    first, second = scripted.times
    assert 1.0 <= second - first < 1.4


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_that_does_not_fit_is_passed_on_at_once(ca, log, status):
    scripted = Scripted([Response(status_code=status, headers={"Retry-After": "30"})])
    problem, seconds = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, LogUnavailable)
    assert problem.retry_after == 30
    assert len(scripted.bodies) == 1
    assert seconds < 0.5


async def test_retry_after_as_a_date_counts_from_now(ca, log):
    date = format_datetime(NOW + timedelta(seconds=77), usegmt=True)
    scripted = Scripted([Response(status_code=503, headers={"Retry-After": date})])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert problem.retry_after == 77


@pytest.mark.parametrize(
    ("header", "passed_on"),
    [("0", 5), ("-5", 5), ("soon", 5), ("1e3", 5), ("", 5), ("9" * 9, 300), ("9" * 5000, 5), ("301", 300)],
)
async def test_senseless_retry_after_is_bounded(ca, log, header, passed_on):
    scripted = Scripted([Response(status_code=503, headers={"Retry-After": header})])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, LogUnavailable)
    assert problem.retry_after == passed_on


# ---- What will not pass is not tried again ----


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422])
async def test_refusal_is_not_retried(ca, log, status):
    scripted = Scripted([PlainTextResponse("no", status)])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, LogRefused)
    assert f"the log answered {status}" in problem.detail
    assert problem.retry_after is None
    assert len(scripted.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(ca, log, status):
    async with serve(log.app) as elsewhere:
        redirect = RedirectResponse(f"{elsewhere}/ct/v1/add-pre-chain", status)
        scripted = Scripted([redirect])
        problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, LogRefused)
    assert "redirect" in problem.detail
    assert (len(scripted.bodies), len(log.bodies)) == (1, 0)


async def test_ca_that_is_not_in_the_log_s_roots_is_refused(log):
    problem, _ = await refusal(log.app, log, precertificate(make_ca()))
    assert isinstance(problem, LogRefused)
    assert "root" in problem.detail
    assert len(log.bodies) == 1


async def test_refusal_counts_even_if_its_body_never_ends(ca, log):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(5)

    async with serve_raw(refuse) as url, client(url, log) as remote:
        with pytest.raises(LogRefused):
            await remote.add_pre_chain(precertificate(ca), NOW)


# ---- A log that lies ----


async def test_sct_by_another_key_is_refused(ca, log):
    problem, _ = await refusal(HonestLog(ca.root).app, log, precertificate(ca))
    assert isinstance(problem, SCTInvalid)
    assert "the SCT is of log" in problem.detail


def lying(log: HonestLog, ca, **changes: object) -> Scripted:
    precert = precertificate(ca)
    return Scripted([JSONResponse(log.answer([precert.der, *precert.chain]) | changes)])


async def test_sct_over_another_precertificate_is_refused(ca, log):
    scripted = lying(log, ca)
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, SCTInvalid)
    assert "not the log's over this precertificate" in problem.detail
    assert len(scripted.bodies) == 1


@pytest.mark.parametrize(
    "skew", [timedelta(minutes=-10, seconds=-1), timedelta(seconds=61), timedelta(days=-9), timedelta(days=9)]
)
async def test_sct_of_another_time_is_refused(ca, skew):
    log = HonestLog(ca.root, skew=skew)
    problem, _ = await refusal(log.app, log, precertificate(ca))
    assert isinstance(problem, SCTInvalid)
    assert "our clock" in problem.detail
    assert len(log.bodies) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sct_version": 1},
        {"id": "AAAA"},
        {"id": None},
        {"timestamp": "now"},
        {"timestamp": -1},
        {"signature": ""},
        {"signature": "BAMAAA=="},
        {"extensions": "????"},
    ],
    ids=repr,
)
async def test_sct_of_another_shape_is_refused(ca, log, changes):
    problem, _ = await refusal(lying(log, ca, **changes).app, log, precertificate(ca))
    assert isinstance(problem, SCTInvalid)


@pytest.mark.parametrize(
    "answer",
    [
        HTMLResponse("<html>Welcome"),
        Response(b""),
        Response(b"\x00\xff\xfe"),
        JSONResponse([]),
        JSONResponse({"error_message": "sorry"}),
        Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
        Response(b" " * (MAX_ANSWER + 1)),
        Response(status_code=204),
        JSONResponse({}, 201),
    ],
    ids=["html", "empty", "binary", "list", "object", "gzip", "too long", "204", "201"],
)
async def test_answer_that_is_no_sct_is_refused_at_once(ca, log, answer):
    scripted = Scripted([answer])
    problem, _ = await refusal(scripted.app, log, precertificate(ca))
    assert isinstance(problem, SCTInvalid)
    assert len(scripted.bodies) == 1


async def test_endless_answer_is_cut_off(ca, log):
    async def flood(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with serve_raw(flood) as url, client(url, log) as remote:
        with pytest.raises(SCTInvalid, match="longer than"):
            await remote.add_pre_chain(precertificate(ca), NOW)


# ---- A log that is dead ----


async def unanswered(url: str, log: HonestLog, precert, patience: Patience = QUICK) -> tuple[LogUnavailable, float]:
    clock = asyncio.get_running_loop().time
    async with client(url, log, patience) as remote:
        started = clock()
        with pytest.raises(LogUnavailable) as caught:
            await remote.add_pre_chain(precert, NOW)
        return caught.value, clock() - started


async def test_refused_connection_is_unavailable_and_quick(ca, log):
    async with serve_raw(None) as url:
        pass
    problem, seconds = await unanswered(url, log, precertificate(ca))
    assert problem.detail == "the log cannot be reached"
    assert problem.retry_after == 5
    assert seconds < 0.5


async def test_silent_log_costs_no_more_than_the_budget(ca, log):
    attempts = []

    async def silent(reader, writer):
        attempts.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(10)

    async with serve_raw(silent) as url:
        problem, seconds = await unanswered(url, log, precertificate(ca), Patience(1.0, 0.6, backoff=(0.1, 0.1)))
    assert problem.detail == "the log did not answer in time"
    assert 0.9 < seconds < 1.3
    assert len(attempts) == 2


async def test_dripping_answer_costs_no_more_than_the_budget(ca, log):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serve_raw(drip) as url:
        problem, seconds = await unanswered(url, log, precertificate(ca), Patience(0.8, 0.5, backoff=(0.1, 0.1)))
    assert problem.detail == "the log did not answer in time"
    assert seconds < 1.1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99999,
    ],
    ids=["nothing", "half an answer", "another protocol", "endless header"],
)
async def test_broken_exchange_is_unavailable_after_three_attempts(ca, log, said):
    attempts = []

    async def close_early(reader, writer):
        headers = await reader.readuntil(b"\r\n\r\n")
        length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        attempts.append(await reader.readexactly(length))
        writer.write(said)
        await writer.drain()

    async with serve_raw(close_early) as url:
        problem, _ = await unanswered(url, log, precertificate(ca))
    assert problem.detail == "the log cannot be reached"
    assert len(attempts) == 3
    assert len(set(attempts)) == 1


async def test_cancelled_submission_leaves_a_working_client(ca, log):
    asked = asyncio.Event()

    async def silent(reader, writer):
        asked.set()
        await asyncio.sleep(10)

    async with serve_raw(silent) as url, client(url, log) as remote:
        task = asyncio.create_task(remote.add_pre_chain(precertificate(ca), NOW))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not remote._http._transport.client.connector._acquired


# ---- Readiness ----


async def test_check_passes_with_an_answering_log(log):
    async with submitting(log.app, log) as remote:
        await remote.check(NOW)


@pytest.mark.parametrize("status", [302, 404, 500, 503])
async def test_check_fails_with_a_log_that_does_not_name_its_roots(log, status):
    async with submitting(Scripted([Response(status_code=status)]).app, log) as remote:
        with pytest.raises(LogUnavailable, match=f"answered {status} to get-roots"):
            await remote.check(NOW)


async def test_check_fails_with_a_dead_log(log):
    async with serve_raw(None) as url:
        pass
    async with client(url, log) as remote:
        with pytest.raises(LogUnavailable, match="does not answer"):
            await remote.check(NOW)


async def test_check_fails_with_a_silent_log_within_seconds(log):
    async def silent(reader, writer):
        await asyncio.sleep(10)

    async with serve_raw(silent) as url, client(url, log) as remote:
        async with asyncio.timeout(3):
            with pytest.raises(LogUnavailable, match="does not answer"):
                await remote.check(NOW)


# ---- TLS and settings ----


@pytest.fixture
def loopback_tls(tmp_path):
    """A self-signed certificate for 127.0.0.1."""
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = p256()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "log")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(1), NOW + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"ssl_certfile": str(tmp_path / "cert.pem"), "ssl_keyfile": str(tmp_path / "key.pem")}


async def test_log_with_a_private_tls_root_is_reached(ca, log, loopback_tls):
    from pathlib import Path

    roots = Path(loopback_tls["ssl_certfile"]).read_text()
    async with serve(log.app, **loopback_tls) as url, client(url, log, tls_ca=roots) as remote:
        await remote.add_pre_chain(precertificate(ca), NOW)


async def test_log_with_an_unknown_tls_root_is_unavailable(ca, log, loopback_tls):
    async with serve(log.app, **loopback_tls) as url:
        problem, _ = await unanswered(url, log, precertificate(ca))
    assert problem.detail == "the log cannot be reached"
    assert isinstance(problem.__cause__.__cause__.__cause__, ssl.SSLCertVerificationError)
    assert not log.bodies


async def test_proxy_of_the_environment_is_not_used(ca, log, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with submitting(log.app, log) as remote:
        await remote.add_pre_chain(precertificate(ca), NOW)


@pytest.mark.parametrize(
    "url",
    [
        "ct.example.org",
        "ftp://ct.example.org",
        "https://",
        "https://[::1",
        "https://user@ct.example.org",
        "https://ct.example.org?x=",
    ],
)
def test_url_that_is_no_submission_prefix_is_refused(log, url):
    with pytest.raises(ConfigurationError, match="the log's URL"):
        RemoteLog(url, LogKey.of(log.key.public_key()))


def test_tls_roots_that_are_not_pem_are_refused(log):
    with pytest.raises(ConfigurationError, match="not certificates in PEM"):
        RemoteLog("https://ct.example.org", LogKey.of(log.key.public_key()), tls_ca="roots")
