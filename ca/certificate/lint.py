"""The second opinion: read back what was written, with another library, and compare it with what was asked.

Shares no code with the writer. pyca/cryptography says what a client will read; where it reads two encodings as the
same value, the bytes themselves are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.x509.oid import ExtensionOID

from ca.errors import Misissuance
from ca.identity.model import EmailName, URIName, UserName

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from ca.certificate.chain import Chain
    from ca.identity.model import Identity, SubjectAlternativeName
    from ca.proof.model import ProvenKey

_VERSION_3: Final = bytes.fromhex("a003020102")
_EMPTY_NAME: Final = bytes.fromhex("3000")
_USAGES: Final = bytes.fromhex(
    "300e 0603551d0f 0101ff 0404 03020780"  # keyUsage, critical: digitalSignature
    "3013 0603551d25 040c 300a 06082b06010505070303"  # extKeyUsage: codeSigning
)
"""As bytes, because a BIT STRING of flags has more than one encoding that readers take."""
_POISON: Final = bytes.fromhex("3013 060a2b06010401d679020403 0101ff 0402 0500")  # RFC 6962 §3.1
_SCT_LIST: Final = bytes.fromhex("060a 2b06010401d679020402")  # RFC 6962 §3.3

_ECDSA: Final = {
    "secp256r1": (bytes.fromhex("300a 06082a8648ce3d040302"), ECDSA(SHA256())),
    "secp384r1": (bytes.fromhex("300a 06082a8648ce3d040303"), ECDSA(SHA384())),
    "secp521r1": (bytes.fromhex("300a 06082a8648ce3d040304"), ECDSA(SHA512())),
}
_RSA: Final = bytes.fromhex("300d 06092a864886f70d01010b 0500")
_ED25519: Final = bytes.fromhex("3005 06032b6570")

_FULCIO: Final = {number: x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}") for number in range(1, 25)}
_ISSUER, _USER_NAME, _ISSUER_V2, _TOKEN_SUBJECT = 1, 7, 8, 24
_RAW: Final = range(1, 7)
"""Extensions whose value is bare UTF-8; the others hold a UTF8String."""

_MAX_SERIAL: Final = 2**159 - 1


def check(  # noqa: PLR0913 - all that was asked for
    certificate: bytes,
    *,
    identity: Identity,
    key: ProvenKey,
    chain: Chain,
    serial: int,
    not_before: datetime,
    lifetime: timedelta,
    precertificate: bytes | None,
    sct_list: bytes | None,
) -> None:
    """Raises Misissuance unless `certificate` (DER) is exactly what the other arguments ask for.

    `not_before` is cut to whole seconds, and the end to the chain's. `precertificate` (DER) and `sct_list` (TLS
    encoding, of one SCT) come together, or neither where CT is switched off. The precertificate is compared with the
    certificate; its signature is the log's to check.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        fields = _elements(_content(read.tbs_certificate_bytes if sct_list is None else read.tbs_precertificate_bytes))
        _check_fields(fields, chain, serial, not_before, lifetime)
        _equal("public key", fields[6], key.spki)
        _check_extensions(read, identity, key, chain, sct_list)
        _equal("key usages' encoding", _content(_content(fields[7]))[: len(_USAGES)], _USAGES)
        _check_precertificate(precertificate, fields, sct_list)
        tbs = _tbs(fields, b"" if sct_list is None else _sct_extension(sct_list))
        _check_outside("certificate", certificate, tbs, fields[2])
        _verify(chain.certificates[0].public_key(), read.signature, tbs)
    except Misissuance:
        raise
    except InvalidSignature as problem:
        raise Misissuance("the signature is not by the issuing key") from problem
    except Exception as problem:  # whatever makes a reader stumble makes a client stumble
        raise Misissuance("the certificate cannot be read back") from problem


def _check_fields(fields: list[bytes], chain: Chain, serial: int, not_before: datetime, lifetime: timedelta) -> None:
    """RFC 5280 §4.1.2."""
    if len(fields) != 8:
        raise Misissuance(f"the certificate has {len(fields)} fields; expected 8")
    start = not_before.replace(microsecond=0)
    end = min(start + lifetime, *(certificate.not_valid_after_utc for certificate in chain.certificates))
    times = _time(start) + _time(end)
    if not 0 < serial <= _MAX_SERIAL:
        raise Misissuance("the serial number is not positive, or longer than 20 octets")
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    _equal("version", fields[0], _VERSION_3)
    _equal("serial number", fields[1], _element(0x02, octets))
    _equal("signature algorithm", fields[2], _signature_algorithm(chain.certificates[0].public_key()))
    _equal("issuer", fields[3], chain.issuer)
    _equal("validity", fields[4], _element(0x30, times))
    _equal("subject", fields[5], _EMPTY_NAME)


def _check_extensions(
    read: x509.Certificate, identity: Identity, key: ProvenKey, chain: Chain, sct_list: bytes | None
) -> None:
    """A closed list in a fixed order; only key usage and SAN are critical."""
    authority = _authority(chain.certificates[0])
    fulcio = _fulcio(identity)
    expected: list[tuple[x509.ObjectIdentifier, bool]] = [
        (ExtensionOID.KEY_USAGE, True),
        (ExtensionOID.EXTENDED_KEY_USAGE, False),
        (ExtensionOID.SUBJECT_KEY_IDENTIFIER, False),
        *([(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, False)] if authority else []),
        (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, True),
        *((_FULCIO[number], False) for number, _ in fulcio),
        *([(ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, False)] if sct_list is not None else []),
    ]
    extensions = list(read.extensions)
    _equal("extensions", [(extension.oid, extension.critical) for extension in extensions], expected)

    values = iter([extension.value for extension in extensions[2:]])  # the key usages are compared as bytes
    _equal("subject key identifier", next(values), x509.SubjectKeyIdentifier.from_public_key(key.public_key))
    if authority:
        _equal("authority key identifier", next(values), authority)
    _check_name(next(values), identity.subject_alt_name)
    for number, value in fulcio:
        if next(values).public_bytes() != value:
            raise Misissuance(f"the extension {_FULCIO[number].dotted_string} is not what was asked")
    if sct_list is not None:
        _check_sct(next(values), sct_list)


