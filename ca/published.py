"""What an instance tells clients about itself, put together from its configuration and the CA keys in use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.remote import load_log_key
from ca.ct.settings import EMBEDDED
from ca.ct.verify import LogKey
from ca.trust.material import Operated, OwnParts
from ca.trust.model import SPKI, Authority, Period, TransparencyLog
from ca.trust.settings import EARLIEST

if TYPE_CHECKING:
    from pathlib import Path

    from ca.config import ServerSettings
    from ca.ct.embedded.directory import Shard
    from ca.ct.settings import CTSettings
    from ca.keys.model import CAKeys
    from ca.timestamp.authority import TimestampAuthority
    from ca.trust.model import TrustMaterial

LOG_PREFIX = "/ctlog"
"""The path of the embedded log that takes certificates."""
TIMESTAMP_PATH = "/api/v1/timestamp"


class Publisher:
    """Makes trust material as it is now; a rotation of the CA or the log shows in the next."""

    def __init__(self, settings: ServerSettings, keys: CAKeys, timestamper: TimestampAuthority | None) -> None:
        """Raises ConfigurationError naming the file of whatever cannot be read."""
        self._settings = settings
        self._keys = keys
        self._timestamper = timestamper
        self._operated = Operated(settings.trust)
        self._elsewhere = _logs_elsewhere(settings.ct)
        self._embedded: tuple[list[Path], list[TransparencyLog]] = [], []
        """What was read where. Everybody may ask for it, and the logs of a directory do not change."""

    def material(self) -> TrustMaterial:
        """Raises ConfigurationError where a file of the log has gone."""
        url = self._settings.trust.url or ""
        periods = [(chain, Period(chain.not_before)) for chain in self._keys.chains()]
        periods += [(ended.chain, Period(ended.chain.not_before, ended.end)) for ended in self._keys.retired()]
        authorities = [Authority(url, *one) for one in sorted(periods, key=lambda one: one[1].start)]
        own = OwnParts(authorities, self._ctlogs(url), self._timestamps(url))
        return self._operated.material(own)

    def _timestamps(self, url: str) -> Authority | None:
        if self._timestamper is None:
            return None
        chain = self._timestamper.chain
        return Authority(f"{url}{TIMESTAMP_PATH}", chain, Period(chain.not_before))

    def _ctlogs(self, url: str) -> list[TransparencyLog]:
        if self._settings.ct.log != EMBEDDED:
            return self._elsewhere
        logs = LogDirectory(self._settings.data, self._settings.ct.log_seen)
        if not (found := logs.directories()) or found != self._embedded[0]:
            self._embedded = found, _embedded_logs(logs, url)
        return self._embedded[1]


def _embedded_logs(logs: LogDirectory, url: str) -> list[TransparencyLog]:
    return [
        _ctlog(
            f"{url}{path}" if url else f"https://{shard.origin}",
            LogKey.of(load_keys(shard.directory).log_key.public_key()),
            Period(datetime.fromtimestamp(shard.created // 1000, UTC)),
        )
        for path, shard in log_paths(logs)
    ]


def log_paths(logs: LogDirectory) -> list[tuple[str, Shard]]:
    """Where each log of the directory is served: the newest under LOG_PREFIX, then the older ones below it.

    Raises ConfigurationError where there is no log.
    """
    newest = logs.current()
    older = [shard for shard in logs.shards() if shard.origin != newest.origin]
    return [(LOG_PREFIX, newest), *((f"{LOG_PREFIX}/{shard.name}", shard) for shard in older)]


def _logs_elsewhere(settings: CTSettings) -> list[TransparencyLog]:
    return [_ctlog(log.log, load_log_key(log.log_key), Period(EARLIEST)) for log in settings.elsewhere]


def _ctlog(base_url: str, key: LogKey, period: Period) -> TransparencyLog:
    spki = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TransparencyLog(base_url, SPKI(spki), key.log_id, period)
