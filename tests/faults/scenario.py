"""What the scenarios share: a world at work, a fault that lasts until something was seen, the account at the end."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx

from tests.client import menu_of
from tests.faults.harness.fault import Fault
from tests.faults.harness.history import Truth
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.scene import Scene
from tests.faults.harness.viewers import Viewer
from tests.faults.harness.world import Stack, World
from tests.servers import PostgresServer

# The faults are what is drawn from in the schedule; here only the load is random, and always the same.
SEED = 7
# Generous: the machine may be busy, and a time is only reported. Whatever takes longer does not happen.
WAIT_SECONDS = 30.0
ANSWER_SECONDS = 20.0
POLL_SECONDS = 0.1
MANY_EVENTS = 20
QUIET = "quiet session"
# Some ten seconds of work at 80 ms a dish, in which the fault has to strike.
QUIET_DISHES = 120
LIVE = "stagecast_commit_to_socket_seconds_count"

Meanwhile = Callable[[Scene], Awaitable[None]]


@asynccontextmanager
async def at_work(stack: Stack, *faults: Fault, postgres: PostgresServer | None = None) -> AsyncIterator[Scene]:
    """A world of this stack that is prepared for the faults, with two sessions in the middle of their jobs."""
    world = World(stack, postgres=postgres)
    for fault in faults:
        assert fault.applies_to(world), f"{fault.name} does not apply to {stack.name}"
        fault.prepare(world)
    async with world, Scene(world, random.Random(SEED), standing=2) as scene:
        await scene.work_is_under_way()
        yield scene


class Lasting:
    """A fault that is healed only when `meanwhile` has seen what it wants to see."""

    def __init__(self, fault: Fault, scene: Scene, meanwhile: Meanwhile) -> None:
        self._fault = fault
        self._scene = scene
        self._meanwhile = meanwhile
        self.name, self.part, self.seconds = fault.name, fault.part, fault.seconds

    def applies_to(self, world: World) -> bool:
        return self._fault.applies_to(world)

    def prepare(self, world: World) -> None:
        self._fault.prepare(world)

    async def strike(self, world: World) -> None:
        await self._fault.strike(world)
        await self._meanwhile(self._scene)

    async def heal(self, world: World) -> None:
        await self._fault.heal(world)

    def evidence(self) -> str:
        return self._fault.evidence()


async def strike(scene: Scene, fault: Fault, meanwhile: Meanwhile) -> None:
    """Strike in the middle of running jobs, let `meanwhile` look, heal, and wait until all viewers are live again."""
    await scene.work_is_under_way()
    await scene.hit(Lasting(fault, scene, meanwhile), 0)


async def account(scene: Scene) -> tuple[Outcome, Truth]:
    """Let everything end and compare: nothing lost, doubled, reordered or altered, and every fault has its evidence."""
    outcome = await scene.finish()
    print(outcome.text())
    outcome.check()
    damage = {name: outcome.total(name) for name in ("lost", "doubled", "reordered", "altered", "phantom")}
    assert damage == dict.fromkeys(damage, 0)
    assert outcome.total("delivered") >= outcome.committed > 0
    assert all(stroke.evidence for stroke in outcome.strokes)
    for number, site in enumerate(scene.world.sites):
        died = [line for line in read_events(scene, number) if line["event"] in ("task_died", "request_broke")]
        assert died == [], f"{site.name}: {died}"
    return outcome, await scene.ledger.read()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask a few times a second until it is so. Raises AssertionError with what was not."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS:g} s"
        await asyncio.sleep(POLL_SECONDS)


def types_of(truth: Truth) -> set[str]:
    """The types of all events that were committed."""
    return {event.type for session in truth.sessions.values() for event in session.events}


async def add_quiet_viewer(scene: Scene) -> Viewer:
    """A viewer of a session that nobody else opens or orders in, in the middle of its one job.

    Whoever opens a stream of a session also learns how long its log is, and tells the others: not here.
    """
    accepted = (await post(scene, QUIET_DISHES)).json()
    door = await scene.world.open_door(0)
    viewer = Viewer(QUIET, door, accepted["session_id"], accepted["session_token"])
    scene.world.viewers.append(viewer)
    await viewer.start()
    await goes_on(scene, [viewer])
    return viewer


async def goes_on(scene: Scene, viewers: Sequence[Viewer]) -> None:
    """Wait until each of these viewers has got many more events than it had."""
    before = {viewer.name: viewer.position for viewer in viewers}

    def all_moved() -> bool:
        return all(viewer.position >= before[viewer.name] + MANY_EVENTS for viewer in viewers)

    await scene.until(all_moved, WAIT_SECONDS, f"the streams of {sorted(before)} go on")


async def streams_go_on(scene: Scene) -> None:
    """Wait until every viewer of a session in which orders come has got many more events than it had."""
    viewers = [viewer for viewer in scene.world.viewers if viewer.history.job_id is None]
    await goes_on(scene, [viewer for viewer in viewers if viewer.name != QUIET])


async def metrics_of(scene: Scene, number: int = 0) -> dict[str, float]:
    """A gateway's metrics; asked again when the gateway was too busy to tell them."""
    found: dict[str, float] = {}

    async def told() -> bool:
        found.update(await scene.world.metrics(number))
        return bool(found)

    await eventually(told, "the gateway tells its metrics")
    return found


async def is_live_again(scene: Scene, number: int = 0) -> float:
    """Wait until events come over the bus again, not from the log only; the seconds that it took."""
    began = time.monotonic()
    before = (await metrics_of(scene, number))[LIVE]

    async def many_more() -> bool:
        return (await scene.world.metrics(number)).get(LIVE, 0.0) >= before + MANY_EVENTS

    await eventually(many_more, "events come over the bus again")
    return time.monotonic() - began


async def status_of(scene: Scene, check: str, number: int = 0) -> str:
    """What /health/ready says about one of its parts."""
    answer = json.loads(await scene.world.ask(number, "/health/ready") or "{}")
    status: str = answer.get("checks", {}).get(check, {}).get("status", "no answer")
    return status


async def is_ready(scene: Scene, number: int = 0) -> bool:
    """Whether /health/ready sends traffic to a gateway."""
    answer = json.loads(await scene.world.ask(number, "/health/ready") or "{}")
    return bool(answer.get("status") == "ok")


async def post(scene: Scene, dishes: int = 1, number: int = 0) -> httpx.Response:
    """Submit a menu straight to a gateway, with more patience than it may need."""
    url = f"{scene.world.sites[number].gateway.url}/v1/jobs"
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=False) as client:
        return await client.post(url, json=menu_of(dishes))


def read_events(scene: Scene, number: int = 0) -> list[dict[str, Any]]:
    """The log lines of a gateway, over all its starts."""
    lines = scene.world.sites[number].gateway.read_log().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def seconds_until(scene: Scene, event: str, struck_at: float) -> float:
    """From a fault (monotonic) to the first log line of this name after it."""
    offset = time.time() - time.monotonic()
    times = [
        datetime.fromisoformat(line["timestamp"]).timestamp() for line in read_events(scene) if line["event"] == event
    ]
    after = [at - offset - struck_at for at in times if at - offset >= struck_at]
    assert after, f"no line {event} in the log after the fault"
    return min(after)
