"""Half an hour of submit, stream, drop and resume, and whether the gateway stays as it was. `python -m loadtests.soak`

SQLite and Redis, a retention of a minute so that logs are trimmed all the time, connections of eight seconds at most.
Every ten seconds the gateway is looked at. At the end all browsers leave, and what they took has to be given back. Exit
code 1 when anything grew, or when any visit lost, doubled or reordered an event.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from loadtests.drift import Drift, Tolerance, find_drift
from loadtests.passers import Town
from loadtests.sessions import Owner
from loadtests.sheet import begin_sheet, log, table
from loadtests.vitals import look_at, raise_descriptor_limit
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer
from tests.waiting import wait_for

PREFIX = "soak"
SETTINGS = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "20",
    "LOG__RETENTION_SECONDS": "60",
    "SSE__MAX_AGE_SECONDS": "8",
    "SSE__HEARTBEAT_SECONDS": "5",
    "SSE__RETRY_MS": "500",
    "SSE__SEND_TIMEOUT_SECONDS": "10",
    "SSE__CHANNEL_PREFIX": PREFIX,
}
# The longest visit's check, then the channels' five seconds, then a sweep.
LEAVE_SECONDS = 120.0
GIVEN_BACK_SECONDS = 30.0
# What a quiet process keeps for the next time: pooled connections to SQLite with three files each, to Redis, and ours.
POOLED_DESCRIPTORS = 30
# Memory: allocators and caches move by some megabytes. Everything else follows how many people are there.
TOLERANCES = {
    "memory, MB": Tolerance(0.05, 6),
    "open descriptors": Tolerance(0.1, 20),
    "threads": Tolerance(0, 4),
    "connections": Tolerance(0.1, 20),
    "channels": Tolerance(0.1, 20),
    "Redis channels": Tolerance(0.1, 20),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """`pause_seconds` lies between two submissions, on the average."""

    minutes: float = 30
    browsers: int = 120
    sessions: int = 30
    dishes: int = 5
    pause_seconds: float = 0.25
    every_seconds: float = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at` is in seconds since the start; counters are since the start of the process."""

    at: float
    memory_mb: float
    cpu_seconds: float
    descriptors: int
    threads: int
    connections: int
    channels: int
    redis_channels: int
    redis_subscriptions: int
    database_mb: float
    committed: int
    delivered: int
    log_reads: int
    refused: int


@dataclass(frozen=True, slots=True)
class Soak:
    """The whole run. `at_rest` was taken when all had left and the lingering was over, `first` before anybody came."""

    minutes: float
    first: Sample
    at_rest: Sample
    drifts: list[Drift]
    counts: dict[str, int]
    troubles: list[str]
    samples: list[Sample]

    @property
    def given_back(self) -> bool:
        """Whether nothing is held for browsers that have left."""
        rest, first = self.at_rest, self.first
        held = (rest.connections, rest.channels, rest.redis_channels - first.redis_channels)
        return held == (0, 0, 0) and rest.descriptors <= first.descriptors + POOLED_DESCRIPTORS

    @property
    def passed(self) -> bool:
        """Whether nothing grew, all was given back, and no visit missed anything."""
        broken = sum(self.counts.get(kind, 0) for kind in ("lost", "doubled", "reordered", "foreign", "unproven"))
        checked = self.counts.get("visits checked", 0)
        flat = all(drift.flat for drift in self.drifts)
        return checked > 0 and not broken and not self.troubles and self.given_back and flat


class Observer:
    """Takes samples of one gateway and its Redis."""

    def __init__(self, gateway: GatewayProcess, redis: Redis) -> None:
        self._gateway = gateway
        self._redis = redis
        self._began = time.perf_counter()
        self.samples: list[Sample] = []
        self.failures: list[str] = []

    async def look(self) -> Sample:
        """One sample."""
        vitals = await look_at(self._gateway)
        channels = await self._redis.pubsub_channels(f"{PREFIX}:*")
        subscriptions = await self._redis.pubsub_numsub(*channels)
        return Sample(
            at=round(time.perf_counter() - self._began, 1),
            memory_mb=round(vitals.rss_bytes / 1e6, 1),
            cpu_seconds=round(vitals.cpu_seconds, 2),
            descriptors=vitals.descriptors,
            threads=vitals.threads,
            connections=round(vitals.total("stagecast_connections")),
            channels=round(vitals.total("stagecast_channels")),
            redis_channels=len(channels),
            redis_subscriptions=sum(number for _, number in subscriptions),
            database_mb=round(sum(size_of(path) for path in self._gateway.directory.glob("stagecast.db*")) / 1e6, 2),
            committed=round(vitals.total("stagecast_events_committed_total")),
            delivered=round(vitals.total("stagecast_events_delivered_total")),
            log_reads=round(vitals.total("stagecast_log_reads_total")),
            refused=round(vitals.total("stagecast_connections_refused_total")),
        )

    async def keep_looking(self, plan: Plan) -> None:
        """A sample every few seconds until the time is over."""
        until = time.perf_counter() + plan.minutes * 60
        while time.perf_counter() < until:
            await asyncio.sleep(plan.every_seconds)
            try:
                self.samples.append(await self.look())
            except (httpx.TransportError, RedisError) as error:
                self.failures.append(f"no look at {time.perf_counter() - self._began:.0f} s: {type(error).__name__}")
                continue
            newest = self.samples[-1]
            log(
                f"{newest.at:7.0f} s  {newest.memory_mb:6.1f} MB  {newest.descriptors} descriptors  "
                f"{newest.connections} connections  {newest.channels} channels  {newest.redis_channels} in Redis  "
                f"{newest.database_mb} MB on disk  {newest.cpu_seconds / newest.at:.0%} CPU"
            )


