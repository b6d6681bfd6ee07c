"""Claims as text: what a certificate can carry of a token's payload."""

from __future__ import annotations

import math
import unicodedata
from decimal import Decimal

from ca.errors import ClaimInvalid, ClaimMissing
from ca.identity.model import Claims

_MOST_BITS = 512
"""Of an integer: no identifier is longer, and printing a number takes time quadratic in its length."""

JOINERS = "\u200c\u200d"
"""Persian, several Indian scripts and many emoji cannot be written without them (UAX #31 §2.3, UTS #51 §2.2)."""


def forbidden_character(text: str) -> str | None:
    """The first control, format, surrogate or line separating character (Unicode Cc, Cf, Cs, Zl, Zp) but joiners.

    They end lines, reverse text, hide or do not encode to UTF-8: what a person reads would not be what is signed.
    """
    if text.isprintable():
        return None
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS:
            return character
    return None


def printable(claim: str, text: str) -> str:
    """The text itself. Raises ClaimInvalid."""
    if character := forbidden_character(text):
        problem = f"{claim} claim contains U+{ord(character):04X}, which is invisible or controls its surroundings"
        raise ClaimInvalid(f"{problem}; no certificate can carry it", claim=claim)
    return text


def optional_string(claims: Claims, claim: str) -> str:
    """A string claim; empty where it is absent or null. Raises ClaimInvalid for every other type."""
    value = claims.get(claim)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ClaimInvalid(f"{claim} claim must be a string, not {json_type(value)}", claim=claim)
    return printable(claim, value)


def required_string(claims: Claims, claim: str) -> str:
    """A string claim that is not empty. Raises ClaimMissing or ClaimInvalid."""
    if value := optional_string(claims, claim):
        return value
    raise ClaimMissing(f"missing {claim} claim in ID token", claim=claim)


def subject(claims: Claims) -> str:
    """The token's `sub`, which OpenID Connect Core §2 requires. Raises ClaimMissing or ClaimInvalid."""
    return required_string(claims, "sub")


def scalar_text(claim: str, value: object) -> str:
    """A string, boolean or number as Fulcio prints it, integers exact. Raises ClaimInvalid for anything else."""
    match value:
        case str():
            return printable(claim, value)
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() <= _MOST_BITS:
            return str(value)
        case float() if math.isfinite(value):
            return _fixed_point(value)
        case int() | float():
            raise ClaimInvalid(f"{claim} claim is a number too large to print", claim=claim)
    raise ClaimInvalid(f"{claim} claim must be a string, boolean or number, not {json_type(value)}", claim=claim)


def _fixed_point(value: float) -> str:
    """Go's `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits that read back, never an exponent."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def json_type(value: object) -> str:
    """For errors: the value itself may be private."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
    return "an object"
