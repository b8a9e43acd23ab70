"""Databases with the newest schema: migrated once, then copied for every test that wants one of its own."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.bus.base import Message
from infra.database.committer import Committer
from infra.database.engine import Database
from infra.database.migrate import migrate
from infra.settings import DatabaseSettings
from infra.telemetry.metrics import Metrics
from tests.servers import PostgresServer


def sqlite_settings(path: Path) -> DatabaseSettings:
    """The settings of a SQLite file."""
    return DatabaseSettings(url=f"sqlite+aiosqlite:///{path}")


def make_sqlite_template(directory: Path) -> Path:
    """A migrated file that nobody has open, to be copied."""
    path = directory / "template.db"
    migrate_now(sqlite_settings(path))
    return path


def copy_sqlite(template: Path, directory: Path) -> DatabaseSettings:
    """A database of its own for one test."""
    path = directory / "stagecast.db"
    shutil.copyfile(template, path)
    return sqlite_settings(path)


def make_postgres_template(server: PostgresServer) -> str:
    """The name of a migrated database that nobody is connected to."""
    url = server.create_database()
    migrate_now(DatabaseSettings(url=url))
    return url.rpartition("/")[2]


def migrate_now(settings: DatabaseSettings) -> None:
    """Bring a database to the newest schema."""
    # In a thread, because the tests' event loop may be there already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(settings)).result()


class Store:
    """What one process has of the database: connections and a running committer. `published` is what it announced."""

    def __init__(self, settings: DatabaseSettings, publish: Callable[[Sequence[Message]], None] | None = None) -> None:
        self.database = Database(settings)
        self.metrics = Metrics()
        self.published: list[Message] = []
        self.committer = Committer(self.database, publish or self.published.extend, self.metrics)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.committer.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.database.close()
