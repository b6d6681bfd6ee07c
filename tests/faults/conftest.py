from __future__ import annotations

from tests.oidc.conftest import provider, shared_provider

__all__ = ["provider", "shared_provider"]
