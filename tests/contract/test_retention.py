"""Retention removes the logs of sessions whose jobs have all ended long ago, and nothing else."""

import asyncio

import pytest
from sqlalchemy import func, select

from infra.database.log import EventLog, LogPosition
from infra.database.models import Event, MenuItem
from infra.database.repositories.snapshots import Snapshots
from infra.database.retention import Retention
from infra.database.transaction import apply
from infra.settings import DatabaseSettings
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Cancel
from tests.contract.jobs import DISH, submit
from tests.database import Store


async def position(store: Store, session_id: str) -> LogPosition:
    found = await EventLog(store.database).position(session_id)
    assert found is not None
    return found


async def events(store: Store) -> int:
    async with store.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Event)) or 0


async def test_an_ended_session_keeps_its_numbers_and_rows_without_its_log(store: Store) -> None:
    job = await submit(store.committer)
    await store.committer.commit(Cancel(job.id))
    before = await position(store, job.session_id)
    snapshot = await Snapshots(store.database).job(job.id)
    assert await Retention(store.database, 0).trim() == 1
    after = await position(store, job.session_id)
    assert (after.head, after.trimmed, after.epoch) == (before.head, before.head, before.epoch)
    assert await events(store) == 0
    assert await Snapshots(store.database).job(job.id) == snapshot
    assert await Retention(store.database, 0).trim() == 0, "there is nothing left to trim"
    await submit(store.committer, session_id=job.session_id)
    assert (await position(store, job.session_id)).head == before.head + 1, "numbers are never used again"


async def test_a_session_with_a_live_job_or_a_fresh_end_is_kept(store: Store) -> None:
    ended, live = await submit(store.committer), await submit(store.committer)
    await submit(store.committer, session_id=ended.session_id)
    await store.committer.commit(Cancel(ended.id))
    await store.committer.commit(Cancel(live.id))
    assert await Retention(store.database, 3600).trim() == 0
    assert await Retention(store.database, 0).trim() == 1, "only the session whose jobs have all ended"
    assert (await position(store, ended.session_id)).trimmed == 0


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_job_that_is_submitted_at_that_moment_keeps_its_events(
    database_settings: DatabaseSettings, store: Store
) -> None:
    job = await submit(store.committer)
    await store.committer.commit(Cancel(job.id))
    new = Submit(NewJob("menu", None, None, "en", (DISH,)), job.session_id, None, 3)
    async with store.database.write() as connection:
        await apply(connection, store.database.now(), [new])  # written, not yet committed
        trimming = asyncio.create_task(Retention(store.database, 0).trim())
        await asyncio.sleep(0.3)
        assert not trimming.done(), "it waits for the session"
    await trimming
    head = await position(store, job.session_id)
    async with store.database.read() as connection:
        kept = list(await connection.scalars(select(Event.seq).order_by(Event.seq)))
        assert await connection.scalar(select(func.count()).select_from(MenuItem)) == 2
    assert head.trimmed < head.head
    assert head.head in kept
