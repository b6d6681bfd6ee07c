"""A real RFC 6962 log: certificate-transparency-go's CTFE over Trillian over PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from tests.e2e.processes import Child, Tools, free_port, run

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "2026"


@contextmanager
def postgresql(tools: Tools, directory: Path) -> Iterator[str]:
    """A cluster of its own that listens on a socket in a private directory; yields the URI of its database."""
    programs = tools.postgres()
    # Not under pytest's directory: the server runs as another user where we are root, which it refuses to be.
    home = Path(tempfile.mkdtemp(prefix="dayfly-pg-"))
    account: dict[str, object] = {"cwd": home}
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        user = "postgres"
        entry = pwd.getpwnam(user)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        account |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        data = home / "data"
        made = run([programs / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-sync"], **account)
        assert made.returncode == 0, made.stderr
        settings = [f"unix_socket_directories={home}", "listen_addresses=", "fsync=off"]
        command = [programs / "postgres", "-D", data, *(word for setting in settings for word in ("-c", setting))]
        with Child.start("postgresql", command, directory, end_signal=SIGINT, **account) as server:
            psql = ["psql", "-h", home, "-U", user, "-v", "ON_ERROR_STOP=1", "-q"]
            server.wait_until(lambda: run([*psql, "-c", "SELECT 1", "postgres"]).returncode == 0)
            made = run([*psql, "-c", "CREATE DATABASE trillian", "postgres"])
            assert made.returncode == 0, made.stderr
            made = run([*psql, "-f", tools.trillian_schema, "trillian"])
            assert made.returncode == 0, made.stderr
            yield f"postgresql:///trillian?host={home}&user={user}"
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class CTLog:
    """The log with its key. Its frontend can be started anew: everything is in Trillian."""

    tools: Tools
    directory: Path
    trillian: str
    """HOST:PORT of the log server's gRPC endpoint."""
    public_key: ec.EllipticCurvePublicKey

    @property
    def key_file(self) -> Path:
        return self.directory / "ct.pub.pem"

    @property
    def key_der(self) -> bytes:
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @contextmanager
    def frontend(self, name: str = "ctfe") -> Iterator[tuple[str, Child]]:
        """Serve the log's HTTP API; yields its submission prefix and the process."""
        port = free_port()
        command = [
            self.tools.binary("ct_server"),
            f"--log_config={self.directory / 'ct.cfg'}",
            f"--log_rpc_server={self.trillian}",
            f"--http_endpoint=127.0.0.1:{port}",
            "--logtostderr",
        ]
        url = f"http://127.0.0.1:{port}/{PREFIX}"
        with Child.start(name, command, self.directory) as child:
            child.wait_for_http(f"{url}/ct/v1/get-sth")
            yield url, child


@contextmanager
def ct_log(tools: Tools, directory: Path, database: str, roots: Path) -> Iterator[CTLog]:
    """Trillian with one tree, and the configuration of a frontend that accepts code signing under `roots`."""
    storage = ["--storage_system=postgresql", "--quota_system=noop", f"--postgresql_uri={database}", "--logtostderr"]
    rpc, http, signer_rpc, signer_http = (f"127.0.0.1:{free_port()}" for _ in range(4))
    with ExitStack() as stack:
        server = Child.start(
            "trillian_log_server",
            [tools.binary("trillian_log_server"), *storage, f"--rpc_endpoint={rpc}", f"--http_endpoint={http}"],
            directory,
            end_signal=SIGKILL,  # asked nicely it waits five seconds, the signer ten; the database is thrown away
        )
        stack.enter_context(server).wait_for_http(f"http://{http}/healthz")
        signer = Child.start(
            "trillian_log_signer",
            [
                tools.binary("trillian_log_signer"),
                *storage,
                f"--rpc_endpoint={signer_rpc}",
                f"--http_endpoint={signer_http}",
                "--force_master",
                "--sequencer_interval=100ms",
                "--batch_size=1000",
            ],
            directory,
            end_signal=SIGKILL,
        )
        stack.enter_context(signer).wait_for_http(f"http://{signer_http}/healthz")
        made = run([tools.binary("createtree"), f"--admin_server={rpc}"])
        assert made.returncode == 0, made.stderr
        yield CTLog(tools, directory, rpc, _write_configuration(directory, made.stdout.strip(), roots))


def _write_configuration(directory: Path, tree: str, roots: Path) -> ec.EllipticCurvePublicKey:
    key = ec.generate_private_key(ec.SECP256R1())
    # CTFE refuses a key without a password, and reads the encryption of RFC 1423 alone.
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"ct"))
    (directory / "ct.key.pem").write_bytes(encrypted)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "ct.pub.pem").write_bytes(public)
    (directory / "ct.cfg").write_text(
        f"""config {{
  log_id: {tree}
  prefix: "{PREFIX}"
  roots_pem_file: "{roots}"
  ext_key_usages: "CodeSigning"
  private_key: {{
    [type.googleapis.com/keyspb.PEMKeyFile] {{ path: "{directory / "ct.key.pem"}" password: "ct" }}
  }}
}}
"""
    )
    return key.public_key()
