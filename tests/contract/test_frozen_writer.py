"""A process that freezes inside a PostgreSQL transaction holds up the others for a moment, not for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text

from infra.database import engine
from infra.database.engine import is_transient
from infra.database.models import Job
from infra.settings import DatabaseSettings
from pipeline.transitions import Cancel
from tests.contract.jobs import submit
from tests.database import Store

IDLE_MS = 300
WAIT_SECONDS = 20.0

pytestmark = pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)


@pytest.fixture
async def frozen(database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """Another process on the same database. Its patience in a transaction is shortened so that the test is short."""
    assert int(engine.POSTGRES_SETTINGS["idle_in_transaction_session_timeout"]) <= 10_000
    monkeypatch.setitem(engine.POSTGRES_SETTINGS, "idle_in_transaction_session_timeout", str(IDLE_MS))
    async with Store(database_settings) as store:
        yield store


async def test_the_locks_of_a_frozen_transaction_are_given_back_and_it_can_write_nothing(
    store: Store, frozen: Store
) -> None:
    job = await submit(store.committer)
    with pytest.raises(Exception, match=r"(?i)clos|terminat|idle") as broken:  # noqa: PT012 - it fails at either statement
        async with frozen.database.write() as connection:
            await connection.execute(select(Job.id).where(Job.id == job.id).with_for_update())
            async with asyncio.timeout(WAIT_SECONDS):
                await store.committer.commit(Cancel(job.id))
            await connection.execute(text("UPDATE job SET status = 'running'"))
    assert is_transient(broken.value), "it will be tried again on another connection"
    async with store.database.read() as connection:
        assert await connection.scalar(select(Job.status)) == "cancelled"
