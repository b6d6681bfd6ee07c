"""The HTTP application: which path goes where."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import Field
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from ca.api import answers
from ca.api.edge import Edge, Methods
from ca.documents import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

    from ca.api.health import Health
    from ca.api.signing import Signing
    from ca.api.trust import Trust


class HTTPSettings(Settings):
    """`http:` in the server's configuration."""

    body_limit: int = Field(default=64 * 1024, ge=16 * 1024, le=4 * 1024 * 1024)
    """Bytes. The floor leaves room for the largest token with a CSR; the ceiling is Fulcio's own limit."""
    cors_origins: tuple[str, ...] = ("*",)
    """Web pages that may ask for certificates; `*` for any, as Fulcio has it. There are no cookies to protect."""


def application(signing: Signing, trust: Trust, health: Health, settings: HTTPSettings) -> Starlette:
    app = Starlette(
        routes=[
            Route("/api/v2/signingCert", Methods({"POST": signing.v2})),
            Route("/api/v2/trustBundle", Methods({"GET": trust.bundle})),
            Route("/api/v2/configuration", Methods({"GET": trust.configuration})),
            Route("/api/v1/signingCert", Methods({"POST": signing.v1})),
            Route("/api/v1/rootCert", Methods({"GET": trust.root_cert})),
            Route("/healthz", Methods({"GET": health.healthz})),
            Route("/livez", Methods({"GET": health.livez})),
            Route("/readyz", Methods({"GET": health.readyz})),
            Route("/openapi.json", Methods({"GET": _openapi})),
        ],
        middleware=[
            Middleware(Edge),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "HEAD"],
                allow_headers=["Accept", "Authorization", "Content-Type", "X-Requested-With", "X-Request-Id"],
                expose_headers=["X-Request-Id", "Retry-After"],
            ),
        ],
        exception_handlers={404: _not_found},
    )
    # A trailing slash is another path, as with grpc-gateway; a redirect would turn a POST into a GET.
    app.router.redirect_slashes = False
    return app


async def _not_found(_request: Request, _error: Exception) -> Response:
    return answers.not_found()


async def _openapi(_request: Request) -> Response:
    return Response(files("ca.api").joinpath("openapi.json").read_bytes(), media_type="application/json")
