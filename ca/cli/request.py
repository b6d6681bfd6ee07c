"""`dayfly request`: one certificate for a fresh key, decoded, for people who debug."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID
from rich.console import Console
from rich.table import Table

from ca.errors import ConfigurationError
from ca.identity.model import Extension

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 15.0
"""Seconds; the server's own budget for the log is 8."""


def request(url: str, token: str, *, csr: bool, pem: bool) -> None:
    """Ask the CA at `url`. Raises ConfigurationError with the CA's own words where it refuses."""
    token = _one_line(token)
    key = ec.generate_private_key(ec.SECP256R1())
    body = _csr(key) if csr else _key_with_proof(key, token)
    chain = _ask(url, token, body)
    out = Console(soft_wrap=True)
    if pem:
        out.print("\n".join(chain), highlight=False, markup=False)
    else:
        out.print(_table([x509.load_pem_x509_certificate(text.encode()) for text in chain]))


def _one_line(unverified_token: str) -> str:
    """What can stand in a header; what is wrong with it otherwise is the CA's to say, to people who debug."""
    token = unverified_token.strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError("--token: expected one line of ASCII without spaces, as the issuer gave it")
    return token


def _csr(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    signed = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return {"certificateSigningRequest": base64.b64encode(signed.public_bytes(Encoding.PEM)).decode()}


def _key_with_proof(key: ec.EllipticCurvePrivateKey, token: str) -> dict[str, Any]:
    challenge = _unverified_challenge(token)
    proof = key.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": spki.decode()},
            "proofOfPossession": base64.b64encode(proof).decode(),
        }
    }


def _unverified_challenge(token: str) -> str:
    """What sigstore's clients sign: the token's `email`, or its `sub` where there is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims.get("email") or claims["sub"])
    except (IndexError, KeyError, ValueError, AttributeError, TypeError) as problem:
        raise ConfigurationError(
            "--token: not an identity token: expected three parts of base64url joined by dots, "
            "with `email` or `sub` in the second"
        ) from problem


def _ask(url: str, token: str, body: dict[str, Any]) -> list[str]:
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/api/v2/signingCert",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as problem:
        raise ConfigurationError(f"--url: {url}: expected a URL such as http://127.0.0.1:5555") from problem
    except httpx.HTTPError as problem:
        raise ConfigurationError(f"--url: {url} does not answer: {str(problem) or type(problem).__name__}") from problem
    if answer.status_code != 200:
        raise ConfigurationError(f"the CA answered {answer.status_code}: {_message(answer)}")
    try:
        reply = answer.json()
        signed = reply.get("signedCertificateEmbeddedSct") or reply["signedCertificateDetachedSct"]
        return list(signed["chain"]["certificates"])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigurationError(f"--url: {url} does not answer as a CA does; is it another server's?") from problem


def _message(answer: httpx.Response) -> str:
    """What a CA says of its refusal."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return "without a message, not as a CA does; is --url another server's?"


def _table(chain: list[x509.Certificate]) -> Table:
    table = Table(title="Certificate", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(chain):
        table.add_row(name, value)
    return table


def _rows(chain: list[x509.Certificate]) -> Iterator[tuple[str, str]]:
    leaf = chain[0]
    # The name first: it is what people look for.
    for extension in sorted(leaf.extensions, key=lambda each: not isinstance(each.value, x509.SubjectAlternativeName)):
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                for name in names:
                    yield "subject alternative name", _general_name(name)
            case x509.ExtendedKeyUsage() as usages:
                yield "extended key usage", ", ".join(usage._name for usage in usages)  # noqa: SLF001 - its only name
            case x509.PrecertificateSignedCertificateTimestamps() as scts:
                for sct in scts:
                    yield "SCT", f"{sct.timestamp:%Y-%m-%d %H:%M:%S.%f} UTC, log {sct.log_id.hex()}"
            case x509.UnrecognizedExtension() as other:
                yield _fulcio_extension(other)
    yield "not before", f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"
    yield "not after", f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    yield "serial", f"{leaf.serial_number:x}"
    yield "SHA-256", leaf.fingerprint(hashes.SHA256()).hex()
    for certificate in chain[1:]:
        yield "signed by", certificate.subject.rfc4514_string()
    if ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS not in {e.oid for e in leaf.extensions}:
        yield "SCT", "none: this CA runs without a Certificate Transparency log"


def _general_name(name: x509.GeneralName) -> str:
    if isinstance(name, x509.OtherName):
        return name.value[2:].decode("utf-8", "replace")
    return str(name.value)


def _fulcio_extension(extension: x509.UnrecognizedExtension) -> tuple[str, str]:
    oid = extension.oid.dotted_string
    known = {candidate.oid: candidate for candidate in Extension}.get(oid)
    if known is None:
        return oid, extension.value.hex()
    content = extension.value if known.raw else _utf8_string(extension.value)
    return known.name.lower().replace("_", " "), content.decode("utf-8", "replace")


def _utf8_string(der: bytes) -> bytes:
    """The content of a DER UTF8String (X.690 §8.1.3: short and long form of the length)."""
    long_form = der[1] & 0x80
    return der[2 + (der[1] & 0x7F if long_form else 0) :]
