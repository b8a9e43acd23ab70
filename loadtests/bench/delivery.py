"""The bars of delivery: one publication to many browsers, against Nchan and other hubs in the same rounds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from loadtests.bench.bars import Bar, Goal, Kind, Run
from loadtests.bench.delivering import Work, measure_delivery
from loadtests.bench.figures import MORE_IS_BETTER
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
    "pushpin": replace(BURSTS, tick_seconds=0.1),
    "queue-hub": replace(BURSTS, tick_seconds=0.1),
    "plain-hub": replace(BURSTS, tick_seconds=0.4),
}
# What the full load does to them is tried once in each run of P1, and stands in the report.
ATTEMPTS = {f"{name} at the full load": BURSTS for name in SLOWER}
NCHAN_FED = (
    "P1, P2 and P4 feed nchan over a WebSocket, P3 and P11d by POST. A POST waits for the answer to the one before: "
    "else events change places."
)
CLIENT_NOTE = (
    "The client reads what Stagecast sends for a burst in one read, and Nchan's events one by one: its own share of a "
    "burst's latency stands in the table."
)
HELPERS_NOTE = (
    "CPU with Redis counts redis-server's processor time as well as the gateway's; Nchan needs none. Stagecast's "
    "publisher commits each event to the log before it publishes; the hubs' publishers only publish."
)
EVENLY = Work(channels=1, browsers=500, tick_seconds=0.0025, per_tick=1)
# 15,000 a second; the publishers wake up a thousand times, which is as often as they can.
MANY = Work(channels=1000, browsers=1, tick_seconds=0.001, per_tick=15)
MANY_MORE = Work(channels=10_000, browsers=1, tick_seconds=0.001, per_tick=15)
# Shown beside Nchan's where the bar has no goal for them.
DELIVERY = ("cpu_with_helpers_us_per_event", "p99_ms", "connects_per_s")
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
            [
                _ratio("cpu_us_per_event", 0.35),
                _ratio("p99_ms", 1.0),
                _ratio("p99_ms", 1.0, "nchan-posts"),
                _shown("cpu_with_helpers_us_per_event"),
                _shown("client_ms_per_tick"),
            ],
            (*PAIR, "nchan-posts"),
            delivering({**dict.fromkeys(HUBS, BURSTS), **SLOWER, **ATTEMPTS}, cores),
            others=("pushpin", "mercure", "centrifugo", "queue-hub", "plain-hub"),
            notes=(NCHAN_FED, CLIENT_NOTE, HELPERS_NOTE),
            loads={name: work.rate for name, work in SLOWER.items()},
            attempts=tuple(ATTEMPTS),
            # Pushpin loses packets between its own processes now and then, which closes streams; the other two runners
            # have never run. That is no fault of who is measured.
            may_fail=("pushpin", "mercure", "centrifugo"),
        ),
        Bar(
            "P2",
            "one session, 500 browsers, 400 events/s evenly spaced",
            [_ratio("cpu_us_per_event", 0.8), _ratio("p99_ms", 2.0), _shown("cpu_with_helpers_us_per_event")],
            PAIR,
            delivering(dict.fromkeys(PAIR, EVENLY), cores),
        ),
        Bar(
            "P3",
            "1000 sessions, one browser each, 15,000 events/s",
            [_ratio("cpu_us_per_event", 0.9), *_shown_of(DELIVERY)],
            PAIR,
            delivering(dict.fromkeys(PAIR, MANY), cores),
        ),
        Bar(
            "P4",
            "one session, 8000 browsers, 10 events/s",
            [_ratio("cpu_us_per_event", 1.0), *_shown_of(DELIVERY)],
            PAIR,
            crowded,
        ),
        Bar(
            "P5",
            "8000 idle connections with access check and heartbeats",
            [_value("kb_per_connection", 14), _shown("kb_per_connection")],
            PAIR,
            crowded,
            others=("queue-hub", "plain-hub"),
            loads=dict.fromkeys(("queue-hub", "plain-hub"), f"{SMALL.streams} connections"),
        ),
        Bar(
            "P9",
            "5000 browsers of 500 sessions resume at once, 200 events behind each",
            [_value("seconds_to_complete", 3), _value("log_pages_per_session", 1), _shown("seconds_to_complete")],
            ("stagecast",),
            resuming(cores),
            others=("nchan",),
        ),
        Bar(
            "P11d",
            "P3 with ten times as many channels",
            [Goal("cpu_us_per_event", Kind.RATIO, 1.25, "stagecast P3"), *_shown_of(("cpu_us_per_event", "p99_ms"))],
            ("stagecast", "stagecast P3"),
            delivering({"stagecast": MANY_MORE, "stagecast P3": MANY, "nchan": MANY_MORE}, cores),
            others=("nchan",),
        ),
    ]


def _ratio(figure: str, limit: float, peer: str = "nchan") -> Goal:
    return Goal(figure, Kind.RATIO, limit, peer)


def _shown(figure: str) -> Goal:
    """Beside Nchan's, without a goal."""
    return Goal(figure, Kind.RATIO, peer="nchan", at_least=figure in MORE_IS_BETTER)


def _shown_of(figures: Sequence[str]) -> list[Goal]:
    return [_shown(figure) for figure in figures]


def _value(figure: str, limit: float) -> Goal:
    return Goal(figure, Kind.VALUE, limit)
