"""The flusher writes at once while little is to do, and holds back as long as the work itself takes, in simulated time.

A flush "takes" time by moving the simulated clock, which is the flusher's only one here.
"""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

import gateway.streaming.flusher
from gateway.streaming.budget import Budget
from gateway.streaming.channel import Channel
from gateway.streaming.flusher import PAUSE_PER_FLUSH, Flusher
from gateway.streaming.pages import Pages
from infra.telemetry.metrics import Metrics
from tests.unit.streaming.listed_log import JOBS, SESSION, ListedLog, Listener
from tests.unit.streaming.simulated_time import SimulatedLoop, run_simulated

WINDOW_SECONDS = 0.02
NOW = 1000.0


def now() -> float:
    return asyncio.get_running_loop().time()


def work(seconds: float) -> None:
    """Take so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop._selector_clock.seconds += seconds


@pytest.fixture(autouse=True)
def _simulated_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=now, time=lambda: NOW)
    monkeypatch.setattr(gateway.streaming.flusher, "time", clock)


class Heap:
    """Something to flush: notes when it was, and how much had gathered."""

    def __init__(self, takes: float = 0.0, sockets_take: float = 0.0) -> None:
        self.takes = takes
        self.sockets_take = sockets_take
        self.waiting = 0
        self.oldest_us = 0
        self.flushed: list[tuple[float, int]] = []
        self.lost = False
        self.fails = False

    def flush(self) -> int:
        self.flushed.append((round(now(), 6), self.waiting))
        work(self.takes)
        if self.fails:
            raise RuntimeError("broken")
        if self.sockets_take:  # as uvloop does, at the end of the round
            asyncio.get_running_loop().call_soon(work, self.sockets_take)
        count, self.waiting, self.oldest_us = self.waiting, 0, 0
        return count

    def lose(self) -> None:
        self.lost = True

    def add(self, flusher: Flusher, count: int = 1) -> None:
        self.waiting += count
        flusher.want(self)


def sample(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0


def simulate(test: Callable[[Flusher, Metrics], Any], window_seconds: float = WINDOW_SECONDS) -> None:
    async def live() -> None:
        metrics = Metrics()
        await test(Flusher(window_seconds, metrics), metrics)

    run_simulated(live())


def test_the_first_event_waits_for_nothing_and_what_comes_in_the_same_turn_goes_with_it() -> None:
    async def live(flusher: Flusher, metrics: Metrics) -> None:
        heap, other = Heap(), Heap()
        await asyncio.sleep(1)
        heap.add(flusher, 3)
        other.add(flusher, 5)
        heap.add(flusher, 4)
        assert heap.flushed == []
        await asyncio.sleep(0)
        assert heap.flushed == [(1.0, 7)]
        assert other.flushed == [(1.0, 5)]
        assert sample(metrics, "stagecast_events_delivered_total") == 12

    simulate(live)


@pytest.mark.parametrize("where", ["in the flush", "in the sockets", "in both"])
def test_after_a_flush_the_pause_is_four_times_what_it_took(where: str) -> None:
    async def live(flusher: Flusher, _metrics: Metrics) -> None:
        heap = Heap(*{"in the flush": (0.002, 0.0), "in the sockets": (0.0, 0.002), "in both": (0.001, 0.001)}[where])
        heap.add(flusher)
        await asyncio.sleep(0.003)
        for _ in range(5):
            heap.add(flusher)
        await asyncio.sleep(1)
        # It took 2 ms, from 0 on.
        assert heap.flushed == [(0.0, 1), (round(0.002 + PAUSE_PER_FLUSH * 0.002, 6), 5)]

    simulate(live)


@pytest.mark.parametrize("takes", [0.05, 0.5, 30.0])
def test_an_event_is_never_held_back_for_longer_than_the_window(takes: float) -> None:
    async def live(flusher: Flusher, _metrics: Metrics) -> None:
        heap = Heap(takes)
        heap.add(flusher)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert now() == takes
        heap.add(flusher)
        await asyncio.sleep(1)
        assert heap.flushed[1:] == [(round(takes + WINDOW_SECONDS, 6), 1)]

    simulate(live)


def test_without_a_window_nothing_is_held_back() -> None:
    async def live(flusher: Flusher, _metrics: Metrics) -> None:
        heap = Heap(0.01)
        for _ in range(3):
            heap.add(flusher)
            for _ in range(3):
                await asyncio.sleep(0)
        assert heap.flushed == [(0.0, 1), (0.01, 1), (0.02, 1)]

    simulate(live, 0.0)


def test_an_event_after_the_pause_waits_for_nothing() -> None:
    async def live(flusher: Flusher, _metrics: Metrics) -> None:
        heap = Heap(0.002)
        heap.add(flusher)
        await asyncio.sleep(0.5)
        began = round(now(), 6)
        heap.add(flusher)
        await asyncio.sleep(0)
        assert heap.flushed[1:] == [(began, 1)]

    simulate(live)


def test_all_channels_share_the_pauses() -> None:
    async def live(flusher: Flusher, _metrics: Metrics) -> None:
        heap, other = Heap(0.002), Heap()
        heap.add(flusher)
        await asyncio.sleep(0.003)
        other.add(flusher)
        await asyncio.sleep(0.001)
        heap.add(flusher)
        await asyncio.sleep(1)
        pause_over = round(0.002 + PAUSE_PER_FLUSH * 0.002, 6)
        assert [one.flushed[-1] for one in (heap, other)] == [(pause_over, 1), (pause_over, 1)]

    simulate(live)


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """The log lines, which this folder's tests otherwise keep quiet."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    with capture_logs() as lines:
        yield lines
    structlog.configure(wrapper_class=before)


