"""The figures of the README: how soon a result arrives, and how many a second. `python -m loadtests.figures`

Starts the gateway by itself on a fresh SQLite file, with the bus inside the process and with a redis-server, each
pinned to one core while this client runs on another:

- latency: a menu of 20 dishes, builtin provider, idle server, jobs one after the other on a warm connection;
- throughput: 50 sessions with 20 dishes each, synthetic provider without latency, all submitted at once; from the first
  byte sent until each of the 50 readers has its whole log, numbers checked (8000 results).

`--database-url` measures on another database, which should be an empty one.
"""

import argparse
import asyncio
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]
import uvloop

from loadtests.orders import make_menu
from loadtests.probe import Probe, ProbeError, Watched
from loadtests.report import Buses, Figures, Latency, Spread, Throughput, describe_machine, mask_url, to_markdown
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer, Server

RESULTS = Path(__file__).parent / "results"
DISHES = 20
STAGES = 8
WARM_UP_JOBS = 5
LONGEST_ROUND_SECONDS = 60.0


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes started inside run on this core only (all of their threads); None: wherever they like."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pick_cores() -> tuple[int | None, int | None]:
    """A core for the gateway and one for the client and the servers; nothing is pinned when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


async def measure_latency(port: int, jobs: int) -> Latency:
    """Jobs one after the other over one connection."""
    probe, body = Probe(port), orjson.dumps(make_menu(DISHES))
    firsts, ends = [], []
    for number in range(WARM_UP_JOBS + jobs):
        await probe.connect()
        seen = await asyncio.wait_for(probe.watch(body), LONGEST_ROUND_SECONDS)
        check(seen)
        if number >= WARM_UP_JOBS:
            firsts.append((seen.first_result_at - seen.sent_at) * 1000)
            ends.append((seen.job_end_at - seen.sent_at) * 1000)
        await asyncio.sleep(0.05)  # the server comes to rest: this is the latency of an idle one
    probe.close()
    return Latency(jobs, DISHES, spread(firsts), spread(ends))


async def measure_throughput(gateway: psutil.Process, port: int, sessions: int, runs: int) -> Throughput:
    """All sessions at once, `runs` times after a round to warm up."""
    probes, body = [Probe(port) for _ in range(sessions)], orjson.dumps(make_menu(DISHES))
    rates, shares, client_shares = [], [], []
    for number in range(1 + runs):
        for probe in probes:
            await probe.connect()
        cpu, own, began = cpu_seconds(gateway), time.process_time(), time.perf_counter()
        async with asyncio.timeout(LONGEST_ROUND_SECONDS):
            seen = await asyncio.gather(*[probe.watch(body) for probe in probes])
        ended = max(one.stream_end_at for one in seen)
        for one in seen:
            check(one)
        if number:
            seconds = ended - began
            rates.append(sum(one.results for one in seen) / seconds)
            shares.append((cpu_seconds(gateway) - cpu) / seconds)
            client_shares.append((time.process_time() - own) / seconds)
        await asyncio.sleep(0.5)
    for probe in probes:
        probe.close()
    return Throughput(
        runs,
        sessions,
        DISHES,
        sessions * DISHES * STAGES,
        [round(rate) for rate in rates],
        round(statistics.median(rates)),
        round(statistics.median(shares), 2),
        round(statistics.median(client_shares), 2),
    )


def check(seen: Watched) -> None:
    """Raise ProbeError unless the job is complete with all its results; the probe has checked the numbers."""
    if seen.results != DISHES * STAGES or seen.status != "completed":
        raise ProbeError(f"{seen.results} results, status {seen.status}")


def spread(values: Sequence[float]) -> Spread:
    """Median and p95 (nearest rank), milliseconds."""
    ordered = sorted(values)
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Spread(round(statistics.median(ordered), 2), round(p95, 2), round(ordered[-1], 2))


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure_bus(database_url: str | None, with_redis: bool, core: int | None, options: argparse.Namespace) -> Buses:
    """Both figures on one bus, each with a gateway of its own."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(RedisServer()).url if with_redis else None
        name = "redis" if with_redis else "in-process"
        log(f"{name}: latency")
        with serving(database_url, redis_url, "builtin", core) as gateway:
            latency = uvloop.run(measure_latency(gateway.port, options.jobs))
        log(f"{name}: throughput")
        with serving(database_url, redis_url, "synthetic", core) as gateway:
            assert gateway.process is not None
            process = psutil.Process(gateway.process.pid)
            throughput = uvloop.run(measure_throughput(process, gateway.port, options.sessions, options.runs))
        return Buses(name, latency, throughput)


@contextmanager
def serving(database_url: str | None, redis_url: str | None, provider: str, core: int | None) -> Iterator[Server]:
    """A gateway that is ready, on its core, with a fresh SQLite file unless a database is given."""
    gateway = GatewayProcess(database_url, redis_url=redis_url, settings={"PROVIDER": provider})
    try:
        with on_core(core):
            gateway.start()
        yield gateway
        gateway.stop()
    finally:
        gateway.close()


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print the table, write JSON and Markdown into loadtests/results/."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.figures", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--database-url", help="an empty database, for example postgresql+asyncpg://...; unset: SQLite")
    parser.add_argument("--jobs", type=int, default=30, help="jobs of the latency figure")
    parser.add_argument("--runs", type=int, default=5, help="runs of the throughput figure")
    parser.add_argument("--sessions", type=int, default=50, help="sessions at once in the throughput figure")
    parser.add_argument("--buses", choices=["both", "in-process", "redis"], default="both")
    parser.add_argument("--name", help="of the files in loadtests/results/; unset: figures or figures-postgresql")
    options = parser.parse_args()
    gateway_core, client_core = pick_cores()
    machine = describe_machine()
    buses = ["in-process", "redis"] if options.buses == "both" else [options.buses]
    with on_core(client_core):
        measured = [measure_bus(options.database_url, bus == "redis", gateway_core, options) for bus in buses]
    arguments = [mask_url(argument) for argument in sys.argv[1:]]
    figures = Figures(
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        " ".join(["python -m loadtests.figures", *arguments]),
        machine,
        "SQLite" if options.database_url is None else options.database_url.partition("+")[0],
        gateway_core is not None,
        measured,
    )
    name = options.name or ("figures" if options.database_url is None else f"figures-{figures.database}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(
        orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    (RESULTS / f"{name}.md").write_text(to_markdown(figures))
    print(to_markdown(figures))


if __name__ == "__main__":
    main()
