"""The PEM that clients send: RFC 7468 with the leniency of Go's `encoding/pem`."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

# RFC 7468 §3 (laxtextual): text around the block, CRLF, base64 lines of any length, no newline at the end. RFC 1421
# §4.6: header lines, which mean nothing here.
# Possessive quantifiers and a label without a colon or dash keep matching linear in the size of the input.
_BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]*+)-----[ \t]*+\r?\n(?:[^:\n]*+:[^\n]*+\n)*+"
    rb"([A-Za-z0-9+/=\s]*+)(?<=\n)-----END \1-----[ \t]*+\r?$",
    re.MULTILINE,
)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,32})-----")


class Block(NamedTuple):
    """What stood between BEGIN and END."""

    label: str
    der: bytes

    @property
    def quoted_label(self) -> str:
        """For errors, shortened: longer than any label in use, and too short for a key."""
        return repr(self.label[:32])


def first_block(text: bytes) -> Block | None:
    """The first well-formed block; None where there is none."""
    for match in _BLOCK.finditer(text):
        label, body = match.groups()
        try:
            der = binascii.a2b_base64(body.translate(None, b" \t\r\n"), strict_mode=True)
        except binascii.Error:
            continue
        return Block(label.decode("ascii"), der)
    return None


def what_it_is(unverified: bytes) -> str:
    """Words for input that holds no well-formed block, to tell a broken PEM from something else."""
    if not unverified:
        return "nothing was sent"
    if begin := _BEGIN.search(unverified):
        return f"a PEM {begin[1].decode('ascii')!r} block that is cut short or not base64 was sent"
    return "no PEM block was found"
