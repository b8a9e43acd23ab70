"""A storm of reconnects: thousands of browsers come back in the same second. `python -m loadtests.storm`

Makes sessions with a finished job each, restarts the gateway so that it knows nothing, begins new jobs in a quarter of
the sessions, and lets all browsers connect within one second, each with the Last-Event-ID of a place of its own: half
of them to their session's stream, half to a job's. Then a second wave, to the gateway that is warm by now. Every
browser has to end with exactly what followed its place, in order, once. Exit code 1 when one does not.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import uvloop

from loadtests.bench.machine import on_core, pick_cores
from loadtests.browser import Browser
from loadtests.orders import make_menu
from loadtests.report import mask_url
from loadtests.sessions import Owner, Session, SessionLog
from loadtests.sheet import begin_sheet, log
from loadtests.vitals import look_at, raise_descriptor_limit
from loadtests.wave import Guest, Wave, count_page_ranges, judge, to_lines
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer, Server

POLL_SECONDS = 0.02
# Per item and stage: the new jobs last longer than the second in which everybody connects.
LIVE_LATENCY_MS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """`behind` is how many events a browser has missed at most, `live` the share of sessions with a job under way.

    `stay`: browsers keep their connection until all are complete; else each leaves when it has everything.
    """

    browsers: int = 2000
    sessions: int = 200
    behind: int = 150
    dishes: int = 20
    live: float = 0.25
    stay: bool = True
    within_seconds: float = 1.0
    deadline_seconds: float = 120.0


async def prepare(owner: Owner, plan: Plan) -> list[Session]:
    """Sessions with one finished job each."""
    sessions = [Session() for _ in range(plan.sessions)]
    await asyncio.gather(*[owner.submit(session, make_menu(plan.dishes)) for session in sessions])
    for session in sessions:
        await owner.wait_for_end(session, plan.deadline_seconds)
    return sessions


async def run_wave(name: str, gateway: GatewayProcess, owner: Owner, sessions: Sequence[Session], plan: Plan) -> Wave:
    """Let everybody come back at once; returns when all are complete, or at the deadline with `complete` below all."""
    logs = [await owner.read_log(session) for session in sessions]
    before = await look_at(gateway)
    live = sessions[: round(len(sessions) * plan.live)]
    await asyncio.gather(*[owner.submit(session, make_menu(plan.dishes)) for session in live])
    began = time.perf_counter()
    until = began + plan.deadline_seconds
    guests = [
        draw_guest(number, gateway.port, sessions, logs, plan, len(live), began) for number in range(plan.browsers)
    ]
    following = [asyncio.create_task(follow(guest)) for guest in guests]
    await all_become(guests, lambda guest: guest.browser.reached_at is not None, until)
    after = await look_at(gateway)
    for session in live:
        await owner.wait_for_end(session, plan.deadline_seconds)
    ends = [await owner.read_log(session) for session in sessions]
    await all_become(guests, lambda guest: has_all(guest, ends[guest.session]), until)
    complete = sum(has_all(guest, ends[guest.session]) for guest in guests)
    for guest in guests:
        guest.browser.leave()
    await asyncio.gather(*following)
    ranges = sum(
        count_page_ranges([one.place for one in guests if one.session == i], logs[i].head, ends[i].head)
        for i in range(len(sessions))
    )
    return judge(name, guests, ends, complete, began, ranges, before, after)


def draw_guest(
    number: int,
    port: int,
    sessions: Sequence[Session],
    logs: Sequence[SessionLog],
    plan: Plan,
    live: int,
    began: float,
) -> Guest:
    """A browser at a random place, on its session's stream or on that of a job."""
    of = number % len(sessions)
    session, seen = sessions[of], logs[of]
    kind = number // len(sessions) % 4
    job_id = None if kind % 2 == 0 else session.jobs[-1] if kind == 1 else random.choice(session.jobs)
    is_live = of < live and job_id == session.jobs[-1]
    last = seen.head if is_live else max(seen.numbers(job_id))
    place = max(0, last - random.randint(0, plan.behind))
    path = session.stream if job_id is None else session.job_stream(job_id)
    goal = None if is_live else last
    browser = Browser(port, path, f"{seen.epoch}.{place}", goal=goal, leaves=not plan.stay)
    return Guest(browser, of, job_id, place, began + random.random() * plan.within_seconds, is_live)


