"""The supervisor starts what died again, and says so."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics
from tests.waiting import wait_for


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    one = Supervisor(Metrics())
    yield one
    await one.stop()


async def raise_error() -> None:
    raise RuntimeError("on purpose")


async def return_early() -> None:
    return


async def await_what_is_cancelled() -> None:
    """As a library does that gives up on something it waited for."""
    inner = asyncio.create_task(asyncio.sleep(10))
    inner.cancel()
    await inner


@pytest.mark.parametrize("die", [raise_error, return_early, await_what_is_cancelled])
async def test_a_task_that_ends_is_reported_and_started_again(supervisor: Supervisor, die: Callable[[], None]) -> None:
    began = 0

    async def run() -> None:
        nonlocal began
        began += 1
        if began <= 2:
            await die()  # type: ignore[misc]
        else:
            await asyncio.Event().wait()

    supervisor.start("worker", run)
    await wait_for(lambda: supervisor.failing == {"worker"})
    await wait_for(lambda: began == 3)
    assert supervisor.failing == set()
    restarts = supervisor._metrics.registry.get_sample_value("stagecast_task_restarts_total", {"task": "worker"})
    assert restarts == 2


async def test_stopping_ends_every_task(supervisor: Supervisor) -> None:
    ended: list[str] = []

    def make(name: str) -> Callable[[], object]:
        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return run

    for name in ("first", "second"):
        supervisor.start(name, make(name))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    await supervisor.stop()
    assert sorted(ended) == ["first", "second"]


async def test_one_that_dies_does_not_disturb_the_others(supervisor: Supervisor) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.005)

    supervisor.start("heart", beat)
    supervisor.start("broken", raise_error)
    await wait_for(lambda: supervisor.failing == {"broken"})
    before = beats
    await wait_for(lambda: beats > before + 3)


async def test_stopping_ends_even_a_task_that_swallows_its_first_cancellation(supervisor: Supervisor) -> None:
    swallowed = asyncio.Event()
    began = asyncio.Event()

    async def run() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()  # what a library does that mistakes it for its own time-out
        await asyncio.Event().wait()

    supervisor.start("stubborn", run)
    await began.wait()
    async with asyncio.timeout(20):
        await supervisor.stop()

    assert swallowed.is_set()
