"""The figures as data, and as the Markdown that the README shows."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    median: float
    p95: float
    worst: float


@dataclass(frozen=True, slots=True)
class Latency:
    """From the POST's first byte sent to the event received."""

    jobs: int
    dishes: int
    first_result_ms: Spread
    job_end_ms: Spread


@dataclass(frozen=True, slots=True)
class Throughput:
    """`rates` are results per second of each run; the CPU figures are cores in use during it, medians."""

    runs: int
    sessions: int
    dishes: int
    results: int
    rates: list[int]
    median_rate: int
    gateway_cpu: float
    client_cpu: float


@dataclass(frozen=True, slots=True)
class Buses:
    """Both figures of one bus."""

    bus: str
    latency: Latency
    throughput: Throughput


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured; `load` is the one-minute load average before the start."""

    cpu: str
    cores: int
    python: str
    system: str
    load: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of `python -m loadtests.figures`."""

    date: str
    command: str
    machine: Machine
    database: str
    pinned: bool
    buses: list[Buses]


def describe_machine() -> Machine:
    """This machine, without its name."""
    models = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return Machine(cpu, os.cpu_count() or 1, platform.python_version(), system, round(os.getloadavg()[0], 2))


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def mask_url(argument: str) -> str:
    """The argument, without the password if it is a database's URL."""
    prefix, found, url = argument.rpartition("=") if argument.startswith("--") else ("", "", argument)
    return prefix + found + (make_url(url).render_as_string(hide_password=True) if "://" in url else url)


def to_markdown(figures: Figures) -> str:
    """A table with a column per bus, and under it all that is needed to repeat it."""
    first = figures.buses[0]
    rows = [
        (f"POST to first `item.updated`, {first.latency.dishes} dishes, idle: median / p95", _firsts(figures)),
        (f"POST to `job.completed`, {first.latency.dishes} dishes, idle: median / p95", _ends(figures)),
        (
            f"results per second, {first.throughput.sessions} sessions x {first.throughput.dishes} dishes: "
            "median (lowest to highest)",
            _rates(figures),
        ),
        (
            "cores in use during that: gateway / client",
            [f"{one.throughput.gateway_cpu:.2f} / {one.throughput.client_cpu:.2f}" for one in figures.buses],
        ),
    ]
    head = ["", *(f"{one.bus} bus" for one in figures.buses)]
    table = [head, ["---", *("---:" for _ in figures.buses)], *([label, *cells] for label, cells in rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    machine = figures.machine
    pinned = "gateway on one core, client on another" if figures.pinned else "nothing pinned: one core"
    about = [
        f"{figures.date}; {figures.database}; {machine.cpu}, {machine.cores} cores, {machine.system}, Python "
        f"{machine.python}; load average {machine.load} before the start; {pinned}.",
        f"Latency: builtin provider, {first.latency.jobs} jobs one after the other on a warm connection. Throughput: "
        f"synthetic provider without latency, {first.throughput.results} results committed and received by "
        f"{first.throughput.sessions} readers, every number checked; {first.throughput.runs} runs.",
        f"Command: `{figures.command}`",
    ]
    return "\n".join([*lines, "", *(f"{line}\n" for line in about)])


def _firsts(figures: Figures) -> list[str]:
    return [_milliseconds(one.latency.first_result_ms) for one in figures.buses]


def _ends(figures: Figures) -> list[str]:
    return [_milliseconds(one.latency.job_end_ms) for one in figures.buses]


def _milliseconds(spread: Spread) -> str:
    return f"{spread.median:.1f} / {spread.p95:.1f} ms"


def _rates(figures: Figures) -> list[str]:
    rates = [one.throughput for one in figures.buses]
    return [f"{one.median_rate:,} ({min(one.rates):,} to {max(one.rates):,})" for one in rates]
