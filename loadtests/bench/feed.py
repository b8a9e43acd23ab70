"""Publishers on a schedule, in a process of their own so that neither client nor server waits for them.

All programs of a bar get the same events at the same moments: a tick brings some events, which go to the channels in
turn. The moments at which they left are kept, because latencies are counted from there.
"""

import asyncio
import multiprocessing
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

from loadtests.bench.payload import payloads

READY_SECONDS = 30.0
# How long a publisher may need beyond its schedule before it is given up.
PATIENCE_SECONDS = 30.0


class FeedError(Exception):
    """The publisher could not publish."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Events of one channel that leave together; `first` is the number of the first one."""

    channel: int
    first: int
    events: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Schedule:
    """`per_tick` events every `tick_seconds`, to `channels` channels in turn, for so many seconds."""

    tick_seconds: float
    per_tick: int
    channels: int
    seconds: float

    @property
    def ticks(self) -> int:
        """How often events leave."""
        return round(self.seconds / self.tick_seconds)

    def plan(self) -> Iterator[list[Burst]]:
        """What leaves at each tick."""
        numbers = [1] * self.channels
        place = 0
        for _ in range(self.ticks):
            counts: dict[int, int] = {}
            for _ in range(self.per_tick):
                counts[place] = counts.get(place, 0) + 1
                place = (place + 1) % self.channels
            bursts = [Burst(channel, numbers[channel], payloads(numbers[channel], n)) for channel, n in counts.items()]
            for burst in bursts:
                numbers[burst.channel] += len(burst.events)
            yield bursts

    def totals(self) -> list[int]:
        """How many events each channel has at the end."""
        whole, rest = divmod(self.ticks * self.per_tick, self.channels)
        return [whole + (channel < rest) for channel in range(self.channels)]


class Publisher(Protocol):
    """How events reach one kind of hub. It goes to another process before `open`, so it has to be picklable."""

    def open(self) -> None:
        """Connect."""
        ...

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Hand the events over; returns when (monotonic ns): the moment before the first byte left."""
        ...

    def wait(self, seconds: float) -> None:
        """Let the time pass until the next tick."""
        ...

    def finish(self) -> None:
        """Wait until everything was accepted. Raises FeedError when something was refused."""
        ...


@dataclass(frozen=True, slots=True)
class Fed:
    """What was published: the moments (monotonic ns) by channel and number, and how well the schedule was kept."""

    times: "list[array[int]]"
    cpu_seconds: float
    seconds: float
    worst_delay_ms: float


class Feed:
    """A publisher in its process. Use as an async context: it is connected inside, and ended at the end."""

    def __init__(self, publisher: Publisher, schedule: Schedule) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._schedule = schedule
        self._process: SpawnProcess = context.Process(target=_run, args=(publisher, schedule, theirs), daemon=True)

    async def __aenter__(self) -> "Feed":
        self._process.start()
        try:
            await self._receive(READY_SECONDS)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.join)
        self._ours.close()

    def start(self) -> None:
        """Begin with the schedule now."""
        self._ours.send("start")

    async def finished(self) -> Fed:
        """Wait until all events are published and accepted. Raises FeedError."""
        fed = await self._receive(self._schedule.seconds + PATIENCE_SECONDS)
        assert isinstance(fed, Fed)
        return fed

    async def _receive(self, seconds: float) -> object:
        if not await asyncio.to_thread(self._ours.poll, seconds):
            raise FeedError(f"the publisher said nothing for {seconds:g} s")
        try:
            said: object = self._ours.recv()
        except EOFError:
            raise FeedError("the publisher's process ended without a word; its error stands above") from None
        if isinstance(said, Exception):
            raise FeedError(f"the publisher failed: {type(said).__name__}: {said}")
        return said


def _run(publisher: Publisher, schedule: Schedule, pipe: Connection) -> None:
    try:
        publisher.open()
        pipe.send("ready")
        pipe.recv()
        pipe.send(_publish(publisher, schedule))
    except Exception as error:
        pipe.send(FeedError(f"{type(error).__name__}: {error}"))
    pipe.close()


def _publish(publisher: Publisher, schedule: Schedule) -> Fed:
    times = [array("q") for _ in range(schedule.channels)]
    began = time.monotonic()
    cpu = time.process_time()
    worst = 0.0
    for tick, bursts in enumerate(schedule.plan()):
        pause = began + tick * schedule.tick_seconds - time.monotonic()
        if pause > 0:
            publisher.wait(pause)
        else:
            worst = max(worst, -pause)
        at = publisher.publish(bursts)
        for burst in bursts:
            times[burst.channel].extend([at] * len(burst.events))
    publisher.finish()
    return Fed(times, time.process_time() - cpu, time.monotonic() - began, worst * 1000)
