"""The development instance's TUF repository: clients bootstrap from it as from a real one, its keys beside it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.dev.layout import Instance
    from ca.trust.model import TrustMaterial

_ROLES: Final = ("root", "targets", "online")


def tuf_settings(instance: Instance) -> dict[str, Any]:
    """`tuf:` of the instance's configuration; nothing where the extra `tuf` is not installed."""
    if find_spec("tuf") is None:
        return {}
    return {"directory": instance.tuf, "online-key": _key(instance, "online")}


def publish(instance: Instance, material: TrustMaterial, now: datetime) -> None:
    """Make the repository, or bring it up to date. Raises ConfigurationError."""
    if find_spec("tuf") is None:
        return
    from ca.tuf.keys import create_key, load_signer
    from ca.tuf.repository import Repository
    from ca.tuf.targets import targets

    for role in _ROLES:
        if not _key(instance, role).exists():
            create_key(_key(instance, role), None)
    signers = {role: [load_signer(str(_key(instance, role)), None)] for role in _ROLES}
    repository = Repository(instance.tuf)
    if not (instance.tuf / "1.root.json").exists():
        repository = Repository.create(instance.tuf, signers, dict.fromkeys(_ROLES, 1), now)
    files = targets(material, now)
    if not repository.holds(files):
        repository.publish(files, signers["targets"], signers["online"], now)


def _key(instance: Instance, role: str) -> Path:
    return instance.tuf_keys / f"tuf-{role}.key.pem"
