"""One delivery run: everybody connects, events are published on a schedule, both sides are looked at in the middle."""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.crowd import Auditor, Crowd, CrowdError
from loadtests.bench.feed import Fed, Feed, Schedule
from loadtests.bench.machine import allow_descriptors, cpu_seconds, memory
from loadtests.bench.peers.base import Hub

WARM_UP_SECONDS = 0.8
MEASURED_SECONDS = 2.5
# Publishing goes on a little longer than what is measured, so that the last sample still sees the full rate.
OVERHANG_SECONDS = 0.1
SETTLE_SECONDS = 0.5
# After its last connection a hub of 8000 gets a part of a heartbeat's time to come to rest, and then a little more than
# a heartbeat's, in which every stream has to get one.
REST_HEARTBEATS = 0.1
HEARTBEATS = 1.1
# Fewer events than this share of what is published: the hub does not keep up, and its figures are of another load. Not
# more: a machine that pauses for half a second is no fault of the hub, and the median leaves such a round out.
LEAST_SHARE = 0.5
COMPLETE_SECONDS = 20.0
SPARE_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Work:
    """`browsers` on each of `channels`; `per_tick` events every `tick_seconds`, to the channels in turn.

    With `heartbeat_seconds` the streams are idle first, for longer than that, and the hub's memory is taken.
    """

    channels: int
    browsers: int
    tick_seconds: float
    per_tick: int
    heartbeat_seconds: int | None = None

    @property
    def streams(self) -> int:
        """All browsers."""
        return self.channels * self.browsers

    @property
    def delivered_per_s(self) -> float:
        """Events that reach a browser in a second, when the hub keeps up."""
        return self.per_tick / self.tick_seconds * self.browsers

    @property
    def rate(self) -> str:
        """What is published, in words: `80 events/s`."""
        return f"{self.per_tick / self.tick_seconds:g} events/s"

    @property
    def schedule(self) -> Schedule:
        """Warm-up, what is measured, and a little more."""
        seconds = WARM_UP_SECONDS + MEASURED_SECONDS + OVERHANG_SECONDS
        return Schedule(self.tick_seconds, self.per_tick, self.channels, seconds)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everybody: monotonic seconds, processor seconds of the hub and of this process, and what came.

    `helpers_cpu`: processor seconds of Redis, or of whatever else the hub needs beside itself.
    """

    at: float
    cpu: float
    own_cpu: float
    events: int
    reads: int
    helpers_cpu: float = 0.0


class Saturated(Exception):
    """The hub delivered less than was published: what it costs is not the cost of this load."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is looked at: always the same processes, so that one that ends can't be overlooked."""

    crowd: Crowd
    pids: list[int]
    helper_pids: list[int]

    def look(self) -> Sample:
        """How far both sides are now. Raises ProcessEnded."""
        tally = self.crowd.tally
        own, helpers = time.process_time(), cpu_seconds(self.helper_pids)
        return Sample(time.monotonic(), cpu_seconds(self.pids), own, tally.events, tally.reads, helpers)


async def measure_delivery(hub: Hub, work: Work) -> dict[str, float]:
    """The figures of a run. Raises CrowdError for any difference between what came and what was sent, and Saturated."""
    allow_descriptors(work.streams + SPARE_DESCRIPTORS)
    crowd = Crowd(hub.targets, work.browsers)
    watch = Watch(crowd, hub.pids, hub.helper_pids)
    figures: dict[str, float] = {}
    try:
        async with Feed(hub.publisher, work.schedule) as feed:
            empty = memory(watch.pids).rss
            began = time.monotonic()
            await crowd.connect()
            figures["connects_per_s"] = work.streams / (time.monotonic() - began)
            if work.heartbeat_seconds:
                await rest_through_heartbeats(crowd, work.heartbeat_seconds)
                figures["kb_per_connection"] = (memory(watch.pids).rss - empty) / work.streams / 1024
            else:
                await asyncio.sleep(SETTLE_SECONDS)
            gc.collect()
            gc.disable()  # a pause of ours would be counted as the hub's latency
            feed.start()
            await asyncio.sleep(WARM_UP_SECONDS)
            before = watch.look()
            await asyncio.sleep(MEASURED_SECONDS)
            after = watch.look()
            if crowd.tally.failure is not None:
                raise CrowdError(crowd.tally.failure)
            check_load(before, after, work)
            fed = await feed.finished()
            await crowd.complete(work.schedule.totals(), COMPLETE_SECONDS)
    finally:
        gc.enable()
        crowd.close()
    cost = costs(before, after, work.tick_seconds)
    return {**cost, **latencies(crowd, fed), **about_publisher(fed), **figures}


