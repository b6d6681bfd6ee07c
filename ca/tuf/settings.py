"""`tuf:` in the server's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from ca.documents import Settings


class TUFSettings(Settings):
    """A TUF repository that this server serves at `/tuf`; off unless it has a directory."""

    directory: Path | None = None
    """As `dayfly tuf init` makes it."""
    online_key: Path | None = None
    """PEM: the key of snapshot and timestamp; with it the server renews both by itself."""
    online_key_password_file: Path | None = None
    online_key_uri: str | None = None
    """In its place, the same key where securesystemslib has a URI for it, such as `awskms:alias/tuf-online`."""
    online_key_public: Path | None = None
    """PEM: the public key that belongs to the URI."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.online_key or self.online_key_uri) and not self.directory:
            raise ValueError("online-key renews the repository in `directory`, which is missing")
        if self.online_key and self.online_key_uri:
            raise ValueError("online-key and online-key-uri are two ways to name one key: write one of them")
        if (self.online_key_uri is None) != (self.online_key_public is None):
            raise ValueError("online-key-uri and online-key-public belong together: a URI gives no public key away")
        return self
