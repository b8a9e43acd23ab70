"""kill -9 in the middle of a job: started again, the gateway completes it by itself, on the same stream."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from httpx_sse import aconnect_sse

from infra.database.engine import Database
from infra.settings import DatabaseSettings
from pipeline.verify import verify
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer

# 100 dishes at 60 ms: a stage takes 6 s. That is longer than a drain, so that some work is left to be handed back, and
# long enough for two kills in one job where the machine is slow.
SLOW = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "60", "PROCESSING__LEASE_SECONDS": "2"}
DISHES = [{"name": f"dish {number}", "price": "¥100"} for number in range(100)]
TERMINAL = {"job.completed", "job.completed_partial", "job.failed", "job.cancelled"}


class Viewer:
    """A browser that follows the rules: keeps its last id, comes back with it, stops at 204 or stream.end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.outcomes: list[str] = []
        self.breaks = 0
        self.ended = asyncio.Event()

    @property
    def numbers(self) -> list[int]:
        return [int(event_id.rpartition(".")[2]) for event_id, _, _ in self.events]

    async def follow(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=30), trust_env=False) as client:
            while not self.ended.is_set():
                headers = {"Last-Event-ID": self.events[-1][0]} if self.events else {}
                try:
                    async with aconnect_sse(client, "GET", self.url, headers=headers) as source:
                        if source.response.status_code == 204:
                            self.ended.set()
                            return
                        async for event in source.aiter_sse():
                            self._take(event.event, event.id, event.data)
                except httpx.TransportError:
                    self.breaks += 1
                    await asyncio.sleep(0.1)

    def _take(self, name: str, event_id: str, data: str) -> None:
        if name == "stream.end":
            self.ended.set()
        elif name == "stream.open":
            self.outcomes.append(orjson.loads(data)["outcome"])
        elif name != "message" and not name.startswith("stream."):  # httpx-sse reports a bare `retry:` as a message
            self.events.append((event_id, name, orjson.loads(data)))

    async def wait_for(self, count: int, name: str, following: asyncio.Task[None]) -> None:
        async with asyncio.timeout(20):
            while sum(found == name for _, found, _ in self.events) < count:
                if following.done():
                    following.result()
                await asyncio.sleep(0.01)


@pytest.fixture
def gateway(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[GatewayProcess]:
    """Alone on PostgreSQL and Redis, so that nobody else can finish its work; test_scenarios_gateway.py has SQLite."""
    with GatewayProcess(postgres_server.create_database(), redis_url=redis_server.url, settings=SLOW) as process:
        yield process


async def submit(gateway: GatewayProcess) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        answer = await client.post("/v1/jobs", json={"kind": "menu", "items": DISHES})
        assert answer.status_code == 202
        accepted: dict[str, Any] = answer.json()
        return accepted


async def findings(gateway: GatewayProcess) -> list[Any]:
    database = Database(DatabaseSettings(url=gateway.database_url))
    try:
        return list((await verify(database)).findings)
    finally:
        await database.close()


@pytest.mark.timeout(90)
async def test_a_job_survives_two_kills_and_its_viewer_has_every_event_once(gateway: GatewayProcess) -> None:
    job = await submit(gateway)
    viewer = Viewer(gateway.url + job["events_url"])
    following = asyncio.create_task(viewer.follow())
    try:
        for kill in (1, 2):
            await viewer.wait_for(10 * kill, "item.updated", following)
            assert not any(name in TERMINAL for _, name, _ in viewer.events), "the job was over before the kill"
            await asyncio.to_thread(gateway.kill)
            assert not gateway.is_running
            await asyncio.to_thread(gateway.start)
        async with asyncio.timeout(40):
            await viewer.ended.wait()
    finally:
        following.cancel()

    assert viewer.breaks >= 2, "the viewer never noticed a kill"
    assert viewer.outcomes[0] == "new"
    assert set(viewer.outcomes[1:]) == {"resumed"}
    assert viewer.numbers == list(range(1, len(viewer.numbers) + 1))
    names = [name for _, name, _ in viewer.events]
    assert names[-1] == "job.completed"
    assert sum(name in TERMINAL for name in names) == 1
    assert "stage.recovering" in names, "no stage had been interrupted"
    items = [(data["item_id"], data["stage"]) for _, name, data in viewer.events if name == "item.updated"]
    assert len(items) == len(set(items)) == len(DISHES) * 8
    assert await findings(gateway) == []


@pytest.mark.timeout(60)
async def test_sigterm_drains_streams_and_hands_the_running_stages_back(gateway: GatewayProcess) -> None:
    job = await submit(gateway)
    viewer = Viewer(gateway.url + job["events_url"])
    following = asyncio.create_task(viewer.follow())
    try:
        await viewer.wait_for(10, "item.updated", following)
        code = await asyncio.to_thread(gateway.terminate)
        await asyncio.to_thread(gateway.start)
        async with asyncio.timeout(30):
            await viewer.ended.wait()
    finally:
        following.cancel()

    assert code == 0
    names = [name for _, name, _ in viewer.events]
    assert viewer.numbers == list(range(1, len(viewer.numbers) + 1))
    assert "stage.retrying" in names, "no running stage was handed back"
    assert "stage.recovering" not in names, "a stage had to wait for its lease to expire"
    assert names[-1] == "job.completed"
    assert await findings(gateway) == []
