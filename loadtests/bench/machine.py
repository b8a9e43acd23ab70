"""Cores, processor time and memory of processes, as Linux tells them."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the two sides of a measurement run: the measured process, and all the rest. None: nothing is pinned."""

    measured: int | None
    others: int | None


def pick_cores() -> Cores:
    """The first core for what is measured, the second for client, publishers, Redis and PostgreSQL."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(cores[0], cores[1]) if len(cores) > 1 else Cores(None, None)


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


def family(pid: int) -> list[int]:
    """The process and all that it started, directly or not."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far, threads that have ended included.

    The kernel's processor clock of a process (clock_getcpuclockid(3)): nanoseconds, where /proc/PID/stat has steps of
    10 ms, which would be 3 % of a run of three seconds.
    """
    total = 0
    for pid in pids:
        with suppress(OSError):  # it has ended
            total += time.clock_gettime_ns((~pid << 3) | 2)
    return total / 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes together: resident, and proportional (a page that n processes share counts 1/n)."""

    rss: int
    pss: int


def memory(pids: list[int]) -> Memory:
    """What they hold now. Kernel memory (socket buffers) is in neither."""
    rss = pss = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
            rss += sizes["Rss"]
            pss += sizes["Pss"]
    return Memory(rss, pss)


def allow_descriptors(wanted: int) -> None:
    """Let this process, and those that it starts, open so many files. Raises OSError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    with suppress(ValueError, OSError):  # only root may raise the hard limit, and not everywhere
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
        return
    if hard < wanted:
        raise OSError(f"{wanted} open files are needed, the limit is {hard} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
