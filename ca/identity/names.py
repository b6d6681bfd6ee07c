"""The names that a certificate can carry: which texts are one, and in what form they are written."""

from __future__ import annotations

import re
from typing import Final

from ca.errors import IdentityNotCertifiable
from ca.identity.go_quote import quote
from ca.identity.go_url import URL, URLError, parse
from ca.identity.model import EmailName, URIName

_WRITTEN_AS_READ: Final = re.compile(
    r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:/[A-Za-z0-9\-_.~$&+,/:;=@]*)?",
)
"""The usual URI, in which Go changes nothing."""

_BEYOND_ASCII: Final = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
"""What govalidator takes for a letter; these addresses are recognised, and refused where ASCII is needed."""
_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{_BEYOND_ASCII}]+"
_LABEL: Final = rf"[A-Za-z0-9{_BEYOND_ASCII}](?:[A-Za-z0-9_{_BEYOND_ASCII}\-]*[A-Za-z0-9{_BEYOND_ASCII}])?"
_TOP_LABEL: Final = rf"[A-Za-z{_BEYOND_ASCII}](?:[A-Za-z0-9_{_BEYOND_ASCII}\-]*[A-Za-z{_BEYOND_ASCII}])?"
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)+{_TOP_LABEL}\.?")


def is_email(text: str) -> bool:
    """`local@domain.tld`, RFC 5321 §4.1.2 without quoted local parts; the domain needs a dot, as in Fulcio."""
    local, at, domain = text.rpartition("@")
    return bool(at and _LOCAL_PART.fullmatch(local) and _DOMAIN.fullmatch(domain))


def email_name(address: str) -> EmailName:
    """Raises IdentityNotCertifiable: rfc822Name is an IA5String (RFC 5280 §4.2.1.6)."""
    _require_ascii(address)
    return EmailName(address)


def uri_name(text: str) -> URIName:
    """The URI as a certificate carries it. Raises IdentityNotCertifiable."""
    if _WRITTEN_AS_READ.fullmatch(text):
        return URIName(text)
    try:
        return written(parse(text))
    except URLError as error:
        raise IdentityNotCertifiable(str(error)) from None


def written(url: URL) -> URIName:
    """The same of a URL that has been parsed.

    What Go writes, it does not always read back: the checks are on what verifiers will parse. Raises
    IdentityNotCertifiable.
    """
    text = str(url)
    _require_ascii(text)
    try:
        reread = parse(text)
    except URLError as error:
        raise IdentityNotCertifiable(str(error)) from None
    if str(reread) != text:
        raise IdentityNotCertifiable(f"{quote(text)} is another URI when it is parsed again: {quote(str(reread))}")
    if not reread.scheme:  # RFC 5280 §4.2.1.6
        raise IdentityNotCertifiable(f"{quote(text)} has no scheme; a certificate names absolute URIs only")
    if reread.userinfo is not None:
        raise IdentityNotCertifiable(f"{quote(text)} has userinfo before its host, which reads like another host")
    if reread.host and not all(map(_is_label, reread.host.split(b"."))):
        raise IdentityNotCertifiable(f"{quote(text)} has a host that is no domain name")
    return URIName(text)


def _is_label(label: bytes) -> bool:
    """What Go's crypto/x509 asks of the host of a URI before it reads the certificate at all."""
    return bool(label) and all(32 < byte < 127 for byte in label)


def _require_ascii(text: str) -> None:
    if not text.isascii():
        problem = f"x509: {quote(text)} cannot be encoded as an IA5String"
        raise IdentityNotCertifiable(f"{problem}; use a name in ASCII")
