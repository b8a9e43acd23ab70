"""Everybody comes back in the same second: nobody loses anything, the database is spared, and all is given back."""

import asyncio
import random
from collections.abc import Iterator
from typing import cast

import pytest
import uvloop
from redis.asyncio import Redis

from loadtests.browser import Browser
from loadtests.orders import make_menu
from loadtests.sessions import Owner, Session
from loadtests.storm import Plan, prepare, run, run_wave
from loadtests.vitals import Vitals, look_at
from loadtests.wave import Wave
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer
from tests.waiting import wait_for

STORM = Plan(browsers=400, sessions=40, behind=80, dishes=10)
# A repair reads again when more was committed while it read. Each of its reads but the last brings an event, and all it
# can bring are those of a session's new job: a few of the job, and of each of its eight stages two and one per dish.
MOST_READS_OF_A_REPAIR = 3 + 8 * (2 + STORM.dishes) + 1
# The last browser's channel lingers for five seconds, and a sweep every two seconds finds it.
GIVEN_BACK_SECONDS = 30.0
# Connections to SQLite that stay open for the next time, three files each. What 120 streams leak is more.
DATABASE_POOL = 30


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[GatewayProcess]:
    settings = {"PROVIDER": "synthetic", "SSE__CHANNEL_PREFIX": f"storm{random.randrange(10**9)}"}
    with GatewayProcess(redis_url=redis_server.url, settings=settings) as process:
        yield process


@pytest.mark.timeout(240)
def test_all_browsers_of_all_sessions_resume_in_the_same_second(gateway: GatewayProcess) -> None:
    just_started, warm = uvloop.run(run(gateway, STORM))

    for wave in (just_started, warm):
        # Half of them follow a session, which has no end: they are all here at the same time.
        assert wave.streams_open >= STORM.browsers / 2, "there was no storm"
        assert wave.complete == wave.browsers == STORM.browsers
        assert not wave.broken
        assert wave.failures == []
        assert (wave.resets, wave.unproven) == (0, 0)
        most = wave.page_ranges + wave.repairs * MOST_READS_OF_A_REPAIR  # usually nothing needs a repair
        assert wave.log_reads <= most, "more than one read per session and page range"
    assert just_started.log_reads > 0, "the gateway had kept the log in memory: it was not a new one"


@pytest.fixture
def tight_gateway() -> Iterator[GatewayProcess]:
    settings = {
        "PROVIDER": "synthetic",
        "SSE__MAX_CONNECTIONS": "20",
        "SSE__MAX_OPENINGS_NEW": "2",
        "SSE__MAX_OPENINGS_RESUMED": "2",
        "SSE__RETRY_MS": "200",
    }
    with GatewayProcess(settings=settings) as process:
        yield process


@pytest.mark.timeout(240)
def test_a_storm_above_every_limit_is_told_to_come_back_at_random_and_is_served_in_the_end(
    tight_gateway: GatewayProcess,
) -> None:
    plan = Plan(browsers=160, sessions=20, behind=60, dishes=8, live=0, stay=False, within_seconds=0)

    async def storm() -> Wave:
        owner = Owner(tight_gateway.port)
        try:
            return await run_wave("tight", tight_gateway, owner, await prepare(owner, plan), plan)
        finally:
            await owner.close()

    wave = uvloop.run(storm())

    assert wave.refused > 0, "the limits did not bite"
    assert 100 <= wave.retry_ms[0] <= wave.retry_ms[-1] <= 300
    assert len(set(wave.retry_ms)) > min(10, wave.refused // 3), "browsers that were refused together come together"
    assert wave.failures == [], "a refusal that browsers do not come back from"
    assert wave.complete == wave.browsers == plan.browsers
    assert not wave.broken
    assert (wave.resets, wave.unproven) == (0, 0)


class SilentReader(asyncio.Protocol):
    """A browser that takes its stream's first bytes, then nothing more."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(f"GET {self.path} HTTP/1.1\r\nHost: stagecast\r\n\r\n".encode())

    def data_received(self, _data: bytes) -> None:
        assert self.transport is not None
        self.transport.pause_reading()


@pytest.mark.timeout(120)
async def test_what_browsers_took_is_given_back_when_they_have_left(
    gateway: GatewayProcess, redis_server: RedisServer
) -> None:
    prefix = gateway.settings["SSE__CHANNEL_PREFIX"]
    owner, redis = Owner(gateway.port), Redis.from_url(redis_server.url)

    async def channels() -> set[bytes]:
        return set(await redis.pubsub_channels(f"{prefix}:*"))

    async def nothing_held() -> bool:
        now = await look_at(gateway)
        return (now.total("stagecast_connections"), now.total("stagecast_channels")) == (0, 0)

    async def all_are_here() -> bool:
        return (await look_at(gateway)).total("stagecast_connections") == 120

    async def channels_are_left() -> bool:
        return await channels() == own

    try:
        sessions = [Session() for _ in range(20)]
        for session in sessions:
            await owner.submit(session, make_menu(5))
        await wait_for(nothing_held, GIVEN_BACK_SECONDS)
        await owner.close()  # its kept connections are no browser's
        before, own = await look_at(gateway), await channels()
        browsers = [Browser(gateway.port, sessions[number % 20].stream) for number in range(100)]
        following = [asyncio.create_task(browser.follow()) for browser in browsers]
        await wait_for(lambda: all(browser.last for browser in browsers), 20)
        loop = asyncio.get_running_loop()
        silent = [SilentReader(session.stream) for session in sessions]
        for reader in silent:
            await loop.create_connection(lambda reader=reader: reader, "127.0.0.1", gateway.port)
        await wait_for(all_are_here, 20)

        full = await look_at(gateway)
        assert full.total("stagecast_connections") == 120
        assert full.total("stagecast_channels") == 20
        assert len(await channels() - own) == 20
        assert full.descriptors >= before.descriptors + 100

        for browser in browsers:
            browser.leave()
        for reader in silent:
            assert reader.transport is not None
            reader.transport.abort()
        await asyncio.gather(*following)

        await wait_for(nothing_held, GIVEN_BACK_SECONDS)
        await wait_for(channels_are_left)
        after: Vitals = await look_at(gateway)
        assert after.descriptors <= before.descriptors + DATABASE_POOL
        assert after.threads <= before.threads + DATABASE_POOL
    finally:
        await redis.aclose()
        await owner.close()
