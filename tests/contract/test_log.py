"""Pages of the log on both databases: gapless, bounded in number and in bytes, and of one moment."""

import pytest
from sqlalchemy import insert, update

from infra.database.log import MOST_PAGE_BYTES, EventLog, LogPage
from infra.database.models import EVENT, SESSION
from tests.contract.jobs import submit
from tests.database import Store


async def fill(store: Store, sizes: list[int]) -> str:
    """A session whose log has events of these sizes after its first one."""
    job = await submit(store.committer)
    rows = [
        {"session_id": job.session_id, "seq": seq, "job_id": job.id, "type": "item.updated", "data": b"x" * size}
        for seq, size in enumerate(sizes, 2)
    ]
    async with store.database.write() as connection:
        await connection.execute(insert(EVENT), rows)
        await connection.execute(update(SESSION).values(head=len(sizes) + 1))
    return job.session_id


async def page(store: Store, session_id: str, after: int, limit: int) -> LogPage:
    found = await EventLog(store.database).page(session_id, after, limit)
    assert found is not None
    return found


def numbers(found: LogPage) -> list[int]:
    return [seq for seq, _ in found.events]


async def test_pages_follow_each_other_without_a_hole_to_the_head(store: Store) -> None:
    session_id = await fill(store, [10] * 99)
    seen: list[int] = []
    while (found := await page(store, session_id, len(seen), 30)).events:
        assert found.reached == numbers(found)[-1]
        assert len(found.events) <= 30
        seen += numbers(found)
    assert seen == list(range(1, 101))
    assert found.reached == found.position.head == 100


@pytest.mark.parametrize("size", [MOST_PAGE_BYTES // 4, MOST_PAGE_BYTES, 3 * MOST_PAGE_BYTES])
async def test_a_page_of_large_events_is_cut_and_has_one_at_least(store: Store, size: int) -> None:
    session_id = await fill(store, [size] * 6)
    seen: list[int] = []
    while (found := await page(store, session_id, len(seen), 500)).events:
        assert sum(len(entry.data) for _, entry in found.events[:-1]) < MOST_PAGE_BYTES
        assert found.reached == numbers(found)[-1]
        seen += numbers(found)
    assert seen == list(range(1, 8))


async def test_a_page_begins_with_the_first_event_that_is_kept(store: Store) -> None:
    session_id = await fill(store, [10] * 20)
    async with store.database.write() as connection:
        await connection.execute(EVENT.delete().where(EVENT.c.seq <= 8))
        await connection.execute(update(SESSION).values(trimmed=8))
    found = await page(store, session_id, 0, 5)
    assert numbers(found) == [9, 10, 11, 12, 13]
    assert found.position.trimmed == 8


async def test_there_is_nothing_beyond_the_head_and_no_page_of_an_unknown_session(store: Store) -> None:
    session_id = await fill(store, [10])
    found = await page(store, session_id, 2, 10)
    assert (found.events, found.reached) == ((), 2)
    assert await EventLog(store.database).page("x" * 26, 0, 10) is None
