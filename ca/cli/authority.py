"""`dayfly ca`: making a certificate authority, and going from one CA key to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca.cli.endings import errors
from ca.cli.trust import ConfigOption, UrlOption

ca_app = typer.Typer(help="Make and rotate the keys and certificates of a certificate authority.", no_args_is_help=True)


@ca_app.command("init")
def ca_init(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A directory that is empty or does not exist.")],
    organization: Annotated[str, typer.Option(metavar="NAME", help="The `O` of both certificates.")] = "dayfly",
    common_name: Annotated[
        str, typer.Option(metavar="NAME", help="The root's `CN`; the intermediate's has `-intermediate` added.")
    ] = "dayfly",
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="The first issuer to trust, for e-mail addresses.")
    ] = None,
    root_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Encrypts the root's key; without it one is made.")
    ] = None,
) -> None:
    """Make a root (P-384), an intermediate (P-256), a CT log key pair, and a `ca.yaml` that uses them.

    The root's key is encrypted: move it offline, for the server does not need it. The log gets `ctlog.key.pem`.
    """
    with errors():
        from ca.cli.init import init

        init(out, organization, common_name, issuer, root_password_file, Console(soft_wrap=True))


@ca_app.command("prepare")
def ca_prepare(
    config: ConfigOption,
    root_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The root's private key: makes a new pair under it.")
    ] = None,
    root_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The password of the root's key; a new root's may be made.")
    ] = None,
    chain: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A chain made elsewhere: the issuing certificate first.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The private key of `--chain`.")] = None,
    new_root: Annotated[
        bool, typer.Option("--new-root", help="Under another root: that of `--chain`, or a new one written to `--out`.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where a new root is written.")] = None,
    common_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The new `CN`; the root's with `-issuing-` and the date by default."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Give up the next chain that is there.")] = False,
) -> None:
    """Publish the chain that is to issue next, under the same root or a new one. It issues nothing yet."""
    with errors():
        from ca.cli import rotation

        source = rotation.Source(root_key, root_password_file, chain, key, out, common_name, new_root=new_root)
        rotation.prepare(config, source, Console(soft_wrap=True), replace=replace)


@ca_app.command("activate")
def ca_activate(
    config: ConfigOption,
    after: Annotated[
        str, typer.Option(metavar="TIME", help="How long it must have been published, such as 90m, 1h or 7d.")
    ] = "1h",
    now: Annotated[
        bool, typer.Option("--now", help="Not wait: clients whose trusted root is older refuse what it signs.")
    ] = False,
    url: UrlOption = None,
) -> None:
    """Have the next chain issue. No server is restarted and no request fails.

    Refuses until the chain has been published for a while, by the live instance and in the TUF repository too, and
    while a log elsewhere does not accept its root.
    """
    with errors():
        from ca.cli import rotation

        rotation.activate(config, url, "0s" if now else after, Console(soft_wrap=True), asking=not now)


@ca_app.command("retire")
def ca_retire(config: ConfigOption) -> None:
    """Take chains out of the trust bundle that nothing valid leads to, and delete their keys.

    What was signed with them still verifies: they stay in the trusted root, with an end.
    """
    with errors():
        from ca.cli import rotation

        rotation.retire(config, Console(soft_wrap=True))


@ca_app.command("show")
def ca_show(
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs, times in seconds.")] = False,
) -> None:
    """Show the chain that issues, the next and the former ones, and what to do next."""
    with errors():
        from ca.cli import rotation

        rotation.show(config, Console(soft_wrap=True), as_json=as_json)
