"""The end-to-end bars: from a POST to results that are committed and received. `python -m loadtests.bench P6`

| | what is measured |
|---|---|
| P6 | results per second, 50 browsers at once, each with a session and a menu of 20 dishes, numbers checked |
| P7 | at half that rate, jobs submitted at an even pace: from just before an event's commit until its browser has it |
| P8 | one job on an idle server: from the POST to the first result, and to the job's end |
| P10 | P6 on PostgreSQL |
| P11 | what a result costs as the work grows: see `growth.py` |

P7's commit times are what the committing process writes into the message on the bus (`committed_at_us`, see
`commits.py`) when its transaction numbers the events, so before the COMMIT, which is part of the delay; the `at` inside
an event is older, the moment of the decision. How late the client itself comes to its own appointments stands beside
it: that much of the 99th percentile may be the client's.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench import growth
from loadtests.bench.bars import Bar, Goal, Kind, Run
from loadtests.bench.commits import CommitListener, delays_ms
from loadtests.bench.machine import Cores, cpu_of_each, cpu_spent, pick_cores
from loadtests.bench.programs import OURS, PLAIN, Setting, running
from loadtests.bench.rounds import LONGEST_ROUND_SECONDS, Crew, Load, Round, check, without_collecting
from loadtests.probe import Probe, ProbeError, Watched

WORK = Load(sessions=50, dishes=20)
PLAIN_WORK = Load(sessions=10, dishes=20)
PLAIN_WARM_UP = Load(sessions=2, dishes=20)
ROUNDS = 3
IN_PROCESS = "stagecast, bus in the process"
WARM_UP_JOBS = 5
JOBS = 30
# The server comes to rest: this is the latency of an idle one.
PAUSE_SECONDS = 0.05
PACED_SECONDS = 3.0
PLAIN_LOAD = "10 browsers"
PLAIN_NOTE = (
    "P6 and P10 give plain-way 10 browsers in each round, because 50 take it eleven seconds, and in the first round 50 "
    "as well: that round counts the better of its two rates. Of our three rounds of 50 browsers the median counts."
)
POSTGRES_NOTE = (
    "P10's PostgreSQL runs with fsync=off and full_page_writes=off. That favours plain-way, which commits each result."
)
PACED_NOTE = (
    "P7 counts from the moment when a transaction numbers its events, just before it writes and commits them. Every "
    "event counts, also those that were committed before their browser had come."
)
# At less than this share of the pace that was asked for, the client or the gateway did not keep it.
LEAST_PACE = 0.8


OF_50 = Goal("results_per_s_of_50", Kind.RATIO, peer=PLAIN, at_least=True)


class Whole:
    """Measures the bars on these cores."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores

    async def throughput(self, program: str, pair: int) -> Run:
        """P6."""
        return await self._throughput(program, pair, Setting(redis=program != IN_PROCESS))

    async def throughput_on_postgres(self, program: str, pair: int) -> Run:
        """P10."""
        return await self._throughput(program, pair, Setting(postgres=True))

    async def _throughput(self, program: str, pair: int, setting: Setting) -> Run:
        plain = program == PLAIN
        work, warm_up, number = (PLAIN_WORK, PLAIN_WARM_UP, 1) if plain else (WORK, WORK, ROUNDS)
        with running(program, self._cores, setting) as server:
            crew = Crew(server.port, server.wire, server.pids)
            await crew.work(warm_up)
            before = cpu_of_each(server.server_pids)
            rounds = [await crew.work(work) for _ in range(number)]
            busy = sum(one.seconds for one in rounds)
            spent = cpu_spent(before, cpu_of_each(server.server_pids))
            figures = {**throughput_figures(rounds), "servers_share": spent / busy}
            if not plain:
                figures["results_per_s_of_50"] = figures["results_per_s"]
            elif pair == 0:
                figures |= better_of(figures, await crew.work(WORK))
            crew.leave()
        return Run(program, pair, figures)

    async def paced(self, program: str, pair: int) -> Run:
        """P7."""
        with running(program, self._cores, Setting()) as server:
            assert server.redis is not None
            crew = Crew(server.port, server.wire, server.pids)
            rounds = [await crew.work(WORK) for _ in range(1 + ROUNDS)]
            full = statistics.median(one.results_per_s for one in rounds[1:])
            listener = CommitListener()
            await listener.start(server.redis.port)
            pace = WORK.results / WORK.sessions / (full / 2)
            probes = await crew.gather(math.ceil(PACED_SECONDS / pace))
            with without_collecting():
                own = time.process_time()
                paced = await submit_evenly(probes, WORK, pace)
                own = time.process_time() - own
            await listener.close()
            crew.leave()
        delays = sorted(delays_ms(paced.seen, listener.times()))
        rate = sum(one.results for one in paced.seen) / paced.seconds
        if rate < full / 2 * LEAST_PACE:
            raise ProbeError(f"{rate:,.0f} results/s came at a pace of {full / 2:,.0f}")
        figures = {
            "p50_ms": percentile(delays, 0.5),
            "p99_ms": percentile(delays, 0.99),
            "worst_ms": delays[-1],
            "results_per_s": rate,
            "full_results_per_s": full,
            "client_share": own / paced.seconds,
            "client_late_p99_ms": percentile(sorted(paced.lateness_ms), 0.99),
        }
        return Run(program, pair, figures)

    async def latency(self, program: str, pair: int) -> Run:
        """P8. The plain way has only the synthetic provider."""
        figures: dict[str, float] = {}
        for provider in ("synthetic",) if program == PLAIN else ("builtin", "synthetic"):
            setting = Setting(redis=program != IN_PROCESS, settings={"PROVIDER": provider})
            with running(program, self._cores, setting) as server:
                crew = Crew(server.port, server.wire, server.pids)
                with without_collecting():
                    seen = await one_after_the_other(crew)
                crew.leave()
            figures |= {
                f"{provider}_first_ms": percentile(seen.firsts, 0.5),
                f"{provider}_end_ms": percentile(seen.ends, 0.5),
                f"{provider}_first_p95_ms": percentile(seen.firsts, 0.95),
                f"{provider}_end_p95_ms": percentile(seen.ends, 0.95),
                f"{provider}_client_share": seen.client_share,
            }
        return Run(program, pair, figures)


