"""The command line. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca.cli.authority import ca_app
from ca.cli.client import client_app
from ca.cli.endings import REFUSED, errors
from ca.cli.log import log_app
from ca.cli.trust import trust_app
from ca.cli.tuf import tuf_app

app = typer.Typer(
    name="dayfly",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
config_app = typer.Typer(help="Work on configuration files.", no_args_is_help=True)
app.add_typer(client_app)
app.add_typer(ca_app, name="ca")
app.add_typer(config_app, name="config")
app.add_typer(log_app, name="log")
app.add_typer(trust_app, name="trust")
app.add_typer(tuf_app, name="tuf")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"dayfly {version('dayfly')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A short-lived code-signing certificate authority that speaks Fulcio's wire protocol."""


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The server's configuration file, such as `config/ca.yaml`."),
]
ListenOption = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where to serve the API.")]
WorkersOption = Annotated[int | None, typer.Option(metavar="N", help="Worker processes; one a core is right.")]
IdentityOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The issuers to trust: Fulcio's identity configuration.")
]
CertOption = Annotated[
    Path | None, typer.Option(metavar="CHAIN.pem", help="The issuing certificate first, the root last.")
]
KeyOption = Annotated[Path | None, typer.Option(metavar="KEY.pem", help="The issuing certificate's private key.")]
PasswordOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Password of an encrypted key; or set `DAYFLY_CA_KEY_PASSWORD`."),
]
LogOption = Annotated[
    str | None,
    typer.Option("--ct-log", metavar="URL|none", help="The CT log's submission prefix; `none` switches CT off."),
]
LogKeyOption = Annotated[Path | None, typer.Option("--ct-log-key", metavar="PUB.pem", help="The CT log's public key.")]
DataOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the server keeps its data.")]


@app.command()
def serve(
    config: ConfigOption = None,
    listen: ListenOption = None,
    workers: WorkersOption = None,
    identity_config: IdentityOption = None,
    ca_cert: CertOption = None,
    ca_key: KeyOption = None,
    ca_key_password_file: PasswordOption = None,
    ct_log: LogOption = None,
    ct_log_key: LogKeyOption = None,
    data: DataOption = None,
    grpc_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|none", help="Where to serve gRPC; by default nowhere.")
    ] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|none", help="Where to serve Prometheus metrics.")
    ] = None,
) -> None:
    """Serve the certificate authority.

    Every setting can stand in the configuration file, be a flag here, or an environment variable: `log-key` in the
    section `ct` is `--ct-log-key` and `DAYFLY_CT_LOG_KEY`. Flags win over the environment, that over the file.
    """
    flags = {
        "listen": listen,
        "workers": workers,
        "identity-config": identity_config,
        "ca-cert": ca_cert,
        "ca-key": ca_key,
        "ca-key-password-file": ca_key_password_file,
        "ct-log": ct_log,
        "ct-log-key": ct_log_key,
        "data": data,
        "grpc-listen": grpc_listen,
        "metrics-listen": metrics_listen,
    }
    with errors():
        from ca.config import load_settings
        from ca.main import environment
        from ca.main import serve as run

        run(load_settings(config, flags, environment()))


@app.command()
def dev(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="A loopback address.")] = "127.0.0.1:5555",
    data: Annotated[Path, typer.Option(metavar="DIR", help="Keys and certificates are kept here.")] = Path(".dayfly"),
) -> None:
    """Run a private instance for development: a CA, and an identity provider that believes what you type.

    Everything is made on the first start and found again on the next. It listens on loopback alone.
    """
    with errors():
        from ca.dev.instance import run

        run(listen, data)


@app.command("dev-token")
def dev_token(
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="Who the token says you are.")],
    claim: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT|NAME:=JSON", help="A further claim.")] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The instance's directory.")] = Path(".dayfly"),
) -> None:
    """Print an identity token of the development issuer, without a newline.

    For example: `cosign sign-blob --identity-token "$(dayfly dev-token --email ada@example.com)" …`
    """
    with errors():
        from datetime import UTC, datetime

        from ca.dev.layout import token

        now = datetime.now(UTC)  # noqa: TID251 - a command is an edge
        sys.stdout.write(token(data, email, claim or [], now))


@config_app.command("check")
def config_check(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The server's configuration file.")
    ] = Path("config/ca.yaml"),
    online: Annotated[
        bool, typer.Option("--online", help="Try each issuer as well: discovery, keys, algorithms, clock.")
    ] = False,
    issuer: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="With `--online`: an issuer of a wildcard to try.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With `--online`: print how they did as JSON alone.")] = False,
) -> None:
    """Load everything the server would, and say what is wrong, with file and line.

    Variables such as `DAYFLY_CT_LOG` count, as they do for the server. Ends with 78 if anything is wrong, and with 1 if
    all is right but an issuer does not do.
    """
    if (issuer or as_json) and not online:
        raise typer.BadParameter("--issuer and --json go with --online")
    with errors():
        from ca.cli.check import check
        from ca.cli.online import online as try_issuers

        out = Console(soft_wrap=True)
        check(config, Console(quiet=True) if as_json else out)
        if online and not try_issuers(config, issuer or [], out, as_json=as_json):
            raise typer.Exit(REFUSED)
