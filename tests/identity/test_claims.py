from __future__ import annotations

import pytest

from ca.errors import ClaimInvalid, ClaimMissing
from ca.identity.claims import forbidden_character, optional_string, required_string, scalar_text, subject


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("żółć 🐢\u00a0", "żółć 🐢\u00a0"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (2**53 + 1, "9007199254740993"),
        (2**64 + 1, "18446744073709551617"),
        (1.0, "1"),
        (-0.0, "-0"),
        (1.4, "1.4"),
        (0.1, "0.1"),
        (1e6, "1000000"),
        (1753000000.0, "1753000000"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (5e-324, "0." + "0" * 323 + "5"),
    ],
)
def test_strings_booleans_and_numbers_are_texts(value: object, text: str) -> None:
    assert scalar_text("claim", value) == text


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": 1}, float("nan"), float("inf"), float("-inf"), b"bytes"])
def test_nothing_else_is_a_text(value: object) -> None:
    with pytest.raises(ClaimInvalid, match="run_id claim") as refusal:
        scalar_text("run_id", value)
    assert refusal.value.metadata == {"claim": "run_id"}


def test_a_number_too_long_to_be_an_identifier_is_not_printed() -> None:
    with pytest.raises(ClaimInvalid, match="run_id claim is a number too large"):
        scalar_text("run_id", 10**5000)


@pytest.mark.parametrize(
    "character", ["\x00", "\t", "\n", "\x1f", "\x7f", "\x85", "\xad", "\u200b", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff", "\ud800", "\U000e0041"]
)  # fmt: skip
def test_invisible_and_controlling_characters_are_refused(character: str) -> None:
    assert forbidden_character(f"ż{character}") == character
    for read in (optional_string, required_string, lambda claims, claim: scalar_text(claim, claims[claim])):
        with pytest.raises(ClaimInvalid, match=rf"workflow claim contains U\+{ord(character):04X}"):
            read({"workflow": f"a{character}"}, "workflow")


@pytest.mark.parametrize(
    "text", ["", "a b", "ż", "中文", "🐢", "e\u0301", "\u00a0", "\ue000", "👩\u200d💻 CI", "می\u200cخواهم"]
)
def test_every_other_character_passes(text: str) -> None:
    assert forbidden_character(text) is None


@pytest.mark.parametrize("value", [5, 1.5, True, [], {}, ["a"]])
def test_a_string_claim_of_another_type_is_invalid(value: object) -> None:
    for read in (optional_string, required_string):
        with pytest.raises(ClaimInvalid, match="ref claim must be a string") as refusal:
            read({"ref": value}, "ref")
        assert refusal.value.metadata == {"claim": "ref"}


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sub": ""}, {"Sub": "x"}])
def test_an_absent_null_or_empty_claim_is_missing(claims: dict[str, object]) -> None:
    assert optional_string(claims, "sub") == ""
    with pytest.raises(ClaimMissing, match="missing sub claim in ID token") as refusal:
        subject(claims)
    assert refusal.value.metadata == {"claim": "sub"}


def test_the_value_is_not_in_the_error() -> None:
    for value in (["secret"], {"secret": 1}, "secret\x00"):
        with pytest.raises(ClaimInvalid) as refusal:
            scalar_text("claim", value)
        assert "secret" not in refusal.value.public_message