@dataclass(frozen=True, slots=True)
class Paced:
    """Jobs at an even pace: what each browser saw, from the first POST to the last end, and how late the POSTs were."""

    seen: Sequence[Watched]
    seconds: float
    lateness_ms: Sequence[float]


async def submit_evenly(probes: Sequence[Probe], load: Load, pace_seconds: float) -> Paced:
    """A job by each browser, one every `pace_seconds`, whatever has become of those before."""
    body, began = load.body, time.perf_counter()  # uvloop's own clock has steps of a millisecond
    waiting, lateness = [], []
    for number, probe in enumerate(probes):
        due = began + number * pace_seconds
        await asyncio.sleep(due - time.perf_counter())
        lateness.append((time.perf_counter() - due) * 1000)
        waiting.append(probe.watch(body))
    async with asyncio.timeout(LONGEST_ROUND_SECONDS):
        seen = await asyncio.gather(*waiting)
    seconds = time.perf_counter() - began
    for one in seen:
        check(one, load.dishes)
    return Paced(seen, seconds, lateness)


@dataclass(frozen=True, slots=True)
class Waits:
    """Of jobs one after the other: milliseconds to the first result and to the end, ascending.

    `client_share`: which part of the time from the POSTs to the streams' ends our own client was busy.
    """

    firsts: Sequence[float]
    ends: Sequence[float]
    client_share: float


async def one_after_the_other(crew: Crew, jobs: int = JOBS) -> Waits:
    """Jobs of 20 dishes on an idle server over one warm connection."""
    firsts, ends, body, busy, lasted = [], [], WORK.body, 0.0, 0.0
    for _ in range(WARM_UP_JOBS + jobs):
        (probe,) = await crew.gather(1)
        own, began = time.process_time(), time.perf_counter()
        seen = await asyncio.wait_for(probe.watch(body), LONGEST_ROUND_SECONDS)
        busy += time.process_time() - own
        lasted += time.perf_counter() - began
        check(seen, WORK.dishes)
        firsts.append((seen.first_result_at - seen.sent_at) * 1000)
        ends.append((seen.job_end_at - seen.sent_at) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return Waits(sorted(firsts[WARM_UP_JOBS:]), sorted(ends[WARM_UP_JOBS:]), busy / lasted)


def throughput_figures(rounds: Sequence[Round]) -> dict[str, float]:
    """Medians over the rounds of one server."""
    return {
        "results_per_s": statistics.median(one.results_per_s for one in rounds),
        "cpu_us_per_result": statistics.median(one.cpu_us_per_result for one in rounds),
        "client_share": statistics.median(one.client_seconds / one.seconds for one in rounds),
    }


def better_of(figures: dict[str, float], whole: Round) -> dict[str, float]:
    """The plain way's rate where it did the whole of our work as well: the better one is what we are held against."""
    rates = figures["results_per_s"], whole.results_per_s
    return {"results_per_s": max(rates), "results_per_s_of_10": rates[0], "results_per_s_of_50": rates[1]}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def bars() -> Sequence[Bar]:
    """P6, P7, P8, P10, and P11's half of them."""
    cores = pick_cores()
    whole = Whole(cores)
    return [
        Bar(
            "P6",
            "end to end, SQLite and Redis, 50 sessions x 20 dishes: results/s",
            [Goal("results_per_s", Kind.RATIO, 30, PLAIN, at_least=True), OF_50],
            [OURS, PLAIN],
            whole.throughput,
            others=[IN_PROCESS],
            notes=[PLAIN_NOTE],
            loads={PLAIN: PLAIN_LOAD},
        ),
        Bar(
            "P7",
            "the same at half that rate: from just before the commit until it is received",
            [Goal("p99_ms", Kind.VALUE, 25)],
            [OURS],
            whole.paced,
            notes=[PACED_NOTE],
        ),
        Bar(
            "P8",
            "one job of 20 dishes on an idle server: POST to first result, POST to the end",
            [
                Goal(f"{provider}_{figure}", Kind.VALUE, limit)
                for provider in ("builtin", "synthetic")
                for figure, limit in (("first_ms", 6), ("end_ms", 45))
            ],
            [OURS],
            whole.latency,
            others=[IN_PROCESS, PLAIN],
        ),
        Bar(
            "P10",
            "end to end on PostgreSQL, 50 sessions x 20 dishes: results/s",
            [Goal("results_per_s", Kind.RATIO, 10, PLAIN, at_least=True), OF_50],
            [OURS, PLAIN],
            whole.throughput_on_postgres,
            notes=[PLAIN_NOTE, POSTGRES_NOTE],
            loads={PLAIN: PLAIN_LOAD},
        ),
        growth.bar(cores),
    ]
