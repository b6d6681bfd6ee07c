"""Row 17: the configuration, or the CA's pair, is another one when the log answers than when it was asked.

Expected: one issuance, one identity, one CA key. The certificate that was promised to the log is the one that is
issued, and every later request goes by the new files.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.api.server import CA, leaf
from tests.api.test_ct import ca_with
from tests.ct.logs import HonestLog


@dataclass
class Interrupted(HonestLog):
    """Signs its promise, has something happen, and answers only then."""

    meanwhile: Callable[[], None] | None = None

    def answer(self, ders: list[bytes]) -> dict[str, Any]:
        promise = super().answer(ders)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return promise


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def switch_off(ca: CA, kind: str) -> None:
    """And wait until the server goes by it."""
    path = ca.directory / "identity.yaml"
    content = yaml.safe_load(path.read_text())
    content["oidc-issuers"][ca.issuer(kind)]["enabled"] = False
    path.write_text(yaml.safe_dump(content))
    until(lambda: ca.issuer(kind) not in ca.client.get("/api/v2/configuration").text)


def test_row_17_an_issuer_that_is_switched_off_between_precertificate_and_certificate_ends_what_has_begun(
    tmp_path: Path,
) -> None:
    with ca_with(tmp_path, Interrupted) as (ca, log):
        log.meanwhile = lambda: switch_off(ca, "email")
        certificate = leaf(ca.ask())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.RFC822Name("ada@example.com")]
        refused = ca.ask()
        assert refused.json()["details"][0]["reason"] == "ISSUER_DISABLED"
        assert len(log.bodies) == 1


def test_row_17_a_broken_configuration_between_precertificate_and_certificate_does_no_harm(tmp_path: Path) -> None:
    def spoil() -> None:
        (ca.directory / "identity.yaml").write_text("oidc-issuers: [")
        time.sleep(1)  # /readyz, which would tell when it is noticed, asks the log, which waits for us

    with ca_with(tmp_path, Interrupted) as (ca, log):
        log.meanwhile = spoil
        assert leaf(ca.ask())
        until(lambda: ca.client.get("/readyz").json()["checks"]["identityConfig"] != "ok")
        assert ca.client.get("/readyz").json()["ready"]
        assert leaf(ca.ask())


def test_row_17_another_ca_pair_between_precertificate_and_certificate_signs_the_next_one(tmp_path: Path) -> None:
    """Half a pair is the same: until the other half comes the first pair is in use."""

    def rotate() -> None:
        write_ca(tmp_path / "new", "Dayfly tests", "Dayfly tests, again", clock())
        for name in ("chain.pem", "intermediate.key.pem"):
            shutil.copy(tmp_path / "new" / name, ca.directory / "ca" / name)
        until(lambda: ca.client.get("/api/v2/trustBundle").json()["chains"][0]["certificates"] != before)

    with ca_with(tmp_path, Interrupted) as (ca, log):
        before = ca.client.get("/api/v2/trustBundle").json()["chains"][0]["certificates"]
        log.meanwhile = rotate
        answer = ca.ask()
        signed = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        assert [pem.strip() for pem in signed[1:]] == [pem.strip() for pem in before]
        issuing = x509.load_pem_x509_certificate(before[0].encode())
        leaf(answer).verify_directly_issued_by(issuing)
