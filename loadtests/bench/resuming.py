"""Everybody comes back at once to a hub that just started: 5000 browsers of 500 sessions, each 200 events behind."""

import asyncio
import time

import httpx

from loadtests.bench.crowd import Crowd, Target
from loadtests.bench.delivering import SPARE_DESCRIPTORS
from loadtests.bench.feed import Burst
from loadtests.bench.machine import Cores, allow_descriptors, cpu_seconds
from loadtests.bench.payload import payloads
from loadtests.bench.peers.nchan import Nchan
from loadtests.bench.peers.stagecast import Stagecast, StagecastPublisher
from loadtests.vitals import read_metrics

SESSIONS = 500
BROWSERS = 10
BEHIND = 200
# What a browser had before it lost its connection.
KNOWN = 50
SECONDS = 30.0
# They do not wait for each other; what the system queues for a listening socket (net.core.somaxconn) is 4096 or more.
AT_ONCE = 2048
_PAGES = "stagecast_log_reads_total"


async def resume_stagecast(cores: Cores) -> dict[str, float]:
    """Logs of 250 events from before the gateway's start, so that nothing of them is in its memory."""
    hub = LoggedStagecast(SESSIONS, cores)
    with hub:
        pages = await log_pages(hub)
        positions = [f"Last-Event-ID: {epoch}.{KNOWN}\r\n" for epoch in hub.epochs]
        targets = [hub.target(channel, position) for channel, position in enumerate(positions)]
        figures = await come_back(hub.pids, targets, first=KNOWN + 1, last=KNOWN + BEHIND)
        read = await log_pages(hub) - pages
    if read <= 0:
        raise RuntimeError(f"browsers caught up, and the gateway has counted {read:g} pages of the log for it")
    return {**figures, "log_pages_per_session": read / SESSIONS}


class LoggedStagecast(Stagecast):
    """With a log in each session before the gateway starts."""

    def make_sessions(self) -> None:
        super().make_sessions()
        publisher = StagecastPublisher(0, self.database, self.sessions, self.epochs)
        publisher.open_database()
        events = payloads(1, KNOWN + BEHIND)
        publisher.commit([Burst(channel, 1, events) for channel in range(self.channels)])
        publisher.close_database()


async def resume_nchan(cores: Cores) -> dict[str, float]:
    """The nearest that Nchan has: browsers that ask for all of its buffer, which lies in its memory."""
    with Nchan(SESSIONS, cores) as hub:
        publisher = hub.publisher
        publisher.open()
        for first in range(1, BEHIND + 1):
            event = payloads(first, 1)
            publisher.publish([Burst(channel, first, event) for channel in range(SESSIONS)])
        publisher.finish()
        return await come_back(hub.pids, hub.targets_from_oldest, first=1, last=BEHIND)


async def come_back(pids: list[int], targets: list[Target], first: int, last: int) -> dict[str, float]:
    """Connect all at once; done when everybody has everything, each event checked to have come once and in order."""
    allow_descriptors(SESSIONS * BROWSERS + SPARE_DESCRIPTORS)
    crowd = Crowd(targets, BROWSERS, first=first)
    cpu, own, began = cpu_seconds(pids), time.process_time(), time.monotonic()
    try:
        await asyncio.gather(crowd.connect(AT_ONCE), crowd.complete([last] * len(targets), SECONDS, first=first))
        seconds = time.monotonic() - began
        spent, own = cpu_seconds(pids) - cpu, time.process_time() - own
    finally:
        crowd.close()
    events = crowd.tally.events
    return {
        "seconds_to_complete": seconds,
        "cpu_us_per_event": spent / events * 1e6,
        "hub_cores": spent / seconds,
        "client_cores": own / seconds,
        "delivered_per_s": events / seconds,
    }


async def log_pages(hub: Stagecast) -> float:
    """How many pages the gateway has read from the log so far; several reads of one session count each."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
        answer = await client.get(f"{hub.gateway.url}/metrics")
    return counted_pages(answer.raise_for_status().text)


def counted_pages(metrics: str) -> float:
    """The counter in the text of /metrics. Raises KeyError when it is not there: nothing counted is no measurement."""
    return read_metrics(metrics)[_PAGES]
