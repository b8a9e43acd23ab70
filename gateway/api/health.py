"""Health for probes and people, and the metrics."""

import asyncio
import time

from litestar import MediaType, Response, get
from litestar.di import NamedDependency

from gateway.api.schemas import Component, Health
from gateway.services import Services
from infra.errors import DatabaseUnavailable

DEADLINE_SECONDS = 2.0
NO_STORE = {"Cache-Control": "no-store"}


@get("/health/live", summary="Does the process run", tags=["health"])
async def live() -> Health:
    """200 as long as the event loop turns."""
    return Health("ok")


@get("/health/ready", summary="Should traffic come here", tags=["health"])
async def ready(services: NamedDependency[Services]) -> Response[Health]:
    """200 when database, tasks and (if used) Redis work; 503 otherwise and while draining.

    Redis being away is reported and not fatal: streams go on from the log.
    """
    tasks = sorted(services.supervisor.failing)
    checks = {
        "database": await _database(services),
        "bus": Component("ok") if await services.bus.ping() else Component("failing", detail="streams use the log"),
        "tasks": Component("failing", detail=", ".join(tasks)) if tasks else Component("ok"),
    }
    if services.hub.draining:
        return _answer(Health("draining", checks))
    works = checks["database"].status == "ok" and not tasks
    return _answer(Health("ok" if works else "failing", checks))


@get("/health/database", summary="Does the database answer", tags=["health"])
async def database(services: NamedDependency[Services]) -> Response[Health]:
    """One round trip to the database, with its latency."""
    check = await _database(services)
    return _answer(Health(check.status, {"database": check}))


@get("/metrics", summary="Prometheus metrics", media_type=MediaType.TEXT, tags=["health"])
async def metrics(services: NamedDependency[Services]) -> Response[bytes]:
    """The Prometheus text format."""
    return Response(services.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8", headers=NO_STORE)


async def _database(services: Services) -> Component:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await services.database.ping()
    except DatabaseUnavailable as error:
        return Component("failing", detail=error.detail)
    except TimeoutError:
        return Component("failing", detail=f"The database did not answer within {DEADLINE_SECONDS:g} s.")
    return Component("ok", round((time.perf_counter() - began) * 1000, 2))


def _answer(health: Health) -> Response[Health]:
    return Response(health, status_code=200 if health.status == "ok" else 503, headers=NO_STORE)
