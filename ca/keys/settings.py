"""`ca:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from ca.documents import Settings


class CASettings(Settings):
    """A CA key in files."""

    cert: Path
    """PEM: the issuing certificate first, the root last."""
    key: Path
    """PEM: PKCS#8, SEC1 or PKCS#1, encrypted or not."""
    key_password: SecretStr | None = None
    """For the environment (`DAYFLY_CA_KEY_PASSWORD`); in the file, `key-password-file` keeps it apart."""
    key_password_file: Path | None = None
    rotation: Path | None = None
    """A directory for what comes before and after this pair; `rotation` beside the chain by default."""

    @property
    def rotation_directory(self) -> Path:
        return self.rotation or self.cert.parent / "rotation"

    def password(self) -> bytes | None:
        """The password's bytes; a file's trailing newline does not belong to it."""
        if self.key_password is not None:
            return self.key_password.get_secret_value().encode()
        if self.key_password_file is not None:
            return self.key_password_file.read_bytes().rstrip(b"\r\n")
        return None
