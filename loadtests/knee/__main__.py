"""Realistic guests at growing load, until the knee. `python -m loadtests.knee`

Starts a gateway on one core, and locust on another one: 10 guests, then 20, 40 and so on until more of them bring
hardly more finished jobs, or make them wait, which one more step has to confirm; then steps between the last good one
and the first bad one, to name the knee more closely. Every visit of every step is held against the log: exit code 1
when anything was lost, doubled, reordered or foreign, or when a visit failed.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import msgspec

from loadtests.bench.machine import Cores, on_core, pick_cores
from loadtests.knee.picture import draw
from loadtests.knee.readme import with_knee
from loadtests.knee.report import Result, to_html, to_lines
from loadtests.knee.rules import find_knee, plan_refinement
from loadtests.knee.steps import Step
from loadtests.knee.tally import Clock
from loadtests.readme import README
from loadtests.report import mask_url
from loadtests.sheet import RESULTS, Sheet, begin_sheet
from loadtests.source import describe_source
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]
# Beyond the window: the ramp, and the last visits, each of which may take two minutes.
LONGEST_STEP_SECONDS = 240.0
# Three take a gap of a whole doubling to 15 % of the knee; more only when they move it.
MOST_REFINEMENTS = 5


class StepFailed(Exception):
    """The client of a step did not come to its end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The load: `first` guests, doubled until `most`; each step is measured for `seconds`, after `settle_seconds`."""

    first: int = 10
    most: int = 1280
    seconds: float = 12.0
    settle_seconds: float = 2.0


def climb(plan: Plan, measure: Callable[[int], Step]) -> list[Step]:
    """Steps until two are past the knee, so that noise is not taken for it; then those that bring the last good one and
    the first bad one close to each other. Ordered by guests.
    """
    steps: list[Step] = []
    guests = plan.first
    knee = None
    while guests <= plan.most and (knee is None or knee.past == steps[-1].guests):
        steps.append(measure(guests))
        knee = find_knee(steps)
        guests *= 2
    for _ in range(MOST_REFINEMENTS):
        between = plan_refinement(knee) if knee is not None else None
        if between is None:
            break
        steps.append(measure(between))
        knee = find_knee(steps)
    return sorted(steps, key=lambda step: step.guests)


def measure_step(gateway: GatewayProcess, redis: RedisServer | None, cores: Cores, plan: Plan, guests: int) -> Step:
    """One step in a process of its own. Raises StepFailed with what that wrote."""
    assert gateway.process is not None
    command = [sys.executable, "-m", "loadtests.knee.client", "--port", str(gateway.port)]
    command += ["--gateway-pid", str(gateway.process.pid), "--guests", str(guests)]
    command += ["--seconds", str(plan.seconds), "--settle", str(plan.settle_seconds)]
    if redis is not None and redis.process is not None:
        command += ["--redis-pid", str(redis.process.pid)]
    if cores.measured is not None:
        command += ["--cores", str(cores.measured), str(cores.others)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=plan.seconds + LONGEST_STEP_SECONDS)
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{guests} guests did not finish within {LONGEST_STEP_SECONDS:g} s") from None
    if done.returncode:
        raise StepFailed(f"{guests} guests: {done.stderr.decode(errors='replace')[-2000:]}")
    step = msgspec.json.decode(done.stdout, type=Step)
    log(
        f"{guests:5} guests: {step.jobs_per_s:6.1f} jobs/s, {step.results_per_s:7,.0f} results/s, first result p95 "
        f"{step.clocks[Clock.FIRST_RESULT].p95:7.1f} ms, gateway {step.gateway.process:.0%} of its core, client "
        f"{step.client.process:.0%}{'' if step.passed else '  FAILED: ' + '; '.join(step.troubles[:3])}"
    )
    return step


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def write(result: Result, sheet: Sheet, usual: bool) -> None:
    """The report into loadtests/results/: JSON, Markdown, the picture, and a page with all of it.

    What the README shows and links to is what `make knee` repeats: a `usual` run, without options, that passed. The
    report of any other one has a name that git ignores.
    """
    shown = usual and result.passed
    name = result.name if shown else f"{result.name}-trial"
    sheet = replace(sheet, passed=result.passed, measured=result, lines=to_lines(result))
    sheet.write(name)
    picture = draw(result)
    (RESULTS / f"{name}.svg").write_text(picture)
    (RESULTS / f"{name}.html").write_text(to_html(result, sheet, picture))
    if shown:
        README.write_text(with_knee(README.read_text(), result, sheet.date))
    print(sheet.text)


def main() -> None:
    """Climb, write the report, exit with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.knee", description=(__doc__ or "").split("\n")[0])
    usual = Plan()
    parser.add_argument("--first", type=int, default=usual.first, help="guests of the first step")
    parser.add_argument("--most", type=int, default=usual.most, help="guests at most; no knee below is no failure")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="that each step is measured for")
    parser.add_argument("--latency-ms", type=float, default=5.0, help="of the synthetic provider, per item and stage")
    parser.add_argument("--failure-rate", type=float, default=0.01, help="of the synthetic provider, 0 to 1")
    parser.add_argument("--redis", action="store_true", help="the bus is a redis-server of its own")
    parser.add_argument("--database-url", help="an empty database, for example postgresql+asyncpg://...; unset: SQLite")
    options = parser.parse_args()
    if find_spec("matplotlib") is None:
        sys.exit("loadtests.knee: the picture needs matplotlib, which `make knee` installs")
    sheet = begin_sheet("knee", [mask_url(argument) for argument in sys.argv[1:]])
    plan = Plan(options.first, options.most, options.seconds)
    source = describe_source(ROOT)
    cores = pick_cores()
    settings = {
        "PROVIDER": "synthetic",
        "SYNTHETIC__LATENCY_MS": str(options.latency_ms),
        "SYNTHETIC__FAILURE_RATE": str(options.failure_rate),
    }
    with ExitStack() as stack:
        with on_core(cores.others):
            redis = stack.enter_context(RedisServer()) if options.redis else None
        gateway = GatewayProcess(options.database_url, redis_url=redis.url if redis else None, settings=settings)
        stack.callback(gateway.close)
        with on_core(cores.measured):
            gateway.start()
        steps = climb(plan, lambda guests: measure_step(gateway, redis, cores, plan, guests))
        gateway.stop()
    result = Result(
        "knee-redis" if redis else "knee",
        "SQLite" if options.database_url is None else options.database_url.partition("+")[0],
        "Redis" if redis else "inside the process",
        options.latency_ms,
        options.failure_rate,
        cores.measured is not None,
        plan.seconds,
        source,
        steps,
        find_knee(steps),
    )
    write(result, sheet, usual=not sys.argv[1:])
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main()
