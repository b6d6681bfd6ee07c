"""The development issuer as the provider, truthful or not, and a person whose browser is a plain HTTP client."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ca.dev.tokens import IssuerKey
from tests.dev.conftest import RunningIssuer, browser, issuer, issuer_key, site  # noqa: F401 - fixtures
from tests.dev.person import submit
from tests.dev.server import Replaceable
from tests.oidc.pki import self_signed


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


Change = Callable[[Answer], Answer]


class Altered:
    """An application whose answers at some paths are changed on their way out. It remembers what it was asked."""

    def __init__(self, app: ASGIApp, changes: dict[str, Change]) -> None:
        self.app = app
        self.changes = changes
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer, body = Answer(500, {}, b""), bytearray()
        request = bytearray()

        async def hear() -> Message:
            message = await receive()
            request.extend(message.get("body", b""))
            return message

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, hear, hold)
        answer.body = bytes(body)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["path"], headers, dict(parse_qsl(request.decode(errors="replace")))))
        if change := self.changes.get(scope["path"]):
            answer = change(answer)
        given = {**answer.headers, "content-length": str(len(answer.body))}
        pairs = [(name.encode(), value.encode()) for name, value in given.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": answer.body})


def members(**changed: Any) -> Change:
    """JSON with other members; None leaves one out."""

    def change(answer: Answer) -> Answer:
        content = json.loads(answer.body) | changed
        kept = {name: value for name, value in content.items() if value is not None}
        return replace(answer, body=json.dumps(kept).encode())

    return change


def redirected(**changed: str | None) -> Change:
    """A redirect with other parameters; None leaves one out. Pages are left alone."""

    def change(answer: Answer) -> Answer:
        if "location" not in answer.headers:
            return answer
        target, _, query = answer.headers["location"].partition("?")
        parameters = {name: value for name, value in (dict(parse_qsl(query)) | changed).items() if value is not None}
        return replace(answer, headers={**answer.headers, "location": f"{target}?{urlencode(parameters)}"})

    return change


def claiming(key: RSAKey | IssuerKey, **changed: Any) -> Change:
    """A token answer whose id token has other claims, signed again; None leaves one out."""
    private = key.private if isinstance(key, IssuerKey) else key

    def change(answer: Answer) -> Answer:
        content = json.loads(answer.body)
        if "id_token" not in content:
            return answer
        signed = jws.extract_compact(content["id_token"].encode())
        claims = json.loads(signed.payload) | changed
        kept = {name: value for name, value in claims.items() if value is not None}
        content["id_token"] = jws.serialize_compact(signed.headers(), json.dumps(kept), private, algorithms=["RS256"])
        return replace(answer, body=json.dumps(content).encode())

    return change


def instead(status: int, body: bytes | dict[str, Any], **headers: str) -> Change:
    """Another answer altogether."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: Answer(status, headers, content)


@dataclass
class Provider:
    """The issuer, its answers changed as a test wants."""

    running: RunningIssuer
    server: Replaceable
    key: IssuerKey

    @property
    def url(self) -> str:
        return self.running.url

    def answers(self, changes: dict[str, Change]) -> Altered:
        self.server.app = altered = Altered(self.server.app, changes)
        return altered


@pytest.fixture(scope="module", autouse=True)
def _few_roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The system's take longer to read than a login does."""
    root, _ = self_signed(tmp_path_factory.mktemp("roots"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(root))
        yield


METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def provider(issuer: RunningIssuer, site: tuple[str, Replaceable], issuer_key: IssuerKey) -> Provider:  # noqa: F811
    return Provider(issuer, site[1], issuer_key)


@dataclass
class Person(webbrowser.BaseBrowser):
    """Logs in as soon as the browser opens, in the way that a test wants."""

    email: str = "ada@example.com"
    decision: str = "approve"
    goes: bool = True
    """Whether they follow the redirect back."""
    opened: list[str] = field(default_factory=list)
    last_page: httpx.Response | None = None

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append(url)
        with httpx.Client(trust_env=False, timeout=10, verify=False) as client:
            page = client.get(url)
            answer = page if page.is_redirect else submit(client, page, email=self.email, decision=self.decision)
            if answer.is_redirect and self.goes:
                self.last_page = client.get(answer.headers["location"])
            return True


class Anybody(webbrowser.BaseBrowser):
    """What is registered as the browser, once; a test puts its own person in."""

    person: Person

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        return self.person.open(url)


@pytest.fixture(scope="session")
def anybody() -> Anybody:
    anybody = Anybody()
    webbrowser.register("anybody", None, anybody, preferred=True)
    return anybody


@pytest.fixture
def person(anybody: Anybody) -> Iterator[Person]:
    anybody.person = Person()
    yield anybody.person
    anybody.person = Person(goes=False)


def asked_for(person: Person) -> dict[str, str]:
    """The parameters of the authorization request."""
    return dict(parse_qsl(urlsplit(person.opened[0]).query))
