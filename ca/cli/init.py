"""`dayfly ca init`: a certificate authority of one's own, with a configuration that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.keys.ceremony import write_ca
from ca.main import clock

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

CONFIG = """\
# Written by `dayfly ca init`. Every other setting, with its default, is in config/ca.yaml, which comes with Dayfly.
listen: 127.0.0.1:5555

# Whose tokens are accepted.
identity-config: identity.yaml

ca:
  cert: chain.pem
  key: intermediate.key.pem

ct:
  # A log that signs with ctlog.key.pem and has chain.pem among its roots; or `none` to issue without one.
  log: http://127.0.0.1:6962/log
  log-key: ctlog.pub.pem
"""

IDENTITY = """\
# Whose tokens are accepted: Fulcio's identity configuration. Nobody is trusted by default: add your issuers here.
# config/identity.yaml, which comes with Dayfly, has an example of each kind.
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
    identity = IDENTITY + (ISSUER.format(issuer=issuer) if issuer else "")
    configuration = {out / "ca.yaml": CONFIG, out / "identity.yaml": identity}
    for path in configuration:
        if path.exists():
            raise ConfigurationError(f"{path}: exists and is not overwritten; choose another directory")
    password = file_bytes(root_password_file).rstrip(b"\r\n") if root_password_file else None
    written = [*write_ca(out, organization, common_name, clock(), password), *configuration]
    for path, text in configuration.items():
        path.write_text(text)
    for path in written:
        console.print(f"  {path}", highlight=False, markup=False)
    offline = ", ".join(path.name for path in written if path.name in {"root.key.pem", "root.password"})
    console.print(f"\nMove offline: {offline}. The server needs neither.", highlight=False)
    if not issuer:
        console.print(f"Add the issuers that you trust to {out / 'identity.yaml'}.", highlight=False, markup=False)
    console.print(f"Next: dayfly config check --config {out / 'ca.yaml'}", highlight=False, markup=False)
