"""One delivery run: everybody connects, events are published on a schedule, both sides are looked at in the middle."""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.crowd import Auditor, Crowd
from loadtests.bench.feed import Fed, Feed, Schedule
from loadtests.bench.machine import allow_descriptors, cpu_seconds, memory
from loadtests.bench.peers.base import Hub

WARM_UP_SECONDS = 0.8
MEASURED_SECONDS = 2.5
# Publishing goes on a little longer than what is measured, so that the last sample still sees the full rate.
OVERHANG_SECONDS = 0.1
SETTLE_SECONDS = 0.5
# After its last connection a hub of 8000 gets so many heartbeats' time to come to rest.
HEARTBEATS = 1.2
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


def look(hub: Hub, crowd: Crowd) -> Sample:
    """How far both sides are now."""
    tally = crowd.tally
    own, helpers = time.process_time(), cpu_seconds(hub.helper_pids)
    return Sample(time.monotonic(), cpu_seconds(hub.pids), own, tally.events, tally.reads, helpers)


async def measure_delivery(hub: Hub, work: Work) -> dict[str, float]:
    """The figures of a run. Raises CrowdError for any difference between what came and what was sent."""
    allow_descriptors(work.streams + SPARE_DESCRIPTORS)
    crowd = Crowd(hub.targets, work.browsers)
    figures: dict[str, float] = {}
    try:
        async with Feed(hub.publisher, work.schedule) as feed:
            empty = memory(hub.pids).rss
            began = time.monotonic()
            await crowd.connect()
            figures["connects_per_s"] = work.streams / (time.monotonic() - began)
            if work.heartbeat_seconds:
                await rest_through_heartbeats(crowd, work.heartbeat_seconds)
                figures["kb_per_connection"] = (memory(hub.pids).rss - empty) / work.streams / 1024
            else:
                await asyncio.sleep(SETTLE_SECONDS)
            gc.collect()
            gc.disable()  # a pause of ours would be counted as the hub's latency
            feed.start()
            await asyncio.sleep(WARM_UP_SECONDS)
            before = look(hub, crowd)
            await asyncio.sleep(MEASURED_SECONDS)
            after = look(hub, crowd)
            fed = await feed.finished()
            await crowd.complete(work.schedule.totals(), COMPLETE_SECONDS)
    finally:
        gc.enable()
        crowd.close()
    return {**costs(before, after), **latencies(crowd, fed), **about_publisher(fed), **figures}


async def rest_through_heartbeats(crowd: Crowd, heartbeat_seconds: int) -> None:
    """Idle for a little more than a heartbeat. Raises RuntimeError when not every stream can have got one."""
    reads = crowd.tally.reads
    await asyncio.sleep(heartbeat_seconds * HEARTBEATS)
    if crowd.tally.reads - reads < len(crowd.streams):
        raise RuntimeError(f"{crowd.tally.reads - reads} heartbeats reached {len(crowd.streams)} idle streams")


def costs(before: Sample, after: Sample) -> dict[str, float]:
    """Processor time for each event that reached a browser, and how busy both sides were."""
    seconds, events = after.at - before.at, after.events - before.events
    if not events:
        raise RuntimeError("nothing was delivered while it was measured")
    return {
        "cpu_us_per_event": (after.cpu - before.cpu) / events * 1e6,
        "delivered_per_s": events / seconds,
        "hub_cores": (after.cpu - before.cpu) / seconds,
        "helpers_cores": (after.helpers_cpu - before.helpers_cpu) / seconds,
        "client_cores": (after.own_cpu - before.own_cpu) / seconds,
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
