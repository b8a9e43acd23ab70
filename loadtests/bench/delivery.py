"""The bars of delivery: one publication to many browsers, against Nchan and other hubs in the same rounds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from loadtests.bench.bars import Bar, Goal, Kind, Run
from loadtests.bench.delivering import Work, measure_delivery
from loadtests.bench.machine import Cores, pick_cores
from loadtests.bench.peers.base import Hub
from loadtests.bench.peers.go_hubs import Centrifugo, Mercure
from loadtests.bench.peers.nchan import Nchan, PostedNchan
from loadtests.bench.peers.pushpin import Pushpin
from loadtests.bench.peers.redis_fed import PlainHub, QueueHub
from loadtests.bench.peers.stagecast import Stagecast
from loadtests.bench.resuming import resume_nchan, resume_stagecast

Measure = Callable[[str, int], Awaitable[Run]]

_HUBS = (Stagecast, Nchan, PostedNchan, Pushpin, Mercure, Centrifugo, QueueHub, PlainHub)
HUBS: dict[str, type[Hub]] = {hub.name: hub for hub in _HUBS}
PAIR = ("stagecast", "nchan")

BURSTS = Work(channels=1, browsers=500, tick_seconds=0.02, per_tick=8)
# What could not keep up gets a fifth or a twentieth of the bursts; its cost by event is what it is.
SLOWER = {
    "pushpin": replace(BURSTS, tick_seconds=0.4, per_tick=2),
    "queue-hub": replace(BURSTS, tick_seconds=0.1),
    "plain-hub": replace(BURSTS, tick_seconds=0.4),
}
NCHAN_FED = (
    "nchan is fed over a WebSocket, nchan-posts by a POST for each event, which waits for the answer to the one "
    "before: else events change places."
)
SLOWER_FED = (
    "pushpin gets 5 events/s in bursts of 2 (it closes streams when more comes), queue-hub 80/s and plain-hub 20/s in "
    "bursts of 8: at 400/s they are saturated."
)
EVENLY = Work(channels=1, browsers=500, tick_seconds=0.0025, per_tick=1)
# 15,000 a second; the publishers wake up a thousand times, which is as often as they can.
MANY = Work(channels=1000, browsers=1, tick_seconds=0.001, per_tick=15)
MANY_MORE = Work(channels=10_000, browsers=1, tick_seconds=0.001, per_tick=15)
CROWDED = Work(channels=1, browsers=8000, tick_seconds=0.1, per_tick=1, heartbeat_seconds=3)
SMALL = replace(CROWDED, browsers=1000, tick_seconds=1.0)


def delivering(works: dict[str, Work], cores: Cores) -> Measure:
    """A bar's `measure`: what each program has to do; a name is a hub's, perhaps with more after a space.

    Bars that share the same `measure` share its runs: the second one asks for a round that is there already.
    """
    done: dict[tuple[str, int], Run] = {}

    async def run(program: str, pair: int) -> Run:
        if (program, pair) not in done:
            work = works[program]
            with HUBS[program.partition(" ")[0]](work.channels, cores, work.heartbeat_seconds) as hub:
                done[program, pair] = Run(program, pair, await measure_delivery(hub, work))
        return done[program, pair]

    return run


def resuming(cores: Cores) -> Measure:
    """`measure` of the storm."""

    async def run(program: str, pair: int) -> Run:
        resume = {"stagecast": resume_stagecast, "nchan": resume_nchan}[program]
        return Run(program, pair, await resume(cores))

    return run


def bars() -> Sequence[Bar]:
    """The delivery bars, in the order of the table."""
    cores = pick_cores()
    crowded = delivering({**dict.fromkeys(PAIR, CROWDED), **dict.fromkeys(("queue-hub", "plain-hub"), SMALL)}, cores)
    return [
        Bar(
            "P1",
            "one session, 500 browsers, 400 events/s in bursts of 8",
            [_ratio("cpu_us_per_event", 0.35), _ratio("p99_ms", 1.0)],
            PAIR,
            delivering({**dict.fromkeys(HUBS, BURSTS), **SLOWER}, cores),
            others=("nchan-posts", "pushpin", "mercure", "centrifugo", "queue-hub", "plain-hub"),
            notes=(NCHAN_FED, SLOWER_FED),
        ),
        Bar(
            "P2",
            "one session, 500 browsers, 400 events/s evenly spaced",
            [_ratio("cpu_us_per_event", 0.8), _ratio("p99_ms", 2.0)],
            PAIR,
            delivering(dict.fromkeys(PAIR, EVENLY), cores),
        ),
        Bar(
            "P3",
            "1000 sessions, one browser each, 15,000 events/s",
            [_ratio("cpu_us_per_event", 0.9)],
            PAIR,
            delivering(dict.fromkeys(PAIR, MANY), cores),
        ),
        Bar(
            "P4",
            "one session, 8000 browsers, 10 events/s",
            [_ratio("cpu_us_per_event", 1.0)],
            PAIR,
            crowded,
        ),
        Bar(
            "P5",
            "8000 idle connections with access check and heartbeats",
            [_value("kb_per_connection", 14)],
            PAIR,
            crowded,
            others=("queue-hub", "plain-hub"),
            notes=("queue-hub and plain-hub hold 1000 connections, and are fed one event/s.",),
        ),
        Bar(
            "P9",
            "5000 browsers of 500 sessions resume at once, 200 events behind each",
            [_value("seconds_to_complete", 3), _value("log_reads_per_session", 1)],
            ("stagecast",),
            resuming(cores),
            others=("nchan",),
        ),
        Bar(
            "P11d",
            "P3 with ten times as many channels",
            [Goal("cpu_us_per_event", Kind.RATIO, 1.25, "stagecast P3")],
            ("stagecast", "stagecast P3"),
            delivering({"stagecast": MANY_MORE, "stagecast P3": MANY, "nchan": MANY_MORE}, cores),
            others=("nchan",),
        ),
    ]


def _ratio(figure: str, limit: float) -> Goal:
    return Goal(figure, Kind.RATIO, limit, "nchan")


def _value(figure: str, limit: float) -> Goal:
    return Goal(figure, Kind.VALUE, limit)
