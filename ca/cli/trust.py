"""`dayfly trust`: what clients need to know of an instance, shown, written, and held against the live one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca.cli.endings import REFUSED, errors

trust_app = typer.Typer(help="What clients need to trust an instance: show, write and check it.", no_args_is_help=True)

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The server's configuration file, such as `config/ca.yaml`."),
]
UrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The CA as clients reach it; `trust.url` of the configuration by default."),
]


@trust_app.command("show")
def trust_show(
    config: ConfigOption,
    url: UrlOption = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the documents into this directory.")] = None,
) -> None:
    """Show whom clients are told to trust; with `--out`, write it down for them.

    `trusted_root.json` is for verifiers, `signing_config.v0.2.json` for signers, and `client_trust_config.json`, which
    is both, for sigstore-python and sigstore-rs.
    """
    with errors():
        from ca.cli import trust_documents

        material = trust_documents.load(config, url)
        console = Console(soft_wrap=True)
        if out:
            trust_documents.write(material, out, console)
        else:
            console.print(trust_documents.table(material))


@trust_app.command("check")
def trust_check(config: ConfigOption, url: UrlOption = None) -> None:
    """Hold the live instance, and the services beside it, against the configuration. Ends with 1 where they differ."""
    with errors():
        from ca.cli import trust_check, trust_documents

        results = trust_check.check(trust_documents.load(config, url))
    Console(soft_wrap=True).print(trust_check.table(results))
    if not all(result.good for result in results):
        raise typer.Exit(REFUSED)


@trust_app.command("policy-controller")
def trust_policy_controller(
    config: ConfigOption,
    image_glob: Annotated[
        list[str], typer.Option(metavar="GLOB", help="Images that need a signature; may be repeated.")
    ],
    issuer: Annotated[str, typer.Option(metavar="URL", help="The issuer that vouched for the signers.")],
    identity: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Who may sign: an e-mail address or URI; may be repeated.")
    ] = None,
    identity_regexp: Annotated[
        list[str] | None, typer.Option(metavar="REGEXP", help="The same as a regular expression; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of both objects.")] = "dayfly",
    url: UrlOption = None,
) -> None:
    """Print a TrustRoot and a ClusterImagePolicy for sigstore's policy controller.

    For example: `dayfly trust policy-controller -c ca.yaml --image-glob 'registry.example.org/**' --identity
    ada@example.org --issuer https://login.example.org | kubectl apply -f -`
    """
    with errors():
        from ca.cli import trust_documents

        identities = [
            *({"issuer": issuer, "subject": subject} for subject in identity or []),
            *({"issuer": issuer, "subjectRegExp": pattern} for pattern in identity_regexp or []),
        ]
        typer.echo(
            trust_documents.policy_controller(trust_documents.load(config, url), name, image_glob, identities), nl=False
        )
