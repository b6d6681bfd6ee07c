"""`dayfly login`: who a provider says one is; and the token for `dayfly request --login`."""

from __future__ import annotations

import json
import os
import sys
import time
import webbrowser
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ca.cli.endings import printable
from ca.cli.signing_config import issuer_of
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.main import clock
from ca.telemetry import LogSettings, configure_logging

try:
    from ca.login.browser import by_browser
    from ca.login.client import Client, Registration
    from ca.login.connection import Connection
    from ca.login.device import by_device
    from ca.login.id_token import Expected, verify
    from ca.login.provider import find_provider
except ImportError as missing:
    raise ConfigurationError("logging in needs more packages: pip install 'dayfly[login]'") from missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.cli.client import LoginOptions
    from ca.identity.model import Claims
    from ca.login.device import Device
    from ca.login.id_token import IDToken

_PATIENCE: Final = 300.0
"""Seconds for a person to log in with a browser."""
_TIMES: Final = ("iat", "nbf", "exp", "auth_time")


def login(options: LoginOptions, *, token_only: bool) -> None:
    """Print who logged in, or their token alone, without a newline. Raises ConfigurationError or IssuerUnavailable."""
    id_token = log_in(options)
    if token_only:
        sys.stdout.write(id_token.token)
    else:
        Console(soft_wrap=True).print(_table(id_token.claims))


def log_in(options: LoginOptions) -> IDToken:
    """Let a person log in. Raises ConfigurationError or IssuerUnavailable."""
    # What is said of a provider's odd keys must not stand between the token and its pipe.
    configure_logging(LogSettings(format="console", level="warning"))
    issuer = issuer_of(options.url or "", clock()) if options.issuer is None else options.issuer
    registration = Registration(options.client_id, _secret(options.client_secret_file), options.scope)
    people = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with Connection(issuer) as connection:
        provider = find_provider(connection, issuer)
        client = Client(connection, provider, registration)
        if options.device:
            granted = by_device(client, partial(_show, people), time.sleep)
        else:
            granted = by_browser(client, partial(_browse, people, options.no_browser), _PATIENCE)
        expected = Expected(issuer, options.client_id, options.audience or options.client_id)
        return verify(granted, expected, provider.keys(connection), clock())


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = file_bytes(path).decode().rstrip("\r\n")
    except UnicodeDecodeError as problem:
        raise ConfigurationError(f"--client-secret-file: {path} is not UTF-8") from problem
    if not secret:
        raise ConfigurationError(f"--client-secret-file: {path} is empty; a public client needs no such file")
    return secret


def _browse(people: Console, no_browser: bool, url: str) -> None:  # noqa: FBT001 - what `partial` fills in
    if no_browser:
        people.print(f"Open this URL in a browser on this machine:\n\n{url}\n")
        return
    people.print(f"Log in with the browser that opens now. If none does, open this URL on this machine:\n\n{url}\n")
    with _no_standard_output():
        webbrowser.open(url)


@contextmanager
def _no_standard_output() -> Iterator[None]:
    """A browser that inherits a pipe writes into it, and keeps its reader waiting until it is closed."""
    own, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(own, 1)
        os.close(own)
        os.close(nowhere)


def _show(people: Console, device: Device) -> None:
    code, minutes = printable(device.user_code), max(device.expires_in // 60, 1)
    people.print(f"Open {device.verification_uri} on any device and enter the code {code}, within {minutes} minutes.")
    if device.complete_uri:
        people.print(f"The code is there already at {device.complete_uri}")


def _table(claims: Claims) -> Table:
    table = Table(title="Identity token", show_header=False, title_justify="left")
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in claims.items():
        table.add_row(Text(printable(name)), Text(printable(_shown(name, value))))
    return table


def _shown(name: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Those that a token is verified by are within bounds; others may be anything.
    if name in _TIMES and isinstance(value, int) and 0 <= value < 1 << 32:
        return f"{text}  ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return text
