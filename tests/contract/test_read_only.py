"""A PostgreSQL that may only be read, after a failover or because its disk is full: an outage like any other."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from gateway.terminal import preflight
from gateway.terminal.exits import Exit, Stop
from gateway.terminal.preflight import check_database
from infra.errors import DatabaseUnavailable
from infra.settings import Settings
from pipeline.transitions import Cancel
from tests.contract.jobs import submit
from tests.database import Store

pytestmark = pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)


@pytest.fixture
async def administrator(store: Store) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may write whatever the database says."""
    url = store.database.url.render_as_string(hide_password=False).replace("+asyncpg", "")
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    yield connection
    await connection.close()


async def make_read_only(store: Store, administrator: asyncpg.Connection) -> None:
    """As after a failover: new connections can't write, the old ones are gone."""
    await administrator.execute(f"ALTER DATABASE {store.database.url.database} SET default_transaction_read_only = on")
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def make_writable(store: Store, administrator: asyncpg.Connection) -> None:
    """For new connections; those that cannot write stay open."""
    await administrator.execute(f"ALTER DATABASE {store.database.url.database} RESET default_transaction_read_only")


async def test_a_database_that_can_only_be_read_is_unavailable_and_used_again_once_it_can_be_written(
    store: Store, administrator: asyncpg.Connection
) -> None:
    job = await submit(store.committer)
    await store.database.ping()
    await make_read_only(store, administrator)
    with pytest.raises(DatabaseUnavailable):
        await submit(store.committer)
    with pytest.raises(DatabaseUnavailable):
        await store.database.ping()
    async with store.database.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM job")) == 1, "reading goes on"
    await make_writable(store, administrator)
    await store.committer.commit(Cancel(job.id))
    await store.database.ping()


async def test_a_process_that_nobody_asks_to_write_notices_by_its_pings_that_it_can_again(
    store: Store, administrator: asyncpg.Connection
) -> None:
    await make_read_only(store, administrator)
    for _ in range(2):  # the first may still meet a connection that was ended
        with pytest.raises(DatabaseUnavailable):
            await store.database.ping()
    await make_writable(store, administrator)
    await store.database.ping()


async def test_the_server_does_not_start_on_a_database_that_it_cannot_write_and_a_reader_does(
    store: Store, administrator: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "PATIENCE_SECONDS", 0.3)
    settings = Settings(_env_file=None, database={"url": store.database.url.render_as_string(hide_password=False)})
    await make_read_only(store, administrator)
    with pytest.raises(Stop, match="read-only transaction") as stopped:
        await check_database(settings, to_write=True)
    assert stopped.value.code is Exit.DATABASE
    await check_database(settings, to_write=False)
