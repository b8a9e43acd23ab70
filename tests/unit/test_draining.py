"""What signals do: one begins the drain, the same one again is the same wish, a later one is in a hurry."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

import gateway.draining
from gateway.draining import SignalledDrain
from tests.waiting import wait_for


class Stops:
    """The handler that was there before, and a drain that lasts until it is told to end."""

    def __init__(self) -> None:
        self.passed_on: list[int] = []
        self.drains: list[str] = []
        self.streams_left = asyncio.Event()

    def take(self, number: int, _frame: object) -> None:
        self.passed_on.append(number)

    async def drain(self) -> None:
        self.drains.append("begun")
        try:
            await self.streams_left.wait()
            self.drains.append("over")
        except asyncio.CancelledError:
            self.drains.append("skipped")
            raise


@pytest.fixture
async def stops() -> "Iterator[Stops]":  # type: ignore[misc]
    stops = Stops()
    before = [signal.signal(number, stops.take) for number in (signal.SIGTERM, signal.SIGINT)]
    draining = SignalledDrain(stops.drain)
    draining.install()
    yield stops
    draining.restore()
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


async def test_a_signal_drains_first_and_is_then_passed_on_once(stops: Stops) -> None:
    signal.raise_signal(signal.SIGTERM)
    await wait_for(lambda: stops.drains == ["begun"])
    assert stops.passed_on == []
    stops.streams_left.set()
    await wait_for(lambda: stops.passed_on == [signal.SIGTERM])
    assert stops.drains == ["begun", "over"]


async def test_signals_that_come_together_are_one(stops: Stops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.draining, "SAME_WISH_SECONDS", 3600.0)  # however late this machine lets them come
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)
    await wait_for(lambda: stops.drains == ["begun"])
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert stops.drains == ["begun"]
    stops.streams_left.set()
    await wait_for(lambda: bool(stops.passed_on))
    await asyncio.sleep(0.05)
    assert stops.passed_on == [signal.SIGINT]


async def test_a_later_signal_skips_the_turns_and_is_not_passed_on_twice(
    stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.draining, "SAME_WISH_SECONDS", 0.02)
    signal.raise_signal(signal.SIGINT)
    await wait_for(lambda: stops.drains == ["begun"])
    await asyncio.sleep(0.05)
    signal.raise_signal(signal.SIGINT)
    await wait_for(lambda: bool(stops.passed_on))
    assert stops.drains == ["begun", "skipped"]
    await asyncio.sleep(0.05)
    assert stops.passed_on == [signal.SIGINT]


async def test_once_the_server_stops_further_signals_are_its_own_matter(stops: Stops) -> None:
    stops.streams_left.set()
    signal.raise_signal(signal.SIGTERM)
    await wait_for(lambda: bool(stops.passed_on))
    signal.raise_signal(signal.SIGINT)
    assert stops.passed_on == [signal.SIGTERM, signal.SIGINT]
