"""What reports of load tests say alike: the machine, spreads of times, commands without passwords."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
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
class Machine:
    """Where it was measured; `load` is the one-minute load average before the start."""

    cpu: str
    cores: int
    python: str
    system: str
    load: float


def spread(values: Sequence[float]) -> Spread:
    """Median, p95 (nearest rank) and the worst of milliseconds."""
    ordered = sorted(values)
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Spread(round(statistics.median(ordered), 2), round(p95, 2), round(ordered[-1], 2))


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
