"""Go's `net/url`: the form in which a certificate carries a URI.

Fulcio writes `url.Parse(s).String()` into the SAN, and verifiers compare what they find there with what they expect
character by character, so the algorithm is Go's to the byte, RFC 3986 or not (https://pkg.go.dev/net/url, Go 1.26).
Everything works on bytes, as Go's strings do: `%ff` decodes to something that is not UTF-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from ca.identity.go_quote import quote


class URLError(ValueError):
    """The message is Go's: `parse "https://h/%zz": invalid URL escape "%zz"`."""


class _PartError(ValueError):
    """The part of Go's message after the URL."""


@dataclass(frozen=True, slots=True)
class _Mode:
    """What one part of a URL may contain; each pattern finds a byte that it may not."""

    escaped: re.Pattern[bytes]
    """Bytes that Go escapes when it writes this part."""
    unacceptable: re.Pattern[bytes]
    """Bytes that keep Go from writing this part as it was read."""


def _mode(written_bare: bytes, accepted: bytes = b"") -> _Mode:
    unreserved = rb"A-Za-z0-9\-_.~"
    return _Mode(
        escaped=re.compile(b"[^" + unreserved + re.escape(written_bare) + b"]"),
        unacceptable=re.compile(b"[^" + unreserved + re.escape(written_bare + accepted) + b"]"),
    )


_PATH: Final = _mode(b"$&+,/:;=@", b"!'()*[]%")
_FRAGMENT: Final = _mode(b"$&+,/:;=?@!()*", b"'[]%")
_USERINFO: Final = _mode(b"$&+,;=")
_HOST: Final = _mode(b"!$&'()*+,;=:[]<>\"")

_ESCAPE: Final = re.compile(rb"%(?:([0-9A-Fa-f]{2})|.{0,2})", re.DOTALL)
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)?:")
_PORT: Final = re.compile(rb"(?::[0-9]*)?")
_USERINFO_BYTES: Final = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class URL:
    """A URL in the parts that Go tells apart, each escaped as `str()` writes it."""

    scheme: bytes = b""
    opaque: bytes = b""
    """Everything between scheme and query where that does not begin with a slash: `repo:o/r` of `x:repo:o/r`."""
    userinfo: bytes | None = None
    host: bytes = b""
    """With port, and unescaped."""
    path: bytes = b""
    query: bytes | None = None
    fragment: bytes = b""
    host_omitted: bool = False
    """Whether the URL is of the form `scheme:/path`."""

    @property
    def hostname(self) -> bytes:
        """The host without port and brackets."""
        host, colon, port = self.host.rpartition(b":")
        if not (colon and _PORT.fullmatch(colon + port)):
            host = self.host
        return host[1:-1] if host.startswith(b"[") and host.endswith(b"]") else host

    def join_path(self, *elements: str) -> URL:
        """Go's `JoinPath`: slashes and dot segments are cleaned away, a `?` or `#` is part of the path."""
        parts = [self.path, *(element.encode("utf-8", "surrogatepass") for element in elements)]
        segments: list[bytes] = []
        for segment in b"/".join(parts).split(b"/"):
            if segment == b"..":
                del segments[-1:]
            elif segment not in (b"", b"."):
                segments.append(segment)
        path = (b"/" if self.path.startswith(b"/") else b"") + b"/".join(segments)
        if parts[-1].endswith(b"/") and not path.endswith(b"/"):
            path += b"/"
        try:
            return replace(self, path=_canonical(path, _PATH))
        except _PartError as invalid:
            raise URLError(f"parse {quote(bytes(replace(self, path=path)))}: {invalid}") from None

    def __bytes__(self) -> bytes:
        prefix = self.scheme + b":" if self.scheme else b""
        suffix = (b"" if self.query is None else b"?" + self.query) + (self.fragment and b"#" + self.fragment)
        if self.opaque:
            return prefix + self.opaque + suffix
        prefix += self._authority()
        path = self.path
        if path[:1] not in (b"", b"/") and self.host:
            path = b"/" + path
        if not prefix and b":" in path.partition(b"/")[0]:  # RFC 3986 §4.2: it would read as a scheme
            path = b"./" + path
        return prefix + path + suffix

    def __str__(self) -> str:
        return bytes(self).decode("utf-8", "surrogatepass")

    def _authority(self) -> bytes:
        if self.userinfo is not None:
            return b"//" + self.userinfo + b"@" + _escape(self.host, _HOST)
        if self.host:
            return b"//" + _escape(self.host, _HOST)
        return b"//" if self.scheme and self.path and not self.host_omitted else b""


def parse(text: str) -> URL:
    """Go's `url.Parse`. Raises URLError."""
    raw = text.encode("utf-8", "surrogatepass")
    before, _, fragment = raw.partition(b"#")
    try:
        url = _parse(before)
    except _PartError as invalid:
        raise URLError(f"parse {quote(before)}: {invalid}") from None
    try:
        return replace(url, fragment=_canonical(fragment, _FRAGMENT)) if fragment else url
    except _PartError as invalid:
        raise URLError(f"parse {quote(raw)}: {invalid}") from None


