"""One round of end-to-end work: many jobs at once, each followed by a browser of its own, every number checked."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from loadtests.bench.machine import cpu_seconds
from loadtests.orders import make_menu
from loadtests.probe import Probe, ProbeError, Watched, Wire

STAGES = 8
LONGEST_ROUND_SECONDS = 60.0
# Streams that ended a moment ago are being cleaned up; that is not the next round's work.
REST_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """So many browsers, each with a session and a job of so many dishes."""

    sessions: int
    dishes: int

    @property
    def results(self) -> int:
        """How many results it asks for."""
        return self.sessions * self.dishes * STAGES

    @property
    def body(self) -> bytes:
        """What each browser submits."""
        return orjson.dumps(make_menu(self.dishes))


@dataclass(frozen=True, slots=True)
class Round:
    """What one round took: from the first byte of the first POST until the last stream's last byte."""

    results: int
    seconds: float
    cpu_seconds: float
    client_seconds: float

    @property
    def results_per_s(self) -> float:
        """Committed and received."""
        return self.results / self.seconds

    @property
    def cpu_us_per_result(self) -> float:
        """Of the measured process, all of its threads."""
        return self.cpu_seconds / self.results * 1e6

    @property
    def wall_us_per_result(self) -> float:
        """One second over the rate."""
        return self.seconds / self.results * 1e6


@contextmanager
def without_collecting() -> Iterator[None]:
    """No garbage collection of ours: its pauses would be counted as the measured program's latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Crew:
    """Browsers of one program, kept connected between rounds. `pids` are the processes whose time is counted."""

    def __init__(self, port: int, wire: Wire, pids: Sequence[int]) -> None:
        self._port = port
        self._wire = wire
        self._pids = list(pids)
        self._probes: list[Probe] = []

    async def work(self, load: Load) -> Round:
        """All submit at once and follow their jobs to the end. Raises ProbeError for anything that is not right."""
        probes, body = await self.gather(load.sessions), load.body
        cpu, own, began = cpu_seconds(self._pids), time.process_time(), time.perf_counter()
        async with asyncio.timeout(LONGEST_ROUND_SECONDS):
            seen = await asyncio.gather(*[probe.watch(body) for probe in probes])
        ended = max(one.stream_end_at for one in seen)
        spent, own = cpu_seconds(self._pids) - cpu, time.process_time() - own
        for one in seen:
            check(one, load.dishes)
        await asyncio.sleep(REST_SECONDS)
        return Round(load.results, ended - began, spent, own)

    async def gather(self, size: int) -> list[Probe]:
        """So many browsers, connected."""
        self._probes += [Probe(self._port, self._wire) for _ in range(size - len(self._probes))]
        probes = self._probes[:size]
        await asyncio.gather(*[probe.connect() for probe in probes])
        return probes

    def leave(self) -> None:
        """Close all connections."""
        for probe in self._probes:
            probe.close()


def check(seen: Watched, dishes: int) -> None:
    """Raise ProbeError unless the job is complete with all its results; the probe has checked the numbers."""
    if seen.results != dishes * STAGES or seen.status != "completed":
        raise ProbeError(f"{seen.results} results of {dishes * STAGES}, status {seen.status or 'none'}")
