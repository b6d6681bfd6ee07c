"""`dayfly dev`: a private instance on loopback, whose identity provider believes what you type.

It must never be taken for the real thing: it listens on loopback alone, and its certificates' organization, its
log and its table all say what it is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import yaml
from rich.console import Console
from rich.table import Table

from ca.config import ServerSettings
from ca.ct.embedded.directory import LogDirectory
from ca.dev.issuer import issuer_app
from ca.dev.layout import ISSUER_PATH, Instance
from ca.dev.tokens import load_or_create_issuer_key
from ca.dev.tuf import publish, tuf_settings
from ca.documents.address import MAX_PORT
from ca.errors import ConfigurationError
from ca.keys.ceremony import write_ca
from ca.main import clock, serve, trust_material
from ca.server import bind, split_address
from ca.trust import documents

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

ORGANIZATION: Final = "Dayfly development, not for production"


def run(listen: str, directory: Path) -> None:
    """Make what is missing in `directory` and serve until interrupted. Raises ConfigurationError."""
    _require_loopback(listen)
    # The socket first: where another instance runs already, its files stay as they are.
    with bind(listen, "--listen") as listening:
        host, port = listen.rpartition(":")[0], listening.getsockname()[1]
        instance = Instance(directory.absolute(), f"http://{host}:{port}")
        settings = _prepare(instance, listen)
        key = load_or_create_issuer_key(instance.issuer_key)
        issuer = issuer_app(instance.issuer, key, clock)
        serve(settings, partial(_beside_issuer, issuer), partial(_announce, instance), listening)


def _require_loopback(listen: str) -> None:
    try:
        host, port = split_address(listen)
        loopback = (host == "localhost" or ipaddress.ip_address(host).is_loopback) and 0 <= port <= MAX_PORT
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            f"--listen: {listen} is not a loopback address with a port, such as 127.0.0.1:5555; a development "
            "instance signs for anybody who asks, so it listens nowhere else. To serve others: `dayfly serve`"
        )


def _prepare(instance: Instance, listen: str) -> ServerSettings:
    try:
        return _files(instance, listen)
    except OSError as problem:
        raise ConfigurationError(
            f"--data: {problem.filename}: {problem.strerror}; choose a directory that you may write to"
        ) from problem


def _files(instance: Instance, listen: str) -> ServerSettings:
    instance.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not instance.ca.exists():
        write_ca(instance.ca, ORGANIZATION, "Dayfly development", clock())
    logs = LogDirectory(instance.directory)
    if not logs.shards():
        logs.create(f"{instance.url.removeprefix('http://')}/ctlog", clock())
    _write(instance.directory / "instance.json", json.dumps({"url": instance.url}))
    _write(instance.directory / ".gitignore", "*\n")
    _write(instance.identity_config, yaml.safe_dump({"oidc-issuers": {instance.issuer: _issuer(instance)}}))
    settings = ServerSettings.model_validate(
        {
            "listen": listen,
            "data": instance.directory,
            "identity-config": instance.identity_config,
            "ca": {"cert": instance.ca / "chain.pem", "key": instance.ca / "intermediate.key.pem"},
            "timestamp": {
                "chain": instance.ca / "timestamp-chain.pem",
                "key": instance.ca / "timestamp.key.pem",
            },
            "trust": {"url": instance.url, "operator": "dayfly dev", "oidc": [{"url": instance.issuer}]},
            "tuf": tuf_settings(instance),
            "metrics": {"listen": "none"},
            "log": {"format": "console"},
        }
    )
    material = asyncio.run(trust_material(settings))
    _write(instance.signing_config, json.dumps(documents.signing_config(material), indent=2))
    _write(instance.trusted_root, json.dumps(documents.trusted_root(material), indent=2))
    publish(instance, material, clock())
    return settings


def _issuer(instance: Instance) -> dict[str, str]:
    return {"issuer-url": instance.issuer, "client-id": "sigstore", "type": "email"}


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _beside_issuer(issuer: ASGIApp, app: ASGIApp) -> ASGIApp:
    """One application of two: the identity provider under its path, the CA everywhere else."""

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path == ISSUER_PATH or path.startswith(ISSUER_PATH + "/"):
            await issuer({**scope, "path": path[len(ISSUER_PATH) :] or "/"}, receive, send)
        else:
            await app(scope, receive, send)

    return both


def _announce(instance: Instance) -> None:
    structlog.get_logger("dev").warning(
        "this is a development instance: its identity provider believes what anybody types. Not for production"
    )
    table = Table(title="Dayfly for development", title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("CA", instance.url)
    table.add_row("issuer", f"{instance.issuer}  (its login page asks who you are)")
    table.add_row("chain", f"{instance.url}/api/v2/trustBundle  and  {instance.ca / 'chain.pem'}")
    table.add_row("readiness", f"{instance.url}/readyz")
    table.add_row("API", f"{instance.url}/openapi.json")
    table.add_row("data", str(instance.directory))
    out = Console(soft_wrap=True)
    out.print(table)
    out.print("In another terminal, in this directory:", style="bold")
    out.print(_lines(instance), markup=False, highlight=False)


def _lines(instance: Instance) -> str:
    # `make run` starts it without the virtual environment's directory in PATH.
    dayfly = "dayfly" if shutil.which("dayfly") else shlex.quote(sys.argv[0])
    data = "" if instance.directory == Path(".dayfly").absolute() else f" --data {shlex.quote(str(instance.directory))}"
    token_command = f'"$({dayfly} dev-token --email ada@example.com{data})"'
    root = shlex.quote(str(instance.tuf / "1.root.json"))
    return f"""
  # a certificate, decoded
  {dayfly} request --url {instance.url} --token {token_command}
  {dayfly} request --url {instance.url} --login

  # the issuers it trusts
  curl {instance.url}/api/v2/configuration

  # sign a file with cosign, and verify it
  cosign initialize --mirror {instance.url}/tuf --root {root}
  cosign sign-blob --yes --identity-token {token_command} --bundle README.sigstore.json README.md
  cosign verify-blob --use-signed-timestamps --insecure-ignore-tlog --bundle README.sigstore.json \\
    --certificate-identity ada@example.com --certificate-oidc-issuer {instance.issuer} README.md
"""
