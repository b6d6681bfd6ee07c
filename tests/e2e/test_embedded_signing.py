"""Two workers that share an embedded log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography import x509

from ca.ct.embedded.directory import LogDirectory
from ca.ct.static_ct import parse_leaf_index
from ca.main import clock
from tests.api.server import key_request
from tests.e2e.instance import dayfly
from tests.e2e.signing import EMAIL


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, ca, provider):
    directory = tmp_path_factory.mktemp("embedded")
    LogDirectory(directory).create("localhost/ctlog", clock())
    with dayfly(directory, ca, provider.issuer, "embedded", workers=2) as instance:
        yield instance


def test_two_workers_give_every_certificate_a_place_of_its_own(embedded, token):
    def place(_: int) -> int:
        # A connection each, so that both workers get some.
        request = {"publicKeyRequest": key_request(EMAIL)}
        answer = httpx.post(
            f"{embedded.url}/api/v2/signingCert", json=request, headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        chain = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        certificate = x509.load_pem_x509_certificate(chain[0].encode())
        (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        return parse_leaf_index(sct.extension_bytes)

    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(place, range(60)))
    assert len(set(places)) == len(places)
    assert max(places) - min(places) == len(places) - 1
