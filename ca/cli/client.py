"""The commands of somebody who asks a CA or tries a provider: `dayfly login` and `dayfly request`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from ca.cli.endings import REFUSED, errors

client_app = typer.Typer()

CLIENT_ID: Final = "sigstore"
SCOPE: Final = "openid email"


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """How to log in, as it was typed."""

    issuer: str | None = None
    """None for the one that the CA names."""
    client_id: str = CLIENT_ID
    client_secret_file: Path | None = None
    scope: str = SCOPE
    audience: str | None = None
    """None for the client."""
    device: bool = False
    no_browser: bool = False
    url: str | None = None
    """The CA's; needed without `issuer`."""


IssuerOption = Annotated[
    str | None, typer.Option(metavar="URL", help="The provider; by default the one that the CA names.")
]
ClientIdOption = Annotated[str, typer.Option(metavar="ID", help="Our name at the provider.")]
SecretOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Has the client's secret, for a client that is not public.")
]
ScopeOption = Annotated[str, typer.Option(metavar="SCOPES", help="What to ask for, with spaces between.")]
AudienceOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="What the token's `aud` has to contain; by default the client's ID.")
]
DeviceOption = Annotated[bool, typer.Option("--device", help="Log in on another device, with a code to enter there.")]
NoBrowserOption = Annotated[bool, typer.Option("--no-browser", help="Print the URL, and open no browser.")]


@client_app.command()
def login(
    issuer: IssuerOption = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="A CA, whose provider to log in with.")] = None,
    client_id: ClientIdOption = CLIENT_ID,
    client_secret_file: SecretOption = None,
    scope: ScopeOption = SCOPE,
    audience: AudienceOption = None,
    device: DeviceOption = False,
    no_browser: NoBrowserOption = False,
    token: Annotated[
        bool, typer.Option("--token", help="Print the token alone, without a newline, for a pipe.")
    ] = False,
) -> None:
    """Log in with an identity provider, and print what it says of you.

    For people who try their provider: the token is verified as the CA would, and shown with `--token` alone. The
    provider needs a client with the redirect URI `http://127.0.0.1/auth/callback` for any port, or the device flow.
    Ends with 1 if there is no token.
    """
    if (issuer is None) is (url is None):
        raise typer.BadParameter("one of --issuer and --url is needed")
    options = LoginOptions(issuer, client_id, client_secret_file, scope, audience, device, no_browser, url)
    with errors(REFUSED):
        from ca.cli.login import login as run

        run(options, token_only=token)


@client_app.command()
def request(
    url: Annotated[str, typer.Option(metavar="URL", help="The CA, such as `http://127.0.0.1:5555`.")],
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN|-", help="An identity token, or `-` to read it from standard input.")
    ] = None,
    by_login: Annotated[bool, typer.Option("--login", help="Log in for a token, as `dayfly login` does.")] = False,
    csr: Annotated[bool, typer.Option("--csr", help="Send a signing request, as sigstore-python does.")] = False,
    pem: Annotated[bool, typer.Option("--pem", help="Print the chain as PEM instead of a table.")] = False,
    issuer: IssuerOption = None,
    client_id: ClientIdOption = CLIENT_ID,
    client_secret_file: SecretOption = None,
    scope: ScopeOption = SCOPE,
    audience: AudienceOption = None,
    device: DeviceOption = False,
    no_browser: NoBrowserOption = False,
) -> None:
    """Get a certificate for a fresh key, and print what is in it.

    The key is forgotten at the end: this is for people who debug a CA or an identity provider. Who they are is in
    `--token`, or the provider says it after `--login`. Ends with 1 if there is no certificate.
    """
    if (token is None) is not by_login:
        raise typer.BadParameter("one of --token and --login is needed")
    options = LoginOptions(issuer, client_id, client_secret_file, scope, audience, device, no_browser, url)
    if not by_login and options != LoginOptions(url=url):
        raise typer.BadParameter("--issuer, --device and the like go with --login")
    with errors(REFUSED):
        from ca.cli.request import request as run

        if token is None:
            from ca.cli.login import log_in

            token = log_in(options).token
        run(url, sys.stdin.read() if token == "-" else token, csr=csr, pem=pem)
