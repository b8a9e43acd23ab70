"""The local dispatcher runs a bounded number at once, each stage only once at a time, and stops cleanly."""

import asyncio

from infra.dispatch.local import LocalDispatcher
from tests.waiting import wait_for


class Work:
    """Stages that run until they are let go."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.cancelled: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.again: float | None = None

    async def run(self, job_id: str, stage: str) -> float | None:
        self.started.append((job_id, stage))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # hands its lease back
            self.cancelled.append((job_id, stage))
            raise
        self.ended.append((job_id, stage))
        again, self.again = self.again, None
        return again


async def test_no_more_than_the_bound_run_at_once_and_all_run_in_order() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 3)
    wanted = [("job", f"stage {number}") for number in range(10)]
    for key in wanted:
        dispatcher.dispatch(*key)
    await asyncio.sleep(0.01)
    assert work.started == wanted[:3]
    work.go.set()
    await wait_for(lambda: len(work.ended) == 10)
    assert work.started == wanted


async def test_a_stage_is_never_queued_or_run_twice_at_once() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 1)
    for _ in range(3):
        dispatcher.dispatch("job", "running")
        dispatcher.dispatch("job", "queued")
        await asyncio.sleep(0)
    work.go.set()
    await wait_for(lambda: len(work.ended) == 2)
    await asyncio.sleep(0.01)
    assert work.ended == [("job", "running"), ("job", "queued")]
    dispatcher.dispatch("job", "running")
    await wait_for(lambda: len(work.ended) == 3)


async def test_a_stage_that_asks_for_it_runs_again_later() -> None:
    work = Work()
    work.again = 0.02
    work.go.set()
    dispatcher = LocalDispatcher(work.run, 1)
    dispatcher.dispatch("job", "stage")
    await wait_for(lambda: len(work.ended) == 2)
    await asyncio.sleep(0.05)
    assert len(work.ended) == 2


async def test_a_run_that_dies_frees_its_place() -> None:
    died: list[str] = []

    async def run(job_id: str, stage: str) -> float | None:
        died.append(stage)
        raise RuntimeError("on purpose")

    dispatcher = LocalDispatcher(run, 1)
    dispatcher.dispatch("job", "first")
    dispatcher.dispatch("job", "second")
    await wait_for(lambda: died == ["first", "second"])


async def test_a_run_that_is_cancelled_before_its_first_step_frees_its_place() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 1)
    dispatcher.dispatch("job", "cancelled")
    dispatcher.cancel("job", "cancelled")
    dispatcher.dispatch("job", "next")
    work.go.set()
    await wait_for(lambda: ("job", "next") in work.ended)
    assert work.started == [("job", "next")]


async def test_a_cancelled_run_ends_and_the_next_begins() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 1)
    dispatcher.dispatch("job", "cancelled")
    dispatcher.dispatch("job", "next")
    await asyncio.sleep(0)
    dispatcher.cancel("job", "cancelled")
    dispatcher.cancel("job", "nobody")
    await wait_for(lambda: len(work.started) == 2)
    assert work.cancelled == [("job", "cancelled")]


async def test_stopping_waits_for_what_runs_and_begins_nothing_more() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 2)
    for number in range(5):
        dispatcher.dispatch("job", f"stage {number}")
    dispatcher.dispatch_later("job", "later", 0.01)
    await asyncio.sleep(0)
    await dispatcher.stop()
    assert len(work.cancelled) == len(work.started) == 2
    dispatcher.dispatch("job", "after")
    dispatcher.dispatch_later("job", "after", 0)
    await asyncio.sleep(0.05)
    assert len(work.started) == 2


async def test_reserved_places_are_nobody_elses_until_they_are_given_back() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 3)
    with dispatcher.reserve(2) as places:
        assert places.count == 2
        assert dispatcher.reserve(2).count == 0, "one is left"
        for number in range(3):
            dispatcher.dispatch("job", f"stage {number}")
        assert dispatcher.reserve(1).count == 0, "others wait already"
        assert places.begin("job", "reserved")
        await wait_for(lambda: len(work.started) == 2)
        await asyncio.sleep(0.01)
        assert work.started == [("job", "stage 0"), ("job", "reserved")]
    await wait_for(lambda: len(work.started) == 3)
    await asyncio.sleep(0.01)
    assert len(work.started) == 3
    work.go.set()
    await wait_for(lambda: len(work.ended) == 4)


async def test_places_of_a_dispatcher_that_stops_are_worth_nothing() -> None:
    work = Work()
    dispatcher = LocalDispatcher(work.run, 3)
    with dispatcher.reserve(2) as places:
        dispatcher.rest()
        assert not places.begin("job", "stage")
    assert dispatcher.reserve(1).count == 0
    await asyncio.sleep(0.01)
    assert work.started == []
