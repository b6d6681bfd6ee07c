"""`dayfly tuf`: the repository that clients bootstrap from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca.cli.endings import errors
from ca.cli.trust import ConfigOption, UrlOption

tuf_app = typer.Typer(help="Keep the TUF repository that clients bootstrap trust from.", no_args_is_help=True)

DirectoryOption = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The repository, as it is served.")]
_KEY = "PATH|URI=PUB.pem"
RootKeyOption = Annotated[list[str] | None, typer.Option(metavar=_KEY, help="A root key; may be repeated.")]
TargetsKeyOption = Annotated[list[str] | None, typer.Option(metavar=_KEY, help="A targets key; may be repeated.")]
OnlineKeyOption = Annotated[str | None, typer.Option(metavar=_KEY, help="The key of snapshot and timestamp.")]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="The password of encrypted key files.")
]


@tuf_app.command("init")
def tuf_init(
    directory: DirectoryOption,
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Make new keys here: root and targets encrypted, online not.")
    ] = None,
    root_key: RootKeyOption = None,
    targets_key: TargetsKeyOption = None,
    online_key: OnlineKeyOption = None,
    root_threshold: Annotated[int, typer.Option(metavar="N", help="How many root keys must sign.")] = 1,
    targets_threshold: Annotated[int, typer.Option(metavar="N", help="How many targets keys must sign.")] = 1,
    password_file: PasswordOption = None,
) -> None:
    """Make a repository without files; `dayfly tuf publish` puts them in.

    Keys are PEM files or URIs of securesystemslib with their public key, such as `awskms:alias/root=root.pub.pem`.
    Keep root and targets keys offline. Clients get `DIR/1.root.json`, by a way that they trust.
    """
    with errors():
        from ca.cli import tuf_steps as steps

        steps.init(
            directory,
            keys,
            {"root": root_key or [], "targets": targets_key or [], "online": [online_key] if online_key else []},
            {"root": root_threshold, "targets": targets_threshold, "online": 1},
            password_file,
            Console(soft_wrap=True),
        )


@tuf_app.command("publish")
def tuf_publish(
    config: ConfigOption,
    directory: DirectoryOption,
    targets_key: Annotated[list[str], typer.Option(metavar=_KEY, help="A targets key; may be repeated.")],
    online_key: Annotated[str, typer.Option(metavar=_KEY, help="The key of snapshot and timestamp.")],
    url: UrlOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Sign and write what clients are told to trust now: see it first with `dayfly trust show`."""
    with errors():
        from ca.cli import tuf_steps as steps

        steps.publish(config, url, directory, targets_key, online_key, password_file, Console(soft_wrap=True))


@tuf_app.command("refresh")
def tuf_refresh(
    directory: DirectoryOption,
    online_key: Annotated[str, typer.Option(metavar=_KEY, help="The key of snapshot and timestamp.")],
    password_file: PasswordOption = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also where nothing is due.")] = False,
) -> None:
    """Renew snapshot and timestamp where half of their life is over. A server with `tuf.online-key` does it itself."""
    with errors():
        from ca.cli import tuf_steps as steps

        steps.refresh(directory, online_key, password_file, Console(soft_wrap=True), force=force)


@tuf_app.command("rotate")
def tuf_rotate(
    role: Annotated[str, typer.Argument(metavar="root|targets|online", help="Whose keys.")],
    directory: DirectoryOption,
    new_key: Annotated[list[str], typer.Option(metavar=_KEY, help="A key the role has from now on; may be repeated.")],
    root_key: Annotated[list[str], typer.Option(metavar=_KEY, help="A root key in use; may be repeated.")],
    old_key: Annotated[
        list[str] | None, typer.Option(metavar=_KEY, help="A key the role had: with enough of them no client notices.")
    ] = None,
    online_key: OnlineKeyOption = None,
    threshold: Annotated[int, typer.Option(metavar="N", help="How many of the new keys must sign.")] = 1,
    password_file: PasswordOption = None,
) -> None:
    """Give a role other keys, with a new version of root. Clients that were away catch up, version by version."""
    with errors():
        from ca.cli import tuf_steps as steps

        steps.rotate(
            role,
            directory,
            steps.Rotation(new_key, threshold, root_key, old_key or [], online_key),
            password_file,
            Console(soft_wrap=True),
        )


@tuf_app.command("show")
def tuf_show(directory: DirectoryOption) -> None:
    """Show roles, keys and thresholds, until when clients believe them, and the files."""
    with errors():
        from ca.cli import tuf_steps as steps

        steps.show(directory, Console(soft_wrap=True))