def _check_name(value: x509.ExtensionType, asked: SubjectAlternativeName) -> None:
    assert isinstance(value, x509.SubjectAlternativeName)
    match list(value), asked:
        case ([x509.RFC822Name(value=read)], EmailName(name)) | (
            [x509.UniformResourceIdentifier(value=read)],
            URIName(name),
        ):
            _equal("subject alternative name", read, name)
        case [x509.OtherName(type_id=kind, value=read)], UserName(name):
            _equal("subject alternative name", (kind, read), (_FULCIO[_USER_NAME], _utf8_string(name)))
        case _:
            raise Misissuance("the subject alternative name is not one name of the kind that was asked")


def _check_sct(value: x509.ExtensionType, sct_list: bytes) -> None:
    assert isinstance(value, x509.PrecertificateSignedCertificateTimestamps)
    if len(value) != 1:
        raise Misissuance(f"the certificate holds {len(value)} SCTs; sigstore clients take exactly one")
    _equal("SCT", value.public_bytes(), _element(0x04, sct_list))


def _check_precertificate(precertificate: bytes | None, fields: list[bytes], sct_list: bytes | None) -> None:
    """RFC 6962 §3.1, §3.2: the same TBSCertificate, with the poison at its end."""
    if precertificate is None or sct_list is None:
        if precertificate is not sct_list:
            raise Misissuance("there is an SCT without a precertificate, or the other way round")
        return
    _check_outside("precertificate", precertificate, _tbs(fields, _POISON), fields[2])


def _tbs(fields: list[bytes], last: bytes) -> bytes:
    """The TBSCertificate of these fields, the extensions being their last, with one extension more at its end."""
    extensions = _element(0xA3, _element(0x30, _content(_content(fields[-1])) + last))
    return _element(0x30, b"".join(fields[:-1]) + extensions)


def _sct_extension(sct_list: bytes) -> bytes:
    """RFC 6962 §3.3: an OCTET STRING within the extension's own."""
    return _element(0x30, _SCT_LIST + _element(0x04, _element(0x04, sct_list)))


def _check_outside(what: str, certificate: bytes, tbs: bytes, algorithm: bytes) -> None:
    """RFC 5280 §4.1.1, as bytes: readers do not look at the number of unused bits in a signature."""
    _, _, signature = _elements(_content(certificate))
    start, _ = _header(signature, 0)
    bits = _element(0x03, b"\0" + signature[start + 1 :])
    _equal(what, certificate, _element(0x30, tbs + algorithm + bits))


def _fulcio(identity: Identity) -> list[tuple[int, bytes]]:
    """https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md, ascending."""
    texts = [(int(number), text) for number, text in identity.extensions.items()]
    texts += [(_ISSUER, identity.issuer), (_ISSUER_V2, identity.issuer)]
    if identity.subject:
        texts.append((_TOKEN_SUBJECT, identity.subject))
    return [(number, text.encode() if number in _RAW else _utf8_string(text)) for number, text in sorted(texts)]


def _authority(issuing: x509.Certificate) -> x509.AuthorityKeyIdentifier | None:
    try:
        identifier = issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return x509.AuthorityKeyIdentifier(identifier.digest, None, None)


def _signature_algorithm(issuing_key: CertificatePublicKeyTypes) -> bytes:
    match issuing_key:
        case EllipticCurvePublicKey():
            return _ECDSA[issuing_key.curve.name][0]
        case RSAPublicKey():
            return _RSA
        case Ed25519PublicKey():
            return _ED25519
    raise Misissuance("the issuing key is neither ECDSA nor RSA nor Ed25519")


def _verify(issuing_key: CertificatePublicKeyTypes, signature: bytes, tbs: bytes) -> None:
    match issuing_key:
        case EllipticCurvePublicKey():
            issuing_key.verify(signature, tbs, _ECDSA[issuing_key.curve.name][1])
        case RSAPublicKey():
            issuing_key.verify(signature, tbs, PKCS1v15(), SHA256())
        case _:
            assert isinstance(issuing_key, Ed25519PublicKey)
            issuing_key.verify(signature, tbs)


def _equal(what: str, read: object, asked: object) -> None:
    if read != asked:
        raise Misissuance(f"the {what} is not what was asked")


# ---- DER, X.690 §8.1, of what pyca has accepted as DER ---------------------------------------------------------


def _time(moment: datetime) -> bytes:
    """RFC 5280 §4.1.2.5."""
    if moment.year < 2050:
        return _element(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return _element(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def _utf8_string(text: str) -> bytes:
    return _element(0x0C, text.encode())


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _content(element: bytes) -> bytes:
    return element[_header(element, 0)[0] :]


def _elements(content: bytes) -> list[bytes]:
    elements = []
    position = 0
    while position < len(content):
        _, end = _header(content, position)
        elements.append(content[position:end])
        position = end
    return elements


def _header(octets: bytes, position: int) -> tuple[int, int]:
    """Where the content of the element at `position` starts and ends."""
    size = octets[position + 1]
    start = position + 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(octets[position + 2 : start], "big")
    return start, start + size