@pytest.mark.parametrize("door", ["want", "flush"])
def test_a_flush_that_fails_loses_its_channel_only_and_is_logged(door: str, heard: list[Any]) -> None:
    async def live(flusher: Flusher, metrics: Metrics) -> None:
        before, broken, after = Heap(), Heap(), Heap()
        broken.fails = True
        before.add(flusher, 2)
        if door == "want":
            broken.add(flusher, 7)
        else:
            flusher.flush(broken)
        after.add(flusher, 3)
        await asyncio.sleep(1)
        assert [one.lost for one in (before, broken, after)] == [False, True, False]
        assert before.flushed == [(0.0, 2)]
        assert after.flushed == [(0.0, 3)]
        assert sample(metrics, "stagecast_events_delivered_total") == 5
        after.add(flusher)
        await asyncio.sleep(1)
        assert len(after.flushed) == 2, "the flusher goes on"

    simulate(live)
    assert [(line["event"], line["log_level"]) for line in heard] == [("flush_failed", "error")]
    assert heard[0]["exc_info"] is True


def test_what_a_join_and_a_full_ring_flush_is_counted_once_like_everything_else() -> None:
    async def live(flusher: Flusher, metrics: Metrics) -> None:
        log = ListedLog()
        pages, rings = Pages(log, lambda: None), Budget(1_000_000)
        channel = Channel(SESSION, log.stands_at, pages, rings, 4, log.repairs.append, log.set_back.append, flusher)
        listeners = [Listener(), Listener(), Listener()]
        channel.join(listeners[0], None)
        channel.join(listeners[1], JOBS[0])
        channel.receive(log.commit(*JOBS))  # waits
        assert sample(metrics, "stagecast_events_delivered_total") == 0
        channel.join(listeners[2], None)
        assert sample(metrics, "stagecast_events_delivered_total") == 3 + 1
        channel.receive(log.commit(*JOBS * 3))  # more than the ring has room for
        assert sample(metrics, "stagecast_events_delivered_total") == 3 + 1 + 9 + 3 + 9
        channel.receive(log.commit(JOBS[0]))
        await asyncio.sleep(1)
        assert [listener.numbers for listener in listeners] == [
            list(range(1, 14)),
            [1, 4, 7, 10, 13],
            list(range(4, 14)),
        ]
        assert sample(metrics, "stagecast_events_delivered_total") == sum(len(one.numbers) for one in listeners)
        assert sample(metrics, "stagecast_commit_to_socket_seconds_count") == 3
        assert log.reads == []

    simulate(live)


def test_the_latency_is_that_of_the_event_that_waited_longest() -> None:
    async def live(flusher: Flusher, metrics: Metrics) -> None:
        log = ListedLog()
        pages, rings = Pages(log, lambda: None), Budget(1_000_000)
        channel = Channel(SESSION, log.stands_at, pages, rings, 4, log.repairs.append, log.set_back.append, flusher)
        channel.join(Listener(), None)
        for age in (0.75, 0.5, 0.25):
            message = log.commit(JOBS[0])
            channel.receive(msgspec.structs.replace(message, committed_at_us=round((NOW - age) * 1e6)))
        await asyncio.sleep(1)
        assert sample(metrics, "stagecast_commit_to_socket_seconds_sum") == pytest.approx(0.75)
        assert sample(metrics, "stagecast_commit_to_socket_seconds_count") == 1

    simulate(live)