def size_of(path: Path) -> int:
    """Bytes; 0 for a file that is gone."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


async def run(gateway: GatewayProcess, redis_url: str, plan: Plan) -> Soak:
    """Let people come and go for the time, then have them leave."""
    owner, redis = Owner(gateway.port), Redis.from_url(redis_url)
    town = Town(gateway.port, owner, plan.dishes, plan.sessions)
    tasks: list[asyncio.Task[None]] = []
    try:
        observer = Observer(gateway, redis)
        first = await observer.look()
        tasks.append(asyncio.create_task(town.submit(plan.pause_seconds)))
        await wait_for(lambda: len(town.sessions) >= min(3, plan.sessions), LEAVE_SECONDS)
        tasks += [asyncio.create_task(town.pass_by()) for _ in range(plan.browsers)]
        await observer.keep_looking(plan)
        town.over.set()
        async with asyncio.timeout(LEAVE_SECONDS):
            await asyncio.gather(*tasks)
        await owner.close()

        async def nobody_left() -> bool:
            rest = await observer.look()
            return (rest.connections, rest.channels, rest.redis_channels) == (0, 0, first.redis_channels)

        with suppress(TimeoutError):
            await wait_for(nobody_left, GIVEN_BACK_SECONDS)
        town.troubles += observer.failures
        return sum_up(plan, town, first, await observer.look(), observer.samples)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await owner.close()
        await redis.aclose()


def sum_up(plan: Plan, town: Town, first: Sample, at_rest: Sample, samples: list[Sample]) -> Soak:
    """The verdict."""
    seconds = [sample.at for sample in samples]
    series: dict[str, list[float]] = {
        "memory, MB": [sample.memory_mb for sample in samples],
        "open descriptors": [sample.descriptors for sample in samples],
        "threads": [sample.threads for sample in samples],
        "connections": [sample.connections for sample in samples],
        "channels": [sample.channels for sample in samples],
        "Redis channels": [sample.redis_channels for sample in samples],
    }
    drifts = [find_drift(name, seconds, values, TOLERANCES[name]) for name, values in series.items()]
    return Soak(plan.minutes, first, at_rest, drifts, dict(sorted(town.counts.items())), town.troubles, samples)


def to_lines(soak: Soak) -> list[str]:
    """What was counted, and a table of what may not grow."""
    counts, last, rest = soak.counts, soak.samples[-1], soak.at_rest
    promises = ", ".join(f"{kind} {counts.get(kind, 0)}" for kind in ("lost", "doubled", "reordered", "foreign"))
    partings = ", ".join(
        f"{kind.removeprefix('parting: ')} {number}" for kind, number in counts.items() if kind.startswith("parting: ")
    )
    rows = [
        [one.name, f"{one.early:g}", f"{one.late:g}", f"{one.most:g}", f"{one.slope_per_hour:+g}", word(one.flat)]
        for one in soak.drifts
    ]
    return [
        f"{soak.minutes:g} minutes: {counts.get('jobs', 0)} jobs, {last.committed} events committed, {last.delivered} "
        f"delivered over {counts.get('connections', 0)} connections in {counts.get('visits', 0)} visits "
        f"({counts.get('visits checked', 0)} checked), {counts.get('visits that read nothing', 0)} more that read "
        f"nothing; {last.cpu_seconds / last.at:.0%} of a core.",
        "",
        f"Events: {promises}; heads that proved a loss: {counts.get('unproven', 0)}; resets after a trim: "
        f"{counts.get('resets', 0)}; troubles: {len(soak.troubles)}. Partings: {partings or 'none'}.",
        "",
        *table(["", "second fifth", "last fifth", "most", "slope per hour", "verdict"], rows),
        "",
        f"At rest: {rest.connections} connections, {rest.channels} channels, {rest.redis_channels} Redis channels, "
        f"{rest.descriptors} descriptors ({soak.first.descriptors} at the start), {rest.memory_mb} MB "
        f"({soak.first.memory_mb} at the start): {'given back' if soak.given_back else '**not given back**'}. "
        f"Database: {soak.first.database_mb} MB, then {last.database_mb} MB.",
        *[f"- {trouble}" for trouble in soak.troubles],
    ]


def word(flat: bool) -> str:
    """The verdict on one series."""
    return "flat" if flat else "**grows**"


def main(arguments: Sequence[str]) -> None:
    """Run, print, write loadtests/results/soak.json and soak.md; exit code 1 when something grew or was lost."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description=(__doc__ or "").split("\n")[0])
    usual = Plan()
    parser.add_argument("--minutes", type=float, default=usual.minutes)
    parser.add_argument("--browsers", type=int, default=usual.browsers)
    parser.add_argument("--sessions", type=int, default=usual.sessions)
    parser.add_argument("--pause-seconds", type=float, default=usual.pause_seconds, help="between two submissions")
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    sheet = begin_sheet("soak", arguments)
    plan = Plan(options.minutes, options.browsers, options.sessions, pause_seconds=options.pause_seconds)
    with RedisServer() as redis, GatewayProcess(redis_url=redis.url, settings=SETTINGS) as gateway:
        soak = uvloop.run(run(gateway, redis.url, plan))
    sheet = replace(sheet, passed=soak.passed, measured=soak, lines=to_lines(soak))
    sheet.write("soak")
    print(sheet.text)
    sys.exit(0 if soak.passed else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
