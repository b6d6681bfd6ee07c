"""`dayfly log …`: make, look at, check, publish and end the logs of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca.cli.endings import REFUSED, errors

log_app = typer.Typer(help="Work on the embedded Certificate Transparency log.", no_args_is_help=True)

DataOption = Annotated[
    Path, typer.Option(metavar="DIR", envvar="DAYFLY_DATA", help="The data directory of the server, or of the log.")
]
SeenOption = Annotated[
    Path | None,
    typer.Option(
        "--ct-log-seen",
        metavar="DIR",
        envvar="DAYFLY_CT_LOG_SEEN",
        help="Where the last checkpoints seen are kept, as the server has it; by default in the data directory.",
    ),
]
NewOriginOption = Annotated[
    str, typer.Option(metavar="HOST/PATH", help="Where it is served, without scheme: `ct.example.com/2026h2`.")
]
OriginOption = Annotated[str | None, typer.Option(metavar="HOST/PATH", help="Another log than the newest, by name.")]


@log_app.command()
def init(origin: NewOriginOption, data: DataOption, ct_log_seen: SeenOption = None) -> None:
    """Make the first log of a directory: its keys, and its file with a signed checkpoint of no entries.

    Clients get `ctlog.pub.pem` to verify SCTs; monitors and witnesses get the verifier key that is printed. A log key
    that `dayfly ca init` left there is taken over.
    """
    with errors():
        from ca.cli.shards import make_first
        from ca.ct.embedded.directory import LogDirectory

        make_first(LogDirectory(data, ct_log_seen), data, origin, _out())


@log_app.command()
def info(
    data: DataOption,
    ct_log_seen: SeenOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object for each log.")] = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show the logs of a directory, the oldest first. A server may be running."""
    with errors():
        from ca.cli.shards import print_json, print_rows
        from ca.ct.embedded.directory import LogDirectory

        show = print_json if json else print_rows
        show(LogDirectory(data, ct_log_seen), _out())


@log_app.command()
def verify(data: DataOption, ct_log_seen: SeenOption = None, origin: OriginOption = None) -> None:
    """Read all of a log's file again: every entry, hash, tile, issuer, the head and its signatures.

    Every log of the directory unless one is named. A server may be running. Ends with 1, and the place, at the first
    thing that is wrong.
    """
    with errors(REFUSED):
        from ca.cli.walk import verify as run
        from ca.ct.embedded.directory import LogDirectory

        run(LogDirectory(data, ct_log_seen), origin, _out())


@log_app.command()
def freeze(data: DataOption, ct_log_seen: SeenOption = None, origin: OriginOption = None) -> None:
    """End a log for good: sign its last checkpoint, take nothing more. It stays readable.

    A server that runs on it notices at once, and its `add-chain` and `add-pre-chain` answer 410.
    """
    with errors():
        from ca.cli.shards import freeze as run
        from ca.ct.embedded.directory import LogDirectory

        run(LogDirectory(data, ct_log_seen), origin, _out())


@log_app.command()
def rotate(origin: NewOriginOption, data: DataOption, ct_log_seen: SeenOption = None) -> None:
    """Start a log with new keys and a new name beside the one in use, which stays readable.

    A running server goes on with the old log until it is started again: give clients the new public key first. Then
    end the old log with `dayfly log freeze --origin`.
    """
    with errors():
        from ca.cli.shards import rotate as run
        from ca.ct.embedded.directory import LogDirectory

        run(LogDirectory(data, ct_log_seen), origin, _out())


@log_app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A directory for this log alone.")],
    data: DataOption,
    ct_log_seen: SeenOption = None,
    origin: OriginOption = None,
) -> None:
    """Write the log as files for a web server or a CDN: tiles, entries, issuers, and the checkpoint last.

    Run again it adds what is new, wherever it stopped, and refuses to go on with another tree. Nothing that is there is
    changed but the checkpoint. A server may be running.
    """
    with errors():
        from ca.cli.walk import export as run
        from ca.ct.embedded.directory import LogDirectory

        run(LogDirectory(data, ct_log_seen), origin, out, _out())


@log_app.command()
def serve(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to serve the log, below `/ctlog`.")],
    roots: Annotated[
        Path, typer.Option(metavar="CHAIN.pem", help="The roots of the CAs that may log here; whole chains may stand.")
    ],
    data: DataOption,
    ct_log_seen: SeenOption = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=128, help="Processes that share the log.")] = 1,
    metrics_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT|none", help="Where Prometheus reads metrics.")
    ] = "none",
) -> None:
    """Serve the log alone, for a CA elsewhere: Dayfly or Fulcio.

    The CA's submission prefix is `http://HOST:PORT/ctlog`, and its log key is `ctlog.pub.pem`. `/readyz` says whether
    it takes entries.
    """
    with errors():
        from ca.cli.log_server import serve as run
        from ca.ct.embedded.directory import LogDirectory

        run(LogDirectory(data, ct_log_seen), listen, roots, workers=workers, metrics_listen=metrics_listen)


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)
