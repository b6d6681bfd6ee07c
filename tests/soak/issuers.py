"""Three identity providers and a seasonal one: the development issuer, in a process of its own, with keys that rotate.

`python -m tests.soak.issuers PORT DIRECTORY` serves /NAME for each NAME. The newest two keys in the files
DIRECTORY/NAME.NUMBER.pem are published; whoever wrote them signs the tokens.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from ca.dev.issuer import issuer_app
from ca.dev.tokens import IssuerKey, load_or_create_issuer_key
from ca.main import clock

NAMES = ("email", "github", "spiffe", "seasonal")


def key_file(directory: Path, name: str, number: int) -> Path:
    return directory / f"{name}.{number:04}.pem"


@dataclass(frozen=True, slots=True)
class RotatingKey(IssuerKey):
    directory: Path
    name: str

    def jwks(self) -> dict[str, object]:
        newest = sorted(self.directory.glob(f"{self.name}.*.pem"))[-2:]
        # Not super(): a slotted dataclass is another class than the one that its methods were compiled for.
        return {"keys": [key for file in newest for key in IssuerKey.jwks(load_or_create_issuer_key(file))["keys"]]}  # type: ignore[attr-defined]


def main(port: int, directory: Path) -> None:
    def app(name: str) -> Mount:
        key = RotatingKey(load_or_create_issuer_key(key_file(directory, name, 0)).private, directory, name)
        return Mount(f"/{name}", issuer_app(f"http://127.0.0.1:{port}/{name}", key, clock))

    uvicorn.run(Starlette(routes=list(map(app, NAMES))), port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
