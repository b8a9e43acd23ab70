"""The migrations: up, down and up again on both databases, and nothing left over between them and the models."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from infra.database.engine import Database
from infra.database.migrate import migrate, schema_is_current
from infra.database.models import Base
from infra.settings import DatabaseSettings
from tests.database import sqlite_settings
from tests.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseSettings]:
    if request.param == "sqlite":
        yield sqlite_settings(tmp_path / "empty.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield DatabaseSettings(url=url)
    server.drop_database(url)


async def tables(settings: DatabaseSettings) -> set[str]:
    database = Database(settings)
    try:
        async with database.read() as connection:
            names = await connection.run_sync(lambda sync: sqlalchemy.inspect(sync).get_table_names())
            return set(names) - {"alembic_version"}
    finally:
        await database.close()


async def test_up_down_and_up_again_leaves_the_whole_schema(empty: DatabaseSettings) -> None:
    expected = set(Base.metadata.tables)

    await migrate(empty)
    assert await tables(empty) == expected
    await migrate(empty, "base")
    assert await tables(empty) == set()
    await migrate(empty)
    assert await tables(empty) == expected


async def test_migrating_twice_changes_nothing(empty: DatabaseSettings) -> None:
    await migrate(empty)
    await migrate(empty)

    assert await tables(empty) == set(Base.metadata.tables)


async def test_the_migrated_schema_is_what_the_models_say(empty: DatabaseSettings) -> None:
    await migrate(empty)
    database = Database(empty)
    try:
        async with database.read() as connection:
            drift = await connection.run_sync(
                lambda sync: compare_metadata(
                    MigrationContext.configure(sync, opts={"compare_type": True}), Base.metadata
                )
            )
    finally:
        await database.close()

    assert drift == []


async def test_only_the_newest_schema_counts_as_current(empty: DatabaseSettings) -> None:
    database = Database(empty)
    try:
        assert not await schema_is_current(database)
        await migrate(empty)
        assert await schema_is_current(database)
        await migrate(empty, "base")
        assert not await schema_is_current(database)
    finally:
        await database.close()
