"""Hours of the true hub, channels and responses in simulated time, where every promise has an exact bound."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.streaming.outlet
from gateway.streaming.hub import SWEEP_SECONDS
from infra.settings import SseSettings
from tests.unit.streaming.simulated_time import NothingWillHappen, run_simulated
from tests.unit.streaming.simulated_world import HIGH_WATER_BYTES, Browser, World

SSE = SseSettings(heartbeat_seconds=15, max_age_seconds=60, retry_ms=500, send_timeout_seconds=30)
# A sweep, its query, a page of the log.
NOTICED_SECONDS = SWEEP_SECONDS + 0.05
MINUTES = 5


def late(world: World, browser: Browser) -> list[tuple[int, float]]:
    """Events that came later than a sweep allows, although the browser was connected all the while."""
    found = []
    for seq, at in browser.got:
        committed = world.logs.committed_at[browser.session_id, seq]
        connected = any(visit.began < committed and (not visit.ended or visit.ended >= at) for visit in browser.visits)
        if connected and at - committed > NOTICED_SECONDS:
            found.append((seq, at - committed))
    return found


@pytest.fixture(autouse=True, scope="module")
def _little_room() -> Iterator[None]:
    """Both ways a browser counts as slow after a few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.streaming.outlet, "HIGH_WATER_BYTES", HIGH_WATER_BYTES)
        yield


EACH_WAY = pytest.mark.parametrize("held", [False, True], ids=["plain ASGI", "held by the server"])


async def live_through(seed: int, sse: SseSettings, held: bool) -> World:
    """Five minutes of commits, cuts, browsers that come, and a bus that is away now and then; then a quiet time."""
    random.seed(seed)  # what the product draws, too
    world = World(seed, sse, held)
    dice, sessions = world.dice, ["a" * 26, "b" * 26, "c" * 26]
    for session_id in sessions:
        world.logs.commit(session_id, dice.randint(0, 900), 0.0)
    await world.hub.start()
    end = asyncio.get_running_loop().time() + MINUTES * 60
    while asyncio.get_running_loop().time() < end:
        act = dice.random()
        if act < 0.6:
            world.commit(dice.choice(sessions), dice.randint(1, 8))
        elif act < 0.65 and len(world.browsers) < 12:
            world.come(dice.choice(sessions), slow=dice.random() < 0.25)
        elif act < 0.75 and world.browsers:
            dice.choice(world.browsers).cut()
        elif act < 0.77:
            world.bus.away = True
        elif act < 0.82 and world.bus.away:
            world.bus.come_back()
        await asyncio.sleep(dice.expovariate(2))
    world.bus.come_back()
    await asyncio.sleep(60)
    return world


@EACH_WAY
@given(seed=st.integers(0, 2**32))
@settings(max_examples=12)
def test_whatever_is_cut_or_lost_every_browser_has_all_events_once_in_order_and_in_time(held: bool, seed: int) -> None:
    async def live() -> None:
        world = await live_through(seed, SSE, held)
        assert world.bus.lost, "the bus lost nothing"
        for browser in world.browsers:
            head = len(world.logs.entries[browser.session_id])
            assert browser.numbers == list(range(1, head + 1))
            if not browser.slow:
                assert late(world, browser) == []
        assert world.renewed == [], "a log was taken for one that was set back"
        await world.close()
        assert world.admission.connections == 0

    run_simulated(live())


@EACH_WAY
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8)
def test_streams_beat_live_their_age_and_end_between_events_with_the_proof(held: bool, seed: int) -> None:
    async def live() -> None:
        world = await live_through(seed, SSE, held)
        for browser in world.browsers:
            over = [visit for visit in browser.visits if visit.ended and not visit.cut]
            for visit in over if not browser.slow else []:
                assert visit.longest_silence <= SSE.heartbeat_seconds + 0.01
                assert 0.8 * SSE.max_age_seconds <= visit.ended - visit.began <= SSE.max_age_seconds + 0.1
                assert visit.frames[-1].name == "stream.head"
                last = [frame.id for frame in visit.frames if frame.id is not None]
                assert not last or visit.frames[-1].data["head"] == last[-1]
        ages = [one.ended - one.began for browser in world.browsers for one in browser.visits if one.ended]
        assert len(set(ages)) == len(ages), "streams that were opened together leave together"
        await world.close()

    run_simulated(live())


@EACH_WAY
def test_a_drain_spreads_the_farewells_and_their_retries_and_delivers_until_then(held: bool) -> None:
    async def live() -> None:
        random.seed(1)
        world = World(1, SSE, held)
        world.logs.commit("a" * 26, 3, 0.0)
        await world.hub.start()
        for _ in range(200):
            world.come("a" * 26)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        world.hub.drain(5.0)
        for _ in range(50):
            world.commit("a" * 26, 1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        first = [browser.visits[0] for browser in world.browsers]
        assert all(visit.ended for visit in first)
        leaving = sorted(visit.ended - began for visit in first)
        tenths = [sum(low / 2 <= at < low / 2 + 0.5 for at in leaving) for low in range(10)]
        assert max(tenths) < 45, f"too many at once: {tenths}"
        assert min(tenths) > 5, f"nobody left for a while: {tenths}"
        farewells = [visit.frames[-1] for visit in first]
        assert {frame.name for frame in farewells} == {"stream.drain"}
        assert len({frame.data["retry_ms"] for frame in farewells}) > 100
        assert all(browser.retry_seconds * 1000 <= SSE.retry_ms * 1.5 for browser in world.browsers)
        for browser, visit in zip(world.browsers, first, strict=True):
            due = [seq for (_, seq), at in world.logs.committed_at.items() if at < visit.ended - NOTICED_SECONDS]
            assert browser.numbers[: len(due)] == due, "events were held back from a stream that was still open"
        assert {visit.frames[-1].name for browser in world.browsers for visit in browser.visits[1:]} <= {"stream.busy"}
        await world.close()

    run_simulated(live())


def test_the_simulated_loop_says_when_nothing_will_happen() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingWillHappen):
        run_simulated(wait_for_nothing())
