"""Brings a database's schema to the newest revision, by Alembic and by nothing else."""

from importlib.resources import files

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from infra.database.engine import Database, unavailable_as_error
from infra.settings import DatabaseSettings


def alembic_config() -> Config:
    """The configuration for Alembic's commands; the connection comes in its attributes."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(settings: DatabaseSettings, revision: str = "head") -> None:
    """Upgrade (or with an older revision: downgrade) the schema. Raises DatabaseUnavailable."""
    url = Database(settings).url  # makes the folder of an SQLite file
    engine = create_async_engine(url, connect_args={} if url.get_backend_name() == "sqlite" else {"timeout": 5})
    config = alembic_config()

    def run(connection: sqlalchemy.Connection) -> None:
        config.attributes["connection"] = connection
        if revision == "head" or revision.startswith("+"):
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)

    try:
        with unavailable_as_error():
            async with engine.begin() as connection:
                if url.get_backend_name() == "postgresql":
                    # Two machines that start together migrate one after the other.
                    await connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(7340193)"))
                await connection.run_sync(run)
    finally:
        await engine.dispose()


def newest_revision() -> str:
    """The revision that this program's migrations lead to."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head


async def current_revision(database: Database) -> str | None:
    """The revision of the database's schema; None when it has none yet. Raises DatabaseUnavailable."""

    def current(connection: sqlalchemy.Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.read() as connection:
        return await connection.run_sync(current)


async def schema_is_current(database: Database) -> bool:
    """Whether the database has the newest schema. Raises DatabaseUnavailable."""
    return await current_revision(database) == newest_revision()