def _parse(raw: bytes) -> URL:
    if _CONTROL.search(raw):
        raise _PartError("net/url: invalid control character in URL")
    if raw == b"*":
        return URL(path=raw)
    scheme, rest = _split_scheme(raw)
    rest, mark, after = rest.partition(b"?")
    query = after if mark else None
    if not rest.startswith(b"/"):
        if scheme:
            return URL(scheme=scheme, opaque=rest, query=query)
        if b":" in rest.partition(b"/")[0]:
            raise _PartError("first path segment in URL cannot contain colon")
    userinfo, host = None, b""
    has_authority = rest.startswith(b"//") and (scheme or not rest.startswith(b"///"))
    if has_authority:
        authority, slash, path = rest[2:].partition(b"/")
        userinfo, host = _parse_authority(authority, strict_port=scheme in (b"http", b"https"))
        rest = slash + path
    return URL(
        scheme=scheme,
        userinfo=userinfo,
        host=host,
        path=_canonical(rest, _PATH),
        query=query,
        host_omitted=bool(scheme) and not has_authority and rest.startswith(b"/"),
    )


def _split_scheme(raw: bytes) -> tuple[bytes, bytes]:
    match = _SCHEME.match(raw)
    if match is None:
        return b"", raw
    if match[1] is None:
        raise _PartError("missing protocol scheme")
    return match[1].lower(), raw[match.end() :]


def _parse_authority(authority: bytes, *, strict_port: bool) -> tuple[bytes | None, bytes]:
    userinfo, at, host = authority.rpartition(b"@")
    host = _parse_host(host, strict_port=strict_port)
    if not at:
        return None, host
    if not _USERINFO_BYTES.fullmatch(userinfo):
        raise _PartError("net/url: invalid userinfo")
    name, colon, password = userinfo.partition(b":")
    return _canonical(name, _USERINFO) + colon + _canonical(password, _USERINFO), host


def _parse_host(host: bytes, *, strict_port: bool) -> bytes:
    bracket = host.rfind(b"[")
    if bracket > 0:
        raise _PartError("invalid IP-literal")
    if bracket == 0:
        return _parse_ip_literal(host)
    colon = host.find(b":") if strict_port else host.rfind(b":")
    if colon >= 0:
        _require_port(host[colon:])
    return _unescape_host(host)


def _parse_ip_literal(host: bytes) -> bytes:
    """RFC 3986 §3.2.2 and, for the zone after `%25`, RFC 6874 §2."""
    literal, closed, port = host[1:].rpartition(b"]")
    if not closed:
        raise _PartError("missing ']' in host")
    _require_port(port)
    address, percent, zone = literal.partition(b"%25")
    name = _unescape_host(address) + (_unescape_zone(percent + zone) if percent else b"")
    address, percent, zone = name.partition(b"%")
    try:
        IPv6Address(address.decode("ascii"))
    except (AddressValueError, UnicodeDecodeError):
        raise _PartError(f"invalid host: {quote(name)} is no IPv6 address") from None
    if percent and not zone:
        raise _PartError(f"invalid host: {quote(name)} has an empty zone")
    return b"[" + name + b"]" + port


def _require_port(port: bytes) -> None:
    if not _PORT.fullmatch(port):
        raise _PartError(f"invalid port {quote(port)} after host")


def _unescape_host(host: bytes) -> bytes:
    """In a host only bytes beyond ASCII may be escaped, and the percent sign that begins an IPv6 zone."""
    position = 0
    for escape in _ESCAPE.finditer(host):
        _require_host_bytes(host[position : escape.start()])
        byte = _escaped_byte(escape)
        if byte < b"\x80" and byte != b"%":
            raise _PartError(f"invalid URL escape {quote(escape[0])}")
        position = escape.end()
    _require_host_bytes(host[position:])
    return _unescape(host)


def _unescape_zone(zone: bytes) -> bytes:
    position = 0
    for escape in _ESCAPE.finditer(zone):
        _require_host_bytes(zone[position : escape.start()])
        byte = _escaped_byte(escape)
        if byte not in (b"%", b" ") and _HOST.escaped.match(byte):
            raise _PartError(f"invalid URL escape {quote(escape[0])}")
        position = escape.end()
    _require_host_bytes(zone[position:])
    return _unescape(zone)


def _require_host_bytes(part: bytes) -> None:
    for match in _HOST.escaped.finditer(part):
        if match[0] < b"\x80":
            raise _PartError(f"invalid character {quote(match[0])} in host name")


def _canonical(part: bytes, mode: _Mode) -> bytes:
    """As Go writes the part: as it was read if every byte of it may stand there, else escaped anew."""
    decoded = _unescape(part)
    if part == b"%2A" and mode is _PATH:  # https://go.dev/issue/11202
        return decoded
    return _escape(decoded, mode) if mode.unacceptable.search(part) else part


def _unescape(part: bytes) -> bytes:
    return _ESCAPE.sub(_escaped_byte, part) if b"%" in part else part


def _escaped_byte(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        raise _PartError(f"invalid URL escape {quote(escape[0])}")
    return bytes.fromhex(escape[1].decode())


def _escape(part: bytes, mode: _Mode) -> bytes:
    return mode.escaped.sub(lambda match: b"%%%02X" % match[0][0], part)
