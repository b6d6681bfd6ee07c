"""Row 5: text that is not what it seems.

Expected: 400 for what no certificate may carry or two readers read differently, the answer within a moment; names are
compared and certified to the byte, and nothing is normalised into somebody else's name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.api.server import leaf
from tests.faults.issuing import Issuing, issuing
from tests.oidc.provider import Provider

ADDRESSES = [
    "ada\x00@example.com", "ada@example.com\x00", "ada\u202e@example.com", "ada\u200b@example.com", "ada@exa\u200bmple.com",
    "\ufeffada@example.com", "ada@example.com\n", "ada@example.com\r\nBcc: x@example.com", " ada@example.com", "ada@example.com ",
    "\u212aada@example.com", "ad\u0430@example.com", "ada@ex\u0430mple.com", "ada@b\u00fccher.example", "a\u0301da@example.com",
    "\u00e1da@example.com", '"ada"@example.com', '"a b"@example.com', "ada(comment)@example.com", "ada@example.com(comment)",
    "ada@x@example.com", "ada@example.com,eve@example.com", "Ada <ada@example.com>", "<ada@example.com>", "ada@[127.0.0.1]",
    "ada@", "@example.com", "ada", "", "ada@.example.com", "ada@example..com", "\U0001f600@example.com", "ada@\uff45xample.com",
]  # fmt: skip


@pytest.fixture
def served(tmp_path: Path, provider: Provider) -> Iterator[Issuing]:
    with issuing(tmp_path, provider) as running:
        yield running


def test_an_address_that_is_not_what_it_seems_is_refused(served: Issuing) -> None:
    for address in ADDRESSES:
        answer = served.answer(challenge=address, email=address)
        assert answer.status_code == 400, ascii(address)
        assert answer.json()["details"][0]["reason"] in {
            "CLAIM_INVALID", "CLAIM_MISSING", "IDENTITY_NOT_CERTIFIABLE",
        }, ascii(address)  # fmt: skip


def test_a_lone_surrogate_is_no_text(served: Issuing) -> None:
    for claim in ("email", "sub", "anything"):
        assert served.refusal(**{claim: "a\ud800b"}) == "TOKEN_MALFORMED"


def test_text_of_dots_and_at_signs_takes_a_moment(served: Issuing) -> None:
    served.answer()
    for address in (
        "." * 11_000,
        "@" * 11_000,
        "a." * 5_000 + "@example.com",
        "a@" + "b." * 5_000,
        '"' * 11_000,
        "(" * 11_000,
    ):
        started = time.process_time()
        assert served.answer(email=address).status_code == 400
        assert time.process_time() - started < 1, address[:10]


def test_names_that_look_alike_stay_apart(served: Issuing) -> None:
    for address in ("ada@example.com", "Ada@example.com", "ada+tag@example.com", "ADA@EXAMPLE.COM"):
        certificate = leaf(served.answer(challenge=address, email=address))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.RFC822Name(address)]


def test_a_proof_is_over_the_very_bytes_of_the_name(served: Issuing) -> None:
    for challenge in ("Ada@example.com", "ada@example.com\n", "\ufeffada@example.com", "ada@example.com\x00"):
        answer = served.answer(challenge=challenge)
        assert answer.json()["details"][0]["reason"] == "PROOF_FAILED", ascii(challenge)
