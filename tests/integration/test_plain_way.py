"""The plain way, the peer of the end-to-end bars, is no straw man: it stores and delivers everything.

It needs FastAPI, which only the bench extra has: after `make bench` these tests run, before that they are skipped.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from loadtests.bench.peers.plain_process import PlainProcess
from loadtests.orders import make_menu
from tests.servers import PostgresServer, RedisServer

pytest.importorskip("fastapi", reason="only the bench extra has FastAPI: `make bench` installs it")

STAGES = {"translation", "category", "description", "allergens", "ingredients", "image_search", "image", "price"}
DISHES = 5
ALL_RESULTS = sorted((position, stage) for position in range(DISHES) for stage in STAGES)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def plain(
    request: pytest.FixtureRequest, redis_server: RedisServer, postgres_server: PostgresServer
) -> Iterator[PlainProcess]:
    url = postgres_server.create_database() if request.param == "postgres" else None
    with PlainProcess(redis_server.url, url) as process:
        yield process


@pytest.fixture
async def client(plain: PlainProcess) -> AsyncIterator[httpx.AsyncClient]:
    # Nothing is verified over plain http, and reading the certificates takes 20 ms.
    url = f"http://127.0.0.1:{plain.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=20) as client:
        yield client


async def submit(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.post("/jobs", json=make_menu(DISHES))
    assert answer.status_code == 202
    accepted: dict[str, str] = answer.json()
    return accepted


async def read(client: httpx.AsyncClient, url: str, after: str = "", most: int | None = None) -> list[ServerSentEvent]:
    """The events of a job until its end, or the first few."""
    events: list[ServerSentEvent] = []
    headers = {"Last-Event-ID": after} if after else {}
    async with aconnect_sse(client, "GET", url, headers=headers) as source, aclosing(source.aiter_sse()) as incoming:
        async for event in incoming:
            events.append(event)
            if len(events) == most:
                break
    return events


def results(events: list[ServerSentEvent]) -> list[tuple[int, str]]:
    """(position, stage) of every result."""
    bodies: list[dict[str, Any]] = [json.loads(event.data) for event in events if event.event == "item.updated"]
    return sorted((body["position"], body["stage"]) for body in bodies)


async def test_every_browser_gets_every_result_once_and_the_end(client: httpx.AsyncClient) -> None:
    jobs = await asyncio.gather(*[submit(client) for _ in range(8)])
    for events in await asyncio.gather(*[read(client, job["events_url"]) for job in jobs]):
        assert results(events) == ALL_RESULTS
        assert events[-1].event == "job.completed"
        assert len({event.id for event in events}) == len(events)


async def test_a_browser_that_comes_late_is_told_what_it_missed(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    await read(client, job["events_url"])
    assert results(await read(client, job["events_url"])) == ALL_RESULTS


async def test_a_browser_that_comes_back_goes_on_behind_its_last_event(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    await read(client, job["events_url"])  # PostgreSQL's ids are not in the order of commits while a job runs
    first = await read(client, job["events_url"], most=17)
    rest = await read(client, job["events_url"], after=first[-1].id)
    assert results([*first, *rest]) == ALL_RESULTS


async def test_nobody_finds_a_job_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/jobs/nothing/events")).status_code == 404


async def test_the_rows_have_every_value(plain: PlainProcess, client: httpx.AsyncClient) -> None:
    if not plain.database_url.startswith("sqlite"):
        pytest.skip("looked at in SQLite's file only; the statements are the same")
    job = await submit(client)
    await read(client, job["events_url"])
    with closing(sqlite3.connect(plain.directory / "plain.db")) as connection:
        empty = " OR ".join(f"{stage} IS NULL" for stage in sorted(STAGES))
        query = f"SELECT count(*), sum({empty}) FROM dish WHERE job_id = ?"
        assert connection.execute(query, (job["job_id"],)).fetchone() == (DISHES, 0)
        statuses = connection.execute("SELECT DISTINCT status FROM stage WHERE job_id = ?", (job["job_id"],))
        assert statuses.fetchall() == [("completed",)]
