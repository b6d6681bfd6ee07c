from __future__ import annotations

import pytest

from ca.errors import ClaimInvalid
from ca.identity.username import Username


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_a_name_with_an_invisible_joiner_is_refused(joiner: str) -> None:
    with pytest.raises(ClaimInvalid, match="joiner"):
        Username("example.com").identify("https://issuer.example.com", {"sub": f"ada{joiner}"})
