"""A rolling restart under load: two gateways, one after the other. `python -m loadtests.rolling`

Two gateways share a PostgreSQL and a Redis, behind a small balancer. Browsers follow sessions and jobs while jobs are
submitted without a pause. Each gateway in turn gets SIGTERM, ends, and is started again. Counted: events lost, doubled,
reordered; how the reconnects were spread; what `ready` said before the door closed; how long the end took.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

import uvloop

from loadtests.balancer import Backend, Balancer
from loadtests.browser import sum_up
from loadtests.crowd import Crowd, Visit
from loadtests.ledger import Irregularities
from loadtests.orders import make_menu
from loadtests.sessions import Owner, Session
from loadtests.sheet import begin_sheet, log, table
from loadtests.vitals import raise_descriptor_limit
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer, Server
from tests.waiting import wait_for

BIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """`pause_seconds` lies between two submissions; `settle_seconds` before, between and after the restarts."""

    browsers: int = 300
    sessions: int = 30
    dishes: int = 4
    pause_seconds: float = 0.2
    latency_ms: int = 50
    drain_seconds: float = 5.0
    retry_ms: int = 2000
    settle_seconds: float = 3.0
    deadline_seconds: float = 90.0

    def settings(self) -> dict[str, str]:
        """Of both gateways."""
        return {
            "PROVIDER": "synthetic",
            "SYNTHETIC__LATENCY_MS": str(self.latency_ms),
            "SSE__DRAIN_SECONDS": str(self.drain_seconds),
            "SSE__RETRY_MS": str(self.retry_ms),
        }


@dataclass(frozen=True, slots=True)
class Restart:
    """One gateway's end. `partings` are those of its streams between the signal and its end.

    `ready_said_no_ms` is from the signal until the balancer read 503, None when it never did. The spread and the peak
    share are of the moments for which browsers were told to come back; `reconnects` are those at which they came, per
    100 ms since the signal: when the client's machine stalls, several bins fall into one.
    """

    exit_code: int
    exit_seconds: float
    ready_said_no_ms: float | None
    streams: int
    kinds: dict[str, int]
    closes_spread_seconds: float
    reconnects_spread_seconds: float
    reconnects: list[int]
    peak_share: float
    retry_ms: list[int]


@dataclass(frozen=True, slots=True)
class Rolling:
    """The whole run."""

    browsers: int
    visits: int
    jobs: int
    events: int
    submits_repeated: int
    broken: Irregularities
    failures: list[str]
    resets: int
    unproven: int
    incomplete: int
    restarts: list[Restart]

    @property
    def passed(self) -> bool:
        """Whether nothing was lost and both gateways ended well."""
        wrong = (self.broken, self.failures, self.resets, self.unproven, self.incomplete)
        return not any(wrong) and all(one.exit_code == 0 for one in self.restarts)


async def run(gateways: Sequence[GatewayProcess], plan: Plan) -> Rolling:
    """Restart the gateways, which must be ready, one after the other under load."""
    balancer = Balancer([gateway.port for gateway in gateways])
    await balancer.start()
    owner = Owner(balancer.port)
    crowd = Crowd(balancer.port, plan.dishes, plan.pause_seconds, [Session() for _ in range(plan.sessions)])
    tasks: list[asyncio.Task[None]] = []
    try:
        for session in crowd.sessions:
            await owner.submit(session, make_menu(plan.dishes))
        submitting = asyncio.create_task(crowd.submit(owner))
        tasks.append(submitting)
        for number in range(plan.browsers):
            session = crowd.sessions[number % plan.sessions]
            watch = crowd.watch_jobs if number % 4 == 3 else crowd.watch_session
            tasks.append(asyncio.create_task(watch(session)))
        restarts = []
        for gateway, backend in zip(gateways, balancer.backends, strict=True):
            await asyncio.sleep(plan.settle_seconds)
            restarts.append(await restart(gateway, backend, crowd, plan))
        await asyncio.sleep(plan.settle_seconds)
        crowd.over.set()
        await submitting
        return await check(crowd, owner, plan, restarts)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await owner.close()
        await balancer.close()


async def restart(gateway: GatewayProcess, backend: Backend, crowd: Crowd, plan: Plan) -> Restart:
    """SIGTERM, wait for the end and for all its browsers to be back, and start it again."""
    log(f"gateway {backend.port}: SIGTERM")
    began = time.perf_counter()
    code = await asyncio.to_thread(gateway.terminate)
    ended = time.perf_counter()
    log(f"gateway {backend.port}: ended with code {code} after {ended - began:.1f} s")
    # Who was told to come back at the very end comes back after this. The schema is there: no need to migrate again.
    starting = asyncio.to_thread(Server.start, gateway)
    await asyncio.gather(asyncio.sleep(plan.retry_ms * 1.5 / 1000), starting)
    restart = sum_up_restart(crowd, backend, code, began, ended)
    await wait_for(lambda: backend.ready, plan.deadline_seconds)
    return restart


def sum_up_restart(crowd: Crowd, backend: Backend, code: int, began: float, ended: float) -> Restart:
    """What the browsers saw between the signal and the end."""
    partings = [
        parting
        for visit in crowd.visits
        for parting in visit.browser.partings
        if began <= parting.at <= ended + 1 and parting.kind != "refused"
    ]
    said_no = [at for at, status in backend.answers if at >= began and status == 503]
    leaving = [parting for parting in partings if parting.kind in ("drain", "cut", "closed")]
    told = [parting.at + parting.wait_ms / 1000 - began for parting in leaving]
    return Restart(
        exit_code=code,
        exit_seconds=round(ended - began, 2),
        ready_said_no_ms=round((said_no[0] - began) * 1000, 1) if said_no else None,
        streams=len(leaving),
        kinds={kind: sum(one.kind == kind for one in partings) for kind in sorted({one.kind for one in partings})},
        closes_spread_seconds=middle_spread([one.at for one in partings if one.kind == "drain"]),
        reconnects_spread_seconds=middle_spread(told),
        reconnects=to_histogram([parting.back_at - began for parting in leaving]),
        peak_share=round(max(to_histogram(told)) / max(1, len(told)), 3),
        retry_ms=sorted(one.wait_ms for one in partings if one.kind == "drain"),
    )


def to_histogram(seconds: Sequence[float]) -> list[int]:
    """How many there were in each 100 ms."""
    counts = [0] * (int(max(seconds, default=0) / BIN_SECONDS) + 1)
    for second in seconds:
        counts[int(second / BIN_SECONDS)] += 1
    return counts


def middle_spread(moments: Sequence[float]) -> float:
    """Seconds between the 5th and the 95th percentile."""
    ordered = sorted(moments)
    if not ordered:
        return 0.0
    return round(ordered[round(0.95 * (len(ordered) - 1))] - ordered[round(0.05 * (len(ordered) - 1))], 2)


async def check(crowd: Crowd, owner: Owner, plan: Plan, restarts: list[Restart]) -> Rolling:
    """Wait until everybody has everything, then hold every visit against the log."""
    for session in crowd.sessions:
        await owner.wait_for_end(session, plan.deadline_seconds)
    logs = {session.session_id: await owner.read_log(session) for session in crowd.sessions}

    def lacking() -> list[Visit]:
        ends = [(visit, logs[visit.session.session_id].head) for visit in crowd.visits if not visit.browser.over]
        return [visit for visit, head in ends if visit.browser.last < head]

    with suppress(TimeoutError):
        await wait_for(lambda: not lacking(), plan.deadline_seconds)
    incomplete = len(lacking())
    browsers = [visit.browser for visit in crowd.visits]
    for browser in browsers:
        browser.leave()
    broken = [visit.browser.check(logs[visit.session.session_id].numbers(visit.job_id)) for visit in crowd.visits]
    return Rolling(
        browsers=plan.browsers,
        visits=len(browsers),
        jobs=sum(len(session.jobs) for session in crowd.sessions),
        events=sum(one.head for one in logs.values()),
        submits_repeated=sum(session.retries for session in crowd.sessions),
        broken=sum_up(broken),
        failures=[browser.failure for browser in browsers if browser.failure is not None][:10],
        resets=sum(browser.resets for browser in browsers),
        unproven=sum(browser.unproven for browser in browsers),
        incomplete=incomplete,
        restarts=restarts,
    )


def to_lines(rolling: Rolling) -> list[str]:
    """The run as a list, and a table with a column per restart."""
    broken = rolling.broken

    def row(label: str, cell: Callable[[Restart], object]) -> list[str]:
        return [label, *(str(cell(one)) for one in rolling.restarts)]

    lines = [
        f"{rolling.browsers} browsers ({rolling.visits} visits), {rolling.jobs} jobs, {rolling.events} events; "
        f"lost {broken.lost}, doubled {broken.doubled}, reordered {broken.reordered}, foreign {broken.foreign}; "
        f"incomplete {rolling.incomplete}, resets {rolling.resets}, unproven heads {rolling.unproven}, "
        f"error answers {len(rolling.failures)}; submissions repeated: {rolling.submits_repeated}.",
        "",
    ]
    rows = [
        row("exit code", lambda one: one.exit_code),
        row("SIGTERM to exit", lambda one: f"{one.exit_seconds:.2f} s"),
        row("SIGTERM to `ready` 503", lambda one: f"{one.ready_said_no_ms} ms"),
        row("streams that were closed", lambda one: f"{one.streams} ({one.kinds})"),
        row("closes: 5th to 95th percentile", lambda one: f"{one.closes_spread_seconds:.2f} s"),
        row("reconnects, as told: 5th to 95th percentile", lambda one: f"{one.reconnects_spread_seconds:.2f} s"),
        row("share of them told to be back within the same 100 ms, at most", lambda one: f"{one.peak_share:.0%}"),
        row("`retry_ms`: least / median / most", lambda one: quantiles(one.retry_ms)),
    ]
    titles = ["first gateway", "second gateway", *(f"gateway {n}" for n in range(3, len(rolling.restarts) + 1))]
    histograms = [
        f"Reconnects per 100 ms after SIGTERM: {' '.join(map(str, one.reconnects))}" for one in rolling.restarts
    ]
    return [*lines, *table(["", *titles[: len(rolling.restarts)]], rows), "", *histograms]


def quantiles(values: Sequence[int]) -> str:
    """Least, median and most; a dash when there are none."""
    return f"{values[0]} / {values[len(values) // 2]} / {values[-1]}" if values else "-"


def main() -> None:
    """Run, print, write into loadtests/results/; exit code 1 when something was lost or a gateway did not end well."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.rolling", description=(__doc__ or "").split("\n")[0])
    usual = Plan()
    parser.add_argument("--browsers", type=int, default=usual.browsers)
    parser.add_argument("--sessions", type=int, default=usual.sessions)
    parser.add_argument("--drain-seconds", type=float, default=usual.drain_seconds)
    options = parser.parse_args()
    raise_descriptor_limit()
    sheet = begin_sheet("rolling", sys.argv[1:])
    plan = Plan(options.browsers, options.sessions, drain_seconds=options.drain_seconds)
    with ExitStack() as stack:
        redis, postgres = stack.enter_context(RedisServer()), stack.enter_context(PostgresServer())
        database_url = postgres.create_database()
        gateways = [
            stack.enter_context(GatewayProcess(database_url, redis_url=redis.url, settings=plan.settings()))
            for _ in range(2)
        ]
        rolling = uvloop.run(run(gateways, plan))
    sheet = replace(sheet, passed=rolling.passed, measured=rolling, lines=to_lines(rolling))
    sheet.write("rolling")
    print(sheet.text)
    sys.exit(0 if rolling.passed else 1)


if __name__ == "__main__":
    main()