async def follow(guest: Guest) -> None:
    """Come at the time, and stay until it is over."""
    await asyncio.sleep(guest.comes_at - time.perf_counter())
    await guest.browser.follow()


async def all_become(guests: Sequence[Guest], condition: Callable[[Guest], bool], until: float) -> None:
    """Wait until it is true of all guests, or until the time."""
    left = list(guests)
    while time.perf_counter() < until:
        left = [guest for guest in left if not condition(guest) and guest.browser.failure is None]
        if not left:
            return
        await asyncio.sleep(POLL_SECONDS)


def has_all(guest: Guest, end: SessionLog) -> bool:
    """Whether the guest's stream has ended or is at the log's last event."""
    browser = guest.browser
    return browser.ended is not None or (browser.failure is None and browser.last >= end.head)


def restart(gateway: GatewayProcess, core: int | None) -> None:
    """Stop the gateway in an orderly way and start it again on its core."""
    gateway.terminate()
    with on_core(core):
        Server.start(gateway)  # the schema is there: no need to migrate again


async def run(gateway: GatewayProcess, plan: Plan, core: int | None = None) -> list[Wave]:
    """Both waves; the gateway is restarted between the preparation and the first."""
    owner = Owner(gateway.port)
    try:
        log(f"{plan.sessions} sessions with a job each")
        sessions = await prepare(owner, plan)
        gateway.settings["SYNTHETIC__LATENCY_MS"] = str(LIVE_LATENCY_MS)
        await asyncio.to_thread(restart, gateway, core)
        waves = []
        for name in ("just started", "warm"):
            log(f"{plan.browsers} browsers come back, the gateway is {name}")
            waves.append(await run_wave(name, gateway, owner, sessions, plan))
        return waves
    finally:
        await owner.close()


def main() -> None:
    """Run both waves, print the table, write it into loadtests/results/; exit code 1 when something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.storm", description=(__doc__ or "").split("\n")[0])
    usual = Plan()
    parser.add_argument("--browsers", type=int, default=usual.browsers)
    parser.add_argument("--sessions", type=int, default=usual.sessions)
    parser.add_argument("--behind", type=int, default=usual.behind, help="events that a browser has missed at most")
    parser.add_argument("--dishes", type=int, default=usual.dishes, help="of each job; a job has about 8 events a dish")
    parser.add_argument("--redis", action="store_true", help="the bus is a redis-server of its own")
    parser.add_argument("--database-url", help="an empty database, for example postgresql+asyncpg://...; unset: SQLite")
    options = parser.parse_args()
    raise_descriptor_limit()
    sheet = begin_sheet("storm", [mask_url(argument) for argument in sys.argv[1:]])
    plan = Plan(options.browsers, options.sessions, options.behind, options.dishes)
    cores = pick_cores()
    with ExitStack() as stack:
        stack.enter_context(on_core(cores.others))
        redis_url = stack.enter_context(RedisServer()).url if options.redis else None
        gateway = GatewayProcess(options.database_url, redis_url=redis_url, settings={"PROVIDER": "synthetic"})
        stack.callback(gateway.close)
        with on_core(cores.measured):
            gateway.start()
        waves = uvloop.run(run(gateway, plan, cores.measured))
    passed = all(wave.passed for wave in waves)
    sheet = replace(sheet, passed=passed, measured=waves, lines=to_lines(waves))
    sheet.write("storm-redis" if options.redis else "storm")
    print(sheet.text)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
