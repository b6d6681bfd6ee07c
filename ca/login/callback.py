"""Where the browser brings the provider's answer: a listener on loopback for one redirect (RFC 8252 §7.3)."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

_PATH: Final = "/auth/callback"
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dayfly has the answer</title>
</head>
<body>
<main>
<h1>Dayfly has the provider's answer</h1>
<p>You can close this page: the terminal says how the login went.</p>
</main>
</body>
</html>
"""
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Length": str(len(_PAGE)),
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the page's address has the code in it
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


class Callback:
    """Listens from the beginning, so that the port is ours before the provider hears of it.

    Browsers open connections on which nothing comes: each has a thread of its own and holds nothing up.
    """

    def __init__(self) -> None:
        self._queries: SimpleQueue[str] = SimpleQueue()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def wait(self, seconds: float) -> str:
        """The query of the first redirect that comes, unverified. Raises ConfigurationError if none does."""
        try:
            return self._queries.get(timeout=seconds)
        except Empty:
            raise ConfigurationError(
                f"nobody has logged in within {seconds:.0f} seconds; if the provider showed an error, the client may "
                "not be registered with the redirect URI http://127.0.0.1/auth/callback for any port"
            ) from None

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        queries = self._queries

        class Handler(BaseHTTPRequestHandler):
            server_version = "dayfly"
            sys_version = ""
            timeout = 10

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path != _PATH:
                    self.send_error(404)
                    return
                self.send_response(200)
                for name, value in _HEADERS.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(_PAGE)
                # Last, for the process may end as soon as it has it.
                queries.put(query)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                """Nothing is logged: the request line has the code in it."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is no news."""