async def rest_through_heartbeats(crowd: Crowd, heartbeat_seconds: int) -> None:
    """Idle for a little more than a heartbeat. Raises CrowdError unless every single stream has got one."""
    await asyncio.sleep(heartbeat_seconds * REST_HEARTBEATS)
    for stream in crowd.streams:
        stream.beaten = False
    await asyncio.sleep(heartbeat_seconds * HEARTBEATS)
    if silent := sum(not stream.beaten for stream in crowd.streams):
        raise CrowdError(f"{silent} of {len(crowd.streams)} idle streams got no heartbeat")


def check_load(before: Sample, after: Sample, work: Work) -> None:
    """Raise Saturated when clearly less came than was to come. One tick may lie on the window's edge."""
    seconds = after.at - before.at
    rate, wanted = (after.events - before.events) / seconds, work.delivered_per_s
    edge = work.per_tick * work.browsers / seconds
    if rate < wanted * LEAST_SHARE - edge:
        raise Saturated(f"saturated: {rate:,.0f} of {wanted:,.0f} events/s were delivered")


def costs(before: Sample, after: Sample, tick_seconds: float) -> dict[str, float]:
    """Processor time for each event that reached a browser, and how busy both sides were.

    With helpers: Redis is part of what Stagecast needs, as an origin is of Pushpin. `client_ms_per_tick` is what our
    own client needs to read what one tick brings: that much of a latency may be the client's.
    """
    seconds, events = after.at - before.at, after.events - before.events
    helpers = after.helpers_cpu - before.helpers_cpu
    if not events:
        raise RuntimeError("nothing was delivered while it was measured")
    return {
        "cpu_us_per_event": (after.cpu - before.cpu) / events * 1e6,
        "cpu_with_helpers_us_per_event": (after.cpu - before.cpu + helpers) / events * 1e6,
        "delivered_per_s": events / seconds,
        "hub_cores": (after.cpu - before.cpu) / seconds,
        "helpers_cores": helpers / seconds,
        "client_cores": (after.own_cpu - before.own_cpu) / seconds,
        "client_ms_per_tick": (after.own_cpu - before.own_cpu) / seconds * tick_seconds * 1000,
        "events_per_read": events / max(1, after.reads - before.reads),
    }


def latencies(crowd: Crowd, fed: Fed) -> dict[str, float]:
    """From the moment an event left the publisher until an audited browser read it; those of the warm-up left out."""
    begin = min(times[0] for times in fed.times if times) + int(WARM_UP_SECONDS * 1e9)
    delays: list[int] = []
    for stream in crowd.streams:
        if isinstance(stream, Auditor):
            sent = fed.times[stream.channel]
            delays += [come - left for come, left in zip(stream.times, sent, strict=True) if left >= begin]
    delays.sort()
    return {f"p{share}_ms": percentile(delays, share) / 1e6 for share in (50, 99)}


def percentile(ordered: Sequence[int], share: int) -> float:
    """By nearest rank, `share` in percent. Raises IndexError when there is nothing."""
    return float(ordered[max(0, -(-len(ordered) * share // 100) - 1)])


def about_publisher(fed: Fed) -> dict[str, float]:
    """How the publisher did: its own cost, and by how much it was late at worst."""
    return {"publisher_cores": fed.cpu_seconds / fed.seconds, "publisher_late_ms": fed.worst_delay_ms}
