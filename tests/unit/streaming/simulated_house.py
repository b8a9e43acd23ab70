"""One session with a job, a server that streams it and browsers that are read by hand, in simulated time.

Unlike in `simulated_world` nothing happens by chance: the bus brings what a test says, when it says so, and a browser
takes bytes when it is told to.
"""

import asyncio
import functools
import inspect
import random
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.streaming.channel import Channel
from gateway.streaming.opening import Opener
from gateway.streaming.position import parse_position
from gateway.streaming.response import EventStream
from infra.bus.base import Message
from infra.database.log import LogPosition
from infra.database.repositories.snapshots import JobPlace, Snapshot
from infra.errors import DatabaseUnavailable
from infra.settings import SseSettings
from tests.unit.streaming.simulated_socket import ResponseReader
from tests.unit.streaming.simulated_time import run_simulated
from tests.unit.streaming.simulated_world import JOB, World
from tests.unit.streaming.wire import Dispatched, dispatch

SESSION = "s" * 26
HIGH_WATER_BYTES = 1000
SSE = SseSettings(heartbeat_seconds=15, max_age_seconds=600, retry_ms=500, send_timeout_seconds=30, ring_events=8)


class ListedSnapshots:
    """Pictures of the log's one job; a query takes as long as one of the log."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.away = False

    async def _position(self) -> LogPosition:
        if self.away:
            raise DatabaseUnavailable
        position = await self._world.logs.position(SESSION)
        assert position is not None
        return position

    def _ended(self, position: LogPosition) -> str | None:
        last = self._world.logs.entries[SESSION][position.head - 1]
        return "completed" if last.type == "job.completed" else None

    async def place(self, job_id: str) -> JobPlace:
        position = await self._position()
        return JobPlace(SESSION, 1, position.head, self._ended(position), position)

    async def session(self, session_id: str) -> Snapshot:
        position = await self._position()
        return Snapshot({"epoch": position.epoch, "head": f"{position.epoch}.{position.head}"}, position.head)

    async def job(self, job_id: str) -> Snapshot:
        found = await self.session(SESSION)
        return Snapshot(found.body, found.seq, self._ended(await self._position()))


class House(World):
    """A session with a job, and a server that streams it. The bus delivers when `deliver` says so."""

    def __init__(self, settings: SseSettings = SSE, events: int = 3) -> None:
        random.seed(1)
        super().__init__(1, settings, held=True)
        self.snapshots: Any = ListedSnapshots(self)
        self.context.snapshots = self.snapshots
        self.logs.commit(SESSION, events, 0.0)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "a request without its scope"
        assert (b"host", b"a") in scope["headers"], "a request without its headers"
        kind, position, start = scope["path"][1:].split("/")
        of_job = kind == "job"
        place = await self.snapshots.place(JOB) if of_job else None
        at = parse_position(f"epoch000.{position}", "") if position else None
        log, snapshots = self.context.log, self.context.snapshots
        opener = Opener(SESSION, JOB if of_job else None, place, at, start == "snapshot", log, snapshots)
        await EventStream(self.context, opener)(scope, receive, send)

    def write(self, count: int, name: str = "item.updated") -> Message:
        """Commit events that the bus does not bring (yet)."""
        return self.logs.commit(SESSION, count, 0.0, name)

    def tell(self, count: int, name: str = "item.updated") -> None:
        """Commit events that the bus brings at once."""
        self.hub.receive(self.write(count, name))

    @property
    def head(self) -> int:
        return len(self.logs.entries[SESSION])

    @property
    def channel(self) -> Channel:
        channel = self.hub._slots[SESSION].channel
        assert channel is not None
        return channel

    @property
    def live(self) -> int:
        return sum(len(crowd.members) for crowd in self.channel.crowds.values())

    def closed(self, reason: str) -> float:
        name, labels = "stagecast_connections_closed_total", {"reason": reason}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def assert_all_given_back(self) -> None:
        assert self.admission.connections == 0, "a place is still taken"
        slot = self.hub._slots.get(SESSION)
        assert slot is None or slot.readers == 0, "a seat is still taken"
        assert slot is None or slot.channel is None or slot.channel.crowds == {}, "somebody is still written to"
        assert [entry for entry in self.hub.timetable._heap if entry[2] is not None] == [], "the time is still told"
        assert work_of_streams() == []


class Visitor:
    """A browser's connection, read by hand."""

    def __init__(self, house: House, path: str = "session//") -> None:
        self.frames: list[Dispatched] = []
        self.raw = b""
        self.reader = ResponseReader(self._take)
        self.connection = house.server.connect(HIGH_WATER_BYTES)
        self.ask(path)

    def ask(self, path: str) -> None:
        self.connection.protocol.data_received(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def _take(self, frame: bytes) -> None:
        self.raw += frame
        self.frames += dispatch(frame)

    def read(self) -> None:
        """Take all that is there, and what comes once there is room."""
        while self.connection.buffer:
            self.reader.feed(self.connection.take(100_000))

    @property
    def numbers(self) -> list[int]:
        return [frame.seq for frame in self.frames if frame.id is not None]

    @property
    def names(self) -> list[str]:
        return [frame.name for frame in self.frames]


def work_of_streams() -> list[str]:
    """The tasks that run for a stream or a request."""
    current = asyncio.current_task()
    names = [task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not current]  # type: ignore[union-attr]
    return [name for name in names if name.startswith(("RequestResponseCycle", "Follower", "AsgiOutlet", "Channel"))]


async def read_for(seconds: float, *visitors: Visitor) -> None:
    """Let time pass while the browsers read."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        for visitor in visitors:
            visitor.read()
        await asyncio.sleep(0.001)


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in simulated time."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        run_simulated(test(*arguments, **named))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # for the parameters of the test
    del run.__wrapped__  # pytest would look through it and run the coroutine by itself
    return run
