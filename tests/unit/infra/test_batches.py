"""Look-ups that come together share a query, and none gets an answer that is older than its question."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.database.batches import MOST_KEYS, Batched
from infra.errors import DatabaseUnavailable
from tests.waiting import wait_for


class Shelf:
    """Values by key, and every query that came."""

    def __init__(self) -> None:
        self.values = {number: f"value {number}" for number in range(2000)}
        self.queries: list[list[int]] = []
        self.away = False
        self.gate: asyncio.Event | None = None

    async def read(self, keys: Sequence[int]) -> dict[int, str]:
        self.queries.append(list(keys))
        if self.away:
            raise DatabaseUnavailable
        found = {key: self.values[key] for key in keys if key in self.values}
        if self.gate is not None:
            await self.gate.wait()
        return found


async def test_those_that_ask_in_the_same_moment_are_one_query() -> None:
    shelf = Shelf()
    batched = Batched(shelf.read)
    answers = await asyncio.gather(*(batched.get(number % 10) for number in range(100)))
    assert answers == [f"value {number % 10}" for number in range(100)]
    assert shelf.queries == [list(range(10))]


async def test_whoever_asks_while_a_query_runs_gets_a_later_answer() -> None:
    shelf = Shelf()
    shelf.gate = asyncio.Event()
    batched = Batched(shelf.read)
    early = asyncio.create_task(batched.get(1))
    await wait_for(lambda: bool(shelf.queries))
    shelf.values[1] = "new"
    late = asyncio.create_task(batched.get(1))
    await asyncio.sleep(0)
    shelf.gate.set()
    assert await early == "value 1"
    assert await late == "new"


async def test_what_is_not_there_is_none() -> None:
    assert await Batched(Shelf().read).get(99_999) is None


async def test_a_wave_is_cut_into_queries_of_a_bounded_size() -> None:
    shelf = Shelf()
    batched = Batched(shelf.read)
    answers = await asyncio.gather(*(batched.get(number) for number in range(1200)))
    assert answers == [f"value {number}" for number in range(1200)]
    assert [len(keys) for keys in shelf.queries] == [MOST_KEYS, MOST_KEYS, 200]


async def test_a_failed_query_fails_those_who_asked_and_not_the_next() -> None:
    shelf = Shelf()
    batched = Batched(shelf.read)
    shelf.away = True
    failed = await asyncio.gather(*(batched.get(number) for number in range(3)), return_exceptions=True)
    assert all(isinstance(one, DatabaseUnavailable) for one in failed)
    shelf.away = False
    assert await batched.get(1) == "value 1"


async def test_one_that_stops_waiting_does_not_take_the_answer_from_the_others() -> None:
    shelf = Shelf()
    shelf.gate = asyncio.Event()
    batched = Batched(shelf.read)
    first, second = (asyncio.create_task(batched.get(1)) for _ in range(2))
    await wait_for(lambda: bool(shelf.queries))
    first.cancel()
    await asyncio.sleep(0)
    shelf.gate.set()
    assert await second == "value 1"
    with pytest.raises(asyncio.CancelledError):
        await first
