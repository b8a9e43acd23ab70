"""The Python client against real gateways: whatever ends its connections, it is handed everything, in order, once."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.client.address import JobAddress, SessionAddress
from gateway.client.backoff import Backoff
from gateway.client.errors import Refused
from gateway.client.stream import Event, EventId, JobStream, Link, SessionStream, Snapshot
from tests.client import Client, SubmittedJob, menu_of
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.waiting import wait_for

SLOW = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "40", "PROCESSING__LEASE_SECONDS": "1"}
DISHES = 80
PATIENCE_SECONDS = 45.0
PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


class Viewers:
    """A job's stream and its session's, side by side."""

    def __init__(self, gateway: GatewayProcess, job: SubmittedJob) -> None:
        pause: dict[str, Any] = {"backoff": Backoff(0.05, 0.5)}
        self.links: list[Link] = []
        self.job = JobStream(JobAddress(gateway.url, job.job_id, job.session_token), on_link=self.links.append, **pause)
        session = SessionAddress(gateway.url, job.session_id, job.session_token)
        self.session = SessionStream(session, backoff=Backoff(0.05, 0.5))
        self.of_job: list[Event | Snapshot] = []
        self.of_session: list[Event | Snapshot] = []

    async def follow_job(self) -> None:
        async for item in self.job.events():
            self.of_job.append(item)

    async def follow_session(self) -> None:
        async with aclosing(self.session.events()) as items:
            async for item in items:
                self.of_session.append(item)
                if isinstance(item, Event) and item.type == "job.completed":
                    return

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Meanwhile something happens; at the end both have followed the job to its end."""
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follow_job())
            tasks.create_task(self.follow_session())
            yield

    def check_whole(self, epoch: str) -> None:
        head = EventId(epoch, len(self.of_job))
        for seen in (self.of_job, self.of_session):
            assert [item.id for item in seen if isinstance(item, Event)] == [
                EventId(epoch, seq) for seq in range(1, head.seq + 1)
            ]
        assert (self.job.complete, self.job.position, self.job.status) == (True, head, "completed")
        assert (self.session.complete, self.session.position) == (True, head)
        assert (self.job.gaps, self.session.gaps) == (0, 0)


async def submit(gateway: GatewayProcess, dishes: int = DISHES) -> SubmittedJob:
    def post() -> SubmittedJob:
        with Client(gateway.url) as client:
            return client.submit(menu_of(dishes))

    return await asyncio.to_thread(post)


async def test_connections_that_the_server_renews_cost_nothing(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**SLOW, SSE__MAX_AGE_SECONDS="0.4", SSE__RETRY_MS="50")
    job = await submit(gateway)
    viewers = Viewers(gateway, job)
    async with viewers.following():
        pass

    viewers.check_whole(job.epoch)
    assert viewers.job.connections >= 3, "the connections were not renewed"
    assert viewers.session.connections >= 3
    assert "renewing" in [link.state for link in viewers.links]
    assert (viewers.job.repeated, viewers.session.repeated) == (0, 0)


@pytest.mark.parametrize("end", [GatewayProcess.kill, GatewayProcess.terminate], ids=["killed", "stopped"])
@pytest.mark.timeout(90)
async def test_a_gateway_that_goes_and_comes_back_costs_no_event(end: Callable[[GatewayProcess], object]) -> None:
    with GatewayProcess(settings={**SLOW, "SSE__DRAIN_SECONDS": "0.3"}) as gateway:
        job = await submit(gateway)
        viewers = Viewers(gateway, job)
        async with viewers.following():
            await wait_for(lambda: len(viewers.of_job) >= 20, PATIENCE_SECONDS)
            await asyncio.to_thread(end, gateway)
            await asyncio.to_thread(gateway.start)

    viewers.check_whole(job.epoch)
    assert viewers.job.connections >= 2, "the gateway's end was not noticed"
    expected = "the server is stopping" if end is GatewayProcess.terminate else "the connection broke"
    assert expected in [link.reason for link in viewers.links]


async def test_a_full_gateway_is_waited_for(start_gateway: StartGateway) -> None:
    gateway = start_gateway(SSE__MAX_CONNECTIONS="1", SSE__RETRY_MS="50")
    job = await submit(gateway)
    viewers = Viewers(gateway, job)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with Client(gateway.url) as client, replace(job, client=client).session_stream():
            following = asyncio.create_task(viewers.follow_job())
            await wait_for(lambda: bool(viewers.links), PATIENCE_SECONDS)
        await following

    assert viewers.links[0].reason == "the server is busy"
    assert viewers.links[0].seconds >= 0.025, "what the server asked for was not kept"
    assert viewers.job.complete


async def test_a_position_of_a_log_that_is_gone_gives_a_snapshot(gateway_on_each_database: GatewayProcess) -> None:
    gateway = gateway_on_each_database
    job = await submit(gateway, 3)
    viewers = Viewers(gateway, job)
    async with viewers.following():
        pass
    address = JobAddress(gateway.url, job.job_id, job.session_token)
    late = JobStream(address, position=EventId("longgone", 12))
    items = [item async for item in late.events()]

    assert [type(item) for item in items] == [Snapshot]
    assert late.position == viewers.job.position
    assert (late.complete, late.status, late.snapshots) == (True, "completed", 1)


async def test_another_job_of_the_session_is_no_gap(gateway_on_each_database: GatewayProcess) -> None:
    gateway = gateway_on_each_database
    first = await submit(gateway, 3)
    with Client(gateway.url) as client:
        body = {**menu_of(3), "session_id": first.session_id}
        second = client.post_job(body, first.session_token).json()["job_id"]
    stream = JobStream(JobAddress(gateway.url, second, first.session_token))
    session = SessionStream(SessionAddress(gateway.url, first.session_id, first.session_token))
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        own = [item async for item in stream.events() if isinstance(item, Event)]
        async with aclosing(session.events()) as items:
            async for item in items:
                assert isinstance(item, Event)
                seen.append(item.data["job_id"])
                if session.complete and seen.count(second) == len(own):
                    break

    assert {item.data["job_id"] for item in own} == {second}
    assert set(seen) == {first.job_id, second}
    assert (stream.complete, stream.gaps) == (True, 0)
    assert (session.gapless, session.gaps) == (True, 0)


@pytest.mark.parametrize("token", [None, "forged"])
async def test_without_the_token_there_is_nothing(gateway_on_each_database: GatewayProcess, token: str | None) -> None:
    job = await submit(gateway_on_each_database, 1)
    session = SessionStream(SessionAddress(gateway_on_each_database.url, job.session_id, token))
    with pytest.raises(Refused) as caught:
        await anext(aiter(session.events()))
    assert caught.value.status == 404


async def test_the_example_of_the_protocol_page_follows_a_job(gateway_on_each_database: GatewayProcess) -> None:
    example = re.search(r"^```python follow\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example[1], names)
    job = await submit(gateway_on_each_database, 2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await names["follow"](f"{gateway_on_each_database.url}{job.events_url}") is True
