"""A CA in front of Dayfly that hands out something else than Dayfly issued, to clients that do not look until they verify.

What it signs itself it signs with the CA's own key: each certificate is wrong in one thing and right in all others.
"""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.ct.rfc6962 import digitally_signed, precert_signature_input
from tests.e2e.certificates import embedded_sct, flipped, logged, replaced, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lie = Callable[[list[x509.Certificate], ec.EllipticCurvePrivateKey], x509.Certificate]


def nothing(chain: list[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The same certificate signed once more: no lie, so this one must verify."""
    return signed(chain[0].tbs_certificate_bytes, key)


def another_ca(chain: list[x509.Certificate], _: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A CA of the same name and key identifier signed it."""
    return signed(chain[0].tbs_certificate_bytes, ec.generate_private_key(ec.SECP256R1()))


def another_log(chain: list[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A log that nobody trusts gave a true SCT for it."""
    sct, what = embedded_sct(chain[0]), logged(chain)
    while True:
        log = ec.generate_private_key(ec.SECP256R1())
        spki = log.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        log_id = hashlib.sha256(spki).digest()
        statement = precert_signature_input(replace(sct, log_id=log_id), what.clean_tbs, what.issuer_key_hash)
        signature = digitally_signed(log, statement)
        if len(signature) == len(sct.signature):  # in DER its length varies, and replacing wants the same
            return replaced(replaced(chain[0], sct.log_id, log_id, key), sct.signature, signature, key)


def tampered_sct(chain: list[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """One bit of the log's signature is flipped."""
    signature = embedded_sct(chain[0]).signature
    return replaced(chain[0], signature, flipped(signature), key)


@contextmanager
def lying_ca(url: str, key: ec.EllipticCurvePrivateKey, lie: Lie) -> Iterator[str]:
    """The CA at `url`, whose certificates go through `lie` first."""

    class Front(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: self.headers[name] for name in ("authorization", "content-type") if self.headers[name]}
            answer = httpx.post(url + self.path, content=body, headers=headers, trust_env=False, timeout=30)
            assert answer.status_code == 200, answer.text
            document = answer.json()
            pems = document["signedCertificateEmbeddedSct"]["chain"]["certificates"]
            chain = x509.load_pem_x509_certificates("".join(pems).encode())
            pems[0] = lie(chain, key).public_bytes(Encoding.PEM).decode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            content = json.dumps(document).encode()
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
