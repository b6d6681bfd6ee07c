"""`dayfly ca init`: a certificate authority of one's own, with a configuration that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.documents import file_bytes, parse
from ca.errors import ConfigurationError
from ca.keys.ceremony import write_ca
from ca.main import clock
from ca.oidc.identity_config import read_identity_config

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

MAX_NAME = 64
"""Characters of an organization or a common name (RFC 5280 appendix A.1, ub-organization-name, ub-common-name)."""

CONFIG = """\
# Written by `dayfly ca init`. Every other setting, with its default, is in config/ca.yaml of Dayfly's sources.
listen: 127.0.0.1:5555

# Where the server keeps its log.
data: .

# Whose tokens are accepted.
identity-config: identity.yaml

ca:
  cert: chain.pem
  key: intermediate.key.pem

# Says when a signature was made, without which none verifies once its certificate has expired. Whoever holds the CA key
# and this one can date signatures back: in production, prefer a timestamp authority that others run, in `trust`.
timestamp:
  chain: timestamp-chain.pem
  key: timestamp.key.pem

ct:
  # `embedded` is the log in the directory `data`, which `dayfly log init` makes. For a log elsewhere, that signs with
  # ctlog.key.pem and has root.crt.pem among its roots, write its URL and `log-key: ctlog.pub.pem`.
  log: embedded
"""

IDENTITY = """\
# Whose tokens are accepted: Fulcio's identity configuration. Nobody is trusted by default: add your issuers here.
# config/identity.yaml of Dayfly's sources has an example of each kind.
oidc-issuers:
"""
ISSUER = """\
  {issuer}:
    issuer-url: {issuer}
    client-id: sigstore
    type: email
"""


def init(
    out: Path,
    organization: str,
    common_name: str,
    issuer: str | None,
    root_password_file: Path | None,
    console: Console,
) -> None:
    """Write the CA into `out`. Raises ConfigurationError where anything would be overwritten."""
    _check_name("--organization", organization, MAX_NAME)
    _check_name("--common-name", common_name, MAX_NAME - len("-intermediate"))
    identity = IDENTITY + (ISSUER.format(issuer=issuer) if issuer else "")
    configuration = {out / "ca.yaml": CONFIG, out / "identity.yaml": identity}
    for path in configuration:
        if path.exists():
            raise ConfigurationError(f"{path}: exists and is not overwritten; choose another directory")
    if issuer:
        read_identity_config(parse(identity, "identity.yaml", text_only=True))
    password = _password(root_password_file)
    written = [*write_ca(out, organization, common_name, clock(), password), *configuration]
    for path, text in configuration.items():
        path.write_text(text)
    _explain(written, out, console, add_issuers=not issuer)


def _explain(written: list[Path], out: Path, console: Console, *, add_issuers: bool) -> None:
    for path in written:
        console.print(f"  {path}", highlight=False, markup=False)
    offline = " and ".join(path.name for path in written if path.name in {"root.key.pem", "root.password"})
    console.print(f"\nMove {offline} offline: the server does not need the root's key.", highlight=False)
    if add_issuers:
        console.print(f"Add the issuers that you trust to {out / 'identity.yaml'}.", highlight=False, markup=False)
    origin = "ct.example.org/2026h2"
    console.print(
        f"Make its log, under the name it keeps: dayfly log init --data {out} --origin {origin}", highlight=False
    )
    console.print(f"Next: dayfly config check --config {out / 'ca.yaml'}", highlight=False, markup=False)


def _check_name(flag: str, name: str, limit: int) -> None:
    if not 1 <= len(name) <= limit or not name.isprintable():
        raise ConfigurationError(f"{flag}: expected 1 to {limit} printable characters, not {len(name)}")


def _password(path: Path | None) -> bytes | None:
    if path is None:
        return None
    password = file_bytes(path).rstrip(b"\r\n")
    if not password:
        raise ConfigurationError(f"--root-password-file: {path} is empty; without the option a password is made")
    return password
