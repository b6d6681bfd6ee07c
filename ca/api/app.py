"""The HTTP application: which path goes where."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ca.api.edge import Dispatch, Edge
from ca.api.tuf import PREFIX
from ca.http.forwarded import Forwarded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ca.api.ctlog import CTLogEndpoints
    from ca.api.edge import Handler
    from ca.api.health import Health
    from ca.api.signing import Signing
    from ca.api.timestamp import Timestamps
    from ca.api.trust import Trust
    from ca.api.tuf import TUFFiles
    from ca.http.settings import HTTPSettings


def application(
    signing: Signing,
    trust: Trust,
    health: Health,
    settings: HTTPSettings,
    ctlog: CTLogEndpoints | None = None,
    timestamps: Timestamps | None = None,
    tuf: TUFFiles | None = None,
) -> ASGIApp:
    """Dayfly's API as an ASGI application.

    `ctlog` where the log is in this process; `timestamps` and `tuf` where this server has them.
    """
    routes: dict[str, Mapping[str, Handler]] = {
        "/api/v2/signingCert": {"POST": signing.v2},
        "/api/v2/trustBundle": {"GET": trust.bundle},
        "/api/v2/configuration": {"GET": trust.configuration},
        "/api/v2/trustedRoot": {"GET": trust.trusted_root},
        "/api/v2/signingConfig": {"GET": trust.signing_config},
        "/api/v1/signingCert": {"POST": signing.v1},
        "/api/v1/rootCert": {"GET": trust.root_cert},
        **_probes(health),
        "/openapi.json": {"GET": _openapi},
    }
    if timestamps:
        routes |= {
            "/api/v1/timestamp": {"POST": timestamps.stamp},
            "/api/v1/timestamp/certchain": {"GET": timestamps.certchain},
        }
    below: dict[str, Handler] = {PREFIX: tuf.file} if tuf else {}
    if ctlog:
        routes |= ctlog.routes
        below |= ctlog.below
    return _edge(Dispatch(routes, below), settings)


def log_application(ctlog: CTLogEndpoints, health: Health, settings: HTTPSettings) -> ASGIApp:
    """The log alone, for a CA elsewhere."""
    return _edge(Dispatch({**_probes(health), **ctlog.routes}, ctlog.below), settings)


def _probes(health: Health) -> Mapping[str, Mapping[str, Handler]]:
    return {
        "/healthz": {"GET": health.healthz},
        "/livez": {"GET": health.livez},
        "/readyz": {"GET": health.readyz},
    }


def _edge(dispatch: Dispatch, settings: HTTPSettings) -> ASGIApp:
    cors = CORSMiddleware(
        dispatch,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "HEAD"],
        allow_headers=["Accept", "Authorization", "Content-Type", "X-Requested-With", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy"],
    )
    edge = Edge(dispatch, cors, settings.log_client)
    return Forwarded(edge, settings.proxies) if settings.trusted_proxies else edge


async def _openapi(_request: Request) -> Response:
    return Response(files("ca.api").joinpath("openapi.json").read_bytes(), media_type="application/json")
