"""The one way to a provider: bounded requests, over TLS, without it to this machine alone."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from ca.errors import ConfigurationError, IssuerUnavailable
from ca.oidc.loopback import is_loopback

if TYPE_CHECKING:
    from types import TracebackType

_TIMEOUT: Final = 10.0
"""Seconds for each step of a request."""
_MAX_BYTES: Final = 512 << 10


class Connection:
    """Requests to the provider of one issuer, and what authlib takes for its session.

    The system's roots are trusted, or those of SSL_CERT_FILE. Proxies of the environment are used, but not for an
    issuer on this machine, whose requests are in the clear. No redirect is followed: nobody has vouched for its target.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._http = httpx.Client(
            timeout=_TIMEOUT,
            verify=ssl.create_default_context(),
            trust_env=not is_loopback(issuer),
            headers={"User-Agent": "dayfly", "Accept": "application/json"},
        )

    def get(self, url: str) -> bytes:
        """What is at `url`. Raises ConfigurationError or IssuerUnavailable."""
        answer = self._send("GET", url)
        if answer.status_code != 200:
            raise ConfigurationError(f"{url} answers {answer.status_code} instead of 200; is the issuer's URL right?")
        return answer.content

    def post(self, url: str, *, data: dict[str, str], headers: dict[str, str], auth: Any) -> httpx.Response:
        """A form, with which `auth` of authlib says who sends it. Raises ConfigurationError or IssuerUnavailable."""
        body = str(httpx.QueryParams(data))
        url, headers, body = auth.prepare("POST", url, dict(headers), body)
        return self._send("POST", url, headers=headers, content=body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            with self._http.stream(method, url, **request) as answer:
                content = bytearray()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > _MAX_BYTES:
                        raise ConfigurationError(f"{url} answers with more than {_MAX_BYTES >> 10} KiB")
                return httpx.Response(answer.status_code, content=bytes(content), request=answer.request)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as problem:
            raise ConfigurationError(f"{url} is not a URL that can be asked") from problem
        except httpx.HTTPError as problem:
            why = str(problem) or type(problem).__name__
            raise IssuerUnavailable(f"{url} does not answer: {why}", issuer=self._issuer) from problem
