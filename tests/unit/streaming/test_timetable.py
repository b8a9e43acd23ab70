"""The timetable asks everybody at its moment, in order, and nobody who has left; on both event loops."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from gateway.streaming.timetable import AGAIN_SECONDS, LATE_SECONDS, Timetable
from tests.unit.streaming.simulated_time import run_simulated
from tests.waiting import wait_for

# A timer may be late by that, never early.
LATE = LATE_SECONDS + 1e-6


class Sleeper:
    """Is due at its moments, one after the other; writes down when it was asked, and does what it was made for."""

    def __init__(self, *moments: float, does: Callable[[], None] = lambda: None) -> None:
        self.entry: list[Any] | None = None
        self.moments = list(moments)
        self.asked: list[float] = []
        self.does = does

    @property
    def next_moment(self) -> float:
        return self.moments[0]

    def due(self) -> float | None:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if now >= self.moments[0]:
            self.moments.pop(0)
            self.does()
        return self.moments[0] if self.moments else None


def test_everybody_is_asked_at_each_of_its_moments_whatever_the_order_of_coming() -> None:
    async def live() -> None:
        timetable = Timetable()
        order: list[float] = []

        def asked() -> None:
            order.append(round(asyncio.get_running_loop().time(), 2))

        for moments in [(3.0, 7.0), (1.0,), (5.0, 5.5, 6.0), (1.0, 2.0), (0.5, 9.0)]:
            timetable.put(Sleeper(*moments, does=asked))
        await asyncio.sleep(10)
        assert order == [0.5, 1.0, 1.0, 2.0, 3.0, 5.0, 5.5, 6.0, 7.0, 9.0]

    run_simulated(live())


def test_nobody_is_asked_early_late_or_twice() -> None:
    async def live() -> None:
        timetable = Timetable()
        sleepers = [Sleeper(number * 0.0137 % 1, 1 + number * 0.0071 % 1) for number in range(300)]
        wanted = [list(sleeper.moments) for sleeper in sleepers]
        for sleeper in sleepers:
            timetable.put(sleeper)
        await asyncio.sleep(3)
        for sleeper, moments in zip(sleepers, wanted, strict=True):
            assert len(sleeper.asked) == 2
            assert all(0 <= at - moment <= LATE for at, moment in zip(sleeper.asked, moments, strict=True))

    run_simulated(live())


def test_whoever_is_moved_is_asked_at_the_new_moment_only() -> None:
    async def live() -> None:
        timetable = Timetable()
        later, earlier = Sleeper(2.0), Sleeper(8.0)
        timetable.put(later)
        timetable.put(earlier)
        later.moments, earlier.moments = [6.0], [1.0]
        timetable.put(later)
        timetable.put(earlier)
        await asyncio.sleep(10)
        assert [round(at) for at in later.asked] == [6]
        assert [round(at) for at in earlier.asked] == [1]

    run_simulated(live())


def test_whoever_is_taken_out_is_never_asked_and_may_come_again() -> None:
    async def live() -> None:
        timetable = Timetable()
        out, back = Sleeper(2.0), Sleeper(2.0)
        for sleeper in (out, back):
            timetable.put(sleeper)
            timetable.take_out(sleeper)
            timetable.take_out(sleeper)
        timetable.put(back)
        await asyncio.sleep(10)
        assert out.asked == []
        assert len(back.asked) == 1

    run_simulated(live())


@pytest.mark.parametrize("asking", ["at its moment", "all"])
def test_one_that_ends_others_when_it_is_asked_keeps_them_from_being_asked(asking: str) -> None:
    async def live() -> None:
        timetable = Timetable()
        others = [Sleeper(2.0), Sleeper(2.0), Sleeper(4.0)]
        moved = Sleeper(2.0, 3.0)

        def end_others() -> None:
            for other in others:
                timetable.take_out(other)
            moved.moments.pop(0)
            timetable.put(moved)

        timetable.put(Sleeper(2.0, does=end_others))
        for sleeper in (*others, moved):
            timetable.put(sleeper)
        await asyncio.sleep(1.9 if asking == "at its moment" else 2.0)
        if asking == "all":
            timetable.ask_all()
        await asyncio.sleep(10)
        assert [other.asked for other in others] == [[], [], []]
        assert [round(at, 2) for at in moved.asked] == [3.0]

    run_simulated(live())


def test_one_that_fails_is_asked_again_and_does_not_stop_the_time_of_the_others() -> None:
    async def live() -> None:
        timetable = Timetable()

        def fail() -> None:
            broken.moments.insert(0, 0.0)
            raise RuntimeError("broken")

        broken, well = Sleeper(1.0, does=fail), Sleeper(1.0, 1.5)
        timetable.put(broken)
        timetable.put(well)
        await asyncio.sleep(1.2)
        assert len(broken.asked) == 1
        broken.does = lambda: None
        broken.moments = [1.0]
        await asyncio.sleep(5)
        assert [round(at, 1) for at in broken.asked] == [1.0, 1.0 + AGAIN_SECONDS]
        assert [round(at, 1) for at in well.asked] == [1.0, 1.5]

    run_simulated(live())


def test_all_can_be_asked_at_once_and_keep_their_moments() -> None:
    async def live() -> None:
        timetable = Timetable()
        stays, leaves, out = Sleeper(5.0), Sleeper(9.0), Sleeper(5.0)
        for sleeper in (stays, leaves, out):
            timetable.put(sleeper)
        timetable.take_out(out)
        leaves.moments = [0.0]
        await asyncio.sleep(1)
        timetable.ask_all()
        assert [stays.asked, leaves.asked, out.asked] == [[1.0], [1.0], []]
        await asyncio.sleep(10)
        assert [round(at) for at in stays.asked] == [1, 5]
        assert leaves.asked == [1.0]

    run_simulated(live())


def test_nobody_is_asked_after_the_close() -> None:
    async def live() -> None:
        timetable = Timetable()
        sleeper = Sleeper(1.0)
        timetable.put(sleeper)
        timetable.close()
        await asyncio.sleep(5)
        assert sleeper.asked == []

    run_simulated(live())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_on_a_real_loop_each_is_asked_once_a_moment(runner: Callable[[Any], None]) -> None:
    """uvloop counts milliseconds: a timer that rang a little early would ask for nothing, again and again."""

    async def live() -> None:
        timetable = Timetable()
        began = asyncio.get_running_loop().time()
        sleepers = [Sleeper(began + 0.05 + number * 0.00077) for number in range(100)]
        calls = 0

        def count_calls(frame: Any, event: str, _argument: Any) -> None:
            nonlocal calls
            calls += event == "call" and frame.f_code is Timetable._ring.__code__

        for sleeper in reversed(sleepers):
            timetable.put(sleeper)
        sys.setprofile(count_calls)
        try:
            await wait_for(lambda: not any(sleeper.moments for sleeper in sleepers))
        finally:
            sys.setprofile(None)
        assert [len(sleeper.asked) for sleeper in sleepers] == [1] * 100
        assert calls <= 100, "the timer rang for nobody"

    runner(live())
