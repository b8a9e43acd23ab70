"""The schema on both databases: migrations go up and down and up, leave no drift, and the hot queries use an index."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect

from infra.database.engine import Database
from infra.database.leases import Leases
from infra.database.log import EventLog
from infra.database.migrate import migrate, schema_is_current
from infra.database.models import Base
from infra.database.repositories.inputs import JobInputs
from infra.database.repositories.snapshots import Snapshots
from infra.settings import DatabaseSettings
from pipeline.transitions import Cancel
from tests.contract.jobs import claim, submit
from tests.database import Store, sqlite_settings
from tests.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseSettings]:
    """A database without any table."""
    if request.param == "sqlite":
        yield sqlite_settings(tmp_path / "data" / "empty.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield DatabaseSettings(url=url)
    server.drop_database(url)


async def tables(database: Database) -> set[str]:
    async with database.write() as connection:
        return set(await connection.run_sync(lambda one: inspect(one).get_table_names()))


def drift(connection: sqlalchemy.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


async def test_the_schema_goes_up_and_down_and_up_again_without_drift(empty: DatabaseSettings) -> None:
    database = Database(empty)
    assert not await schema_is_current(database)
    for _ in range(2):
        await migrate(empty)
        assert await schema_is_current(database)
        assert await tables(database) == {*Base.metadata.tables, "alembic_version"}
        async with database.write() as connection:
            assert await connection.run_sync(drift) == []
        await migrate(empty)  # a second time there is nothing to do
        await migrate(empty, "base")
        assert not await schema_is_current(database)
        assert await tables(database) == {"alembic_version"}
    await database.close()


async def test_a_migrated_database_works(empty: DatabaseSettings) -> None:
    await migrate(empty)
    async with Store(empty) as store:
        job = await submit(store.committer)
        assert await Snapshots(store.database).job(job.id) is not None


async def test_rows_of_a_removed_session_go_with_it(store: Store) -> None:
    for kind in ("menu", "prompt"):
        job = await submit(store.committer, kind)
        async with store.database.write() as connection:
            session = Base.metadata.tables["session"]
            await connection.execute(session.delete().where(session.c.id == job.session_id))
            for table in Base.metadata.sorted_tables:
                assert (await connection.execute(table.select())).first() is None, table.name


async def fill(store: Store) -> tuple[str, str]:
    """Enough rows that a scan would be a mistake; one session's id and one job's."""
    sessions = [await submit(store.committer, items=3) for _ in range(20)]
    chosen = random.choice(sessions)
    for session in sessions:
        await submit(store.committer, "prompt", session_id=session.session_id)
        for _ in range(10):  # as in life, nearly all stages there are have ended
            job = await submit(store.committer, session_id=session.session_id)
            await store.committer.commit(Cancel(job.id))
    await submit(store.committer, "prompt", session_id=chosen.session_id)
    return chosen.session_id, chosen.id


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
async def test_the_hot_queries_use_an_index(store: Store) -> None:
    session_id, job_id = await fill(store)
    file = str(store.database.url.database)
    with sqlite3.connect(file) as analyst:
        analyst.execute("ANALYZE")
    analyst.close()
    asked: list[tuple[str, Any]] = []

    @event.listens_for(store.database._reader.sync_engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    def _trace(statement: str) -> None:
        asked.append((statement, ()))

    log, snapshots = EventLog(store.database), Snapshots(store.database)
    await log.positions([session_id])
    assert store.database._glances is not None
    assert store.database._glances._connection is not None
    store.database._glances._connection.set_trace_callback(_trace)
    await log.positions([session_id])
    await log.page(session_id, 2, 100)
    await Leases(store.database).claimable(2000, 100)
    await snapshots.place(job_id)
    await snapshots.job(job_id)
    await snapshots.session(session_id)
    await snapshots.listing(session_id)
    inputs = JobInputs(store.database)
    await inputs.of_job(job_id)
    await inputs.stored_prompts(session_id, job_id)
    assert store.database._commits is not None
    assert store.database._commits._connection is not None
    store.database._commits._connection.set_trace_callback(_trace)
    await claim(store.committer, job_id)
    explained = 0
    with sqlite3.connect(file) as planner:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "UPDATE")):
                plan = [row[3] for row in planner.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                # What a subquery has found may be gone through; a table may not.
                bounded = ("INDEX", "subquery")
                scans = [line for line in plan if line.startswith("SCAN") and not any(one in line for one in bounded)]
                assert scans == [], f"{statement}\n{plan}"
                explained += 1
    planner.close()
    assert explained >= 20


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
async def test_the_reconciler_reads_the_partial_index_over_live_stages(store: Store) -> None:
    await fill(store)
    plans: list[str] = []

    @event.listens_for(store.database._reader.sync_engine, "before_cursor_execute")
    def _explain(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        with sqlite3.connect(str(store.database.url.database)) as planner:
            plans.extend(row[3] for row in planner.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
        planner.close()

    await Leases(store.database).claimable(2000, 100)
    assert any("ix_stage_active" in line for line in plans), plans
