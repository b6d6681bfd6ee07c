"""The addresses that servers listen at."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

MAX_PORT = 65535


def _address(value: Any) -> Any:
    """Before pydantic's own check of the type, since `listen: 5555` is a number in YAML."""
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", str(value)):
        raise ValueError("write HOST:PORT, such as 127.0.0.1:5555 or [::1]:5555")
    if int(value.rpartition(":")[2]) > MAX_PORT:
        raise ValueError(f"a port is at most {MAX_PORT}")
    return value


Address = Annotated[str, BeforeValidator(_address)]
"""HOST:PORT, an IPv6 host in brackets."""
