"""PostgreSQL dies at a COMMIT: what it lost is not taken for written, although its number was given to another."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from infra.database.engine import Database
from infra.database.migrate import migrate
from infra.database.models import Event
from infra.settings import DatabaseSettings
from tests.contract.jobs import submit
from tests.contract.relay import Relay
from tests.database import Store
from tests.servers import PostgresServer
from tests.waiting import wait_for

TRIES = 6


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may kill."""
    with PostgresServer() as server:
        yield server


async def use_up_transactions(settings: DatabaseSettings, count: int) -> int:
    """Commit some transactions of somebody else; returns the last one's number."""
    database = Database(settings)
    last = 0
    for _ in range(count):
        async with database.write() as connection:
            await connection.execute(text("UPDATE keyring SET value = value"))
            last = int(await connection.scalar(text("SELECT pg_current_xact_id()::text")) or 0)
    await database.close()
    return last


@pytest.mark.timeout(120)
async def test_a_number_that_a_crash_gave_to_another_transaction_is_no_proof(own_postgres: PostgresServer) -> None:
    settings = DatabaseSettings(url=own_postgres.create_database())
    await migrate(settings)
    reused = 0
    for _ in range(TRIES):
        async with Relay(settings) as relay, Store(relay.settings) as store:
            job = await submit(store.committer)
            before = await use_up_transactions(settings, 1)
            relay.break_at_commit(reached_server=False)
            adding = asyncio.create_task(submit(store.committer, session_id=job.session_id))
            await wait_for(lambda relay=relay: relay.broken)
            relay.away = True  # the committer must ask after the number has been given away
            own_postgres.kill()
            await asyncio.to_thread(own_postgres.start)
            reused += await use_up_transactions(settings, 8) <= before + 9  # 1 of ours, 8 of theirs: ours is not there
            relay.away = False
            await adding
            async with store.database.read() as connection:
                events = await connection.scalar(select(func.count()).where(Event.session_id == job.session_id))
            announced = sum(len(message.entries) for message in store.published)
            assert events == announced, f"{announced} events were announced, {events} are in the log"
        if reused:
            return
    pytest.fail(f"the server never gave a lost transaction's number to another in {TRIES} crashes")
