"""Cores, processor time and memory of processes, as Linux tells them."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]


class ProcessEnded(Exception):
    """A measured process is gone, and with it what it used."""


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

    Raises ProcessEnded: what one of them used would be missing in the sum.
    """
    for pid in pids:
        if not is_alive(pid):
            raise ProcessEnded(f"process {pid} ended while it was measured")
    return sum(_cpu_ns(pid) for pid in pids) / 1e9


def cpu_of_each(pids: list[int]) -> dict[int, float]:
    """The same of each that is still there, for servers whose helpers come and go (PostgreSQL's workers)."""
    found = {}
    for pid in pids:
        with suppress(ProcessEnded):
            found[pid] = _cpu_ns(pid) / 1e9
    return found


def cpu_spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds between two looks. What a helper used that ended between them is lost: some milliseconds."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def is_alive(pid: int) -> bool:
    """Whether the process has not ended; one that nobody has waited for yet (a zombie) has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _cpu_ns(pid: int) -> int:
    """The kernel's processor clock of a process (clock_getcpuclockid(3)).

    It counts nanoseconds, where /proc/PID/stat has steps of 10 ms: 3 % of a run of three seconds.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError as error:
        raise ProcessEnded(f"process {pid} ended while it was measured") from error


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes together: resident, and proportional (a page that n processes share counts 1/n)."""

    rss: int
    pss: int


def memory(pids: list[int]) -> Memory:
    """What they hold now. Kernel memory (socket buffers) is in neither. Raises OSError for one that has ended."""
    rss = pss = 0
    for pid in pids:
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
