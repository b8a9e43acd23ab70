"""A process that freezes inside a PostgreSQL transaction holds up the others for a moment, not for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from infra.database import engine
from infra.database.engine import is_transient
from infra.database.models import Job
from infra.database.postgres_writer import PostgresWriter
from infra.settings import DatabaseSettings
from pipeline.transitions import Cancel
from tests.contract.jobs import submit
from tests.database import Store

IDLE_MS = 1000
WAIT_SECONDS = 20.0

pytestmark = pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)


@pytest.fixture
async def frozen(
    database_settings: DatabaseSettings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    """Another process on the same database. Its patience in a transaction is shortened so that the test is short."""
    assert int(engine.POSTGRES_SETTINGS["idle_in_transaction_session_timeout"]) <= 5_000
    async with store.database.read():
        pass  # the one connection that the healthy process needs: made now, it keeps the usual patience
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


async def test_every_connection_has_the_limit_also_after_a_rollback(store: Store) -> None:
    limit = text("SELECT current_setting('idle_in_transaction_session_timeout')")
    for open_one in (store.database.read, store.database.snapshot, store.database.write):
        async with open_one() as connection:
            assert await connection.scalar(limit) == "5s"


async def test_a_server_that_can_is_told_to_end_transactions_that_take_too_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is the only thing that helps against a client that froze in the middle of a statement."""
    async with store.database.write() as connection:
        await PostgresWriter(connection).begin()  # the server's real version
        if (connection.dialect.server_version_info or ()) >= (17,):
            assert await connection.scalar(text("SELECT current_setting('transaction_timeout')")) == "1min"
            return
    async with store.database.write() as connection:
        monkeypatch.setattr(connection.dialect, "server_version_info", (17, 0))
        with pytest.raises(DBAPIError, match="unrecognized configuration parameter"):
            await PostgresWriter(connection).begin()
        await connection.rollback()
