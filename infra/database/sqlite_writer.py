"""Group commits on SQLite without SQLAlchemy: its statements cost 41 of the 75 microseconds that a result took.

One connection of our own, with statements made once from the tables. They run on the event loop: each takes
microseconds, and in aiosqlite's thread four hops a statement and a change of threads for every row cost more than they
free. What may wait does not run there: the beginning of a transaction tries, sleeps and tries again while somebody else
writes; COMMIT and checkpoints, which write to the disk, run in a thread; and between two slices of rows everybody else
has a turn.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial

import orjson
import structlog
from sqlalchemy import Table

from infra.clock import now_ms
from infra.database.sqlite_connection import as_sqlalchemy, open_connection, patiently
from infra.database.writer import Begun, Values, for_driver

# The loop is busy with one slice for about two milliseconds.
SLICE_ROWS = 200
# A write-ahead log of some megabytes: the same four that SQLite takes by itself, but not inside of a commit.
CHECKPOINT_ROWS = 4000

InThread = Callable[[Callable[[], None]], Awaitable[None]]

log = structlog.stdlib.get_logger(__name__)


class SqliteWriter:
    """The statements of a transaction, on the connection that `SqliteWriting` keeps."""

    def __init__(self, connection: sqlite3.Connection, in_thread: InThread) -> None:
        self._connection = connection
        self._in_thread = in_thread

    async def begin(self) -> Begun:
        return Begun(now_ms())

    async def find(
        self, table: Table, columns: Sequence[str], by: Sequence[str], keys: Sequence[Values], lock: bool = False
    ) -> Sequence[Values]:
        statement = _find(table, tuple(columns), tuple(by))
        with as_sqlalchemy(statement):
            found: list[Values] = self._connection.execute(statement, (orjson.dumps(keys).decode(),)).fetchall()
        return found

    async def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        await self._run(_insert(table, tuple(columns)), for_driver(table, columns, rows))

    async def update(
        self, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Values], keep: bool = False
    ) -> int:
        statement = _update(table, tuple(keys), tuple(columns), keep)
        return await self._run(statement, for_driver(table, [*keys, *columns], rows))

    async def set_where(self, table: Table, column: str, value: str, now: int, by: str, keys: Sequence[str]) -> None:
        statement = f"UPDATE {table.name} SET {column} = {value}, updated_at = ? WHERE {by} = ?"
        rows = [(now, key) for key in keys]

        def run() -> None:
            with as_sqlalchemy(statement):
                self._connection.executemany(statement, rows)

        await self._in_thread(run)  # each key may stand for ten thousand rows

    async def _run(self, statement: str, rows: Sequence[Values]) -> int:
        count = 0
        for start in range(0, len(rows), SLICE_ROWS):
            if start:
                await asyncio.sleep(0)
            with as_sqlalchemy(statement):
                count += self._connection.executemany(statement, rows[start : start + SLICE_ROWS]).rowcount
        return count


class SqliteWriting:
    """Keeps the connection and gives one transaction at a time; whoever calls sees to it that they take turns."""

    def __init__(
        self, file: str, prepare: Callable[[sqlite3.Connection], None], patience_ms: Callable[[], int]
    ) -> None:
        self._file = file
        self._prepare = prepare
        self._patience_ms = patience_ms
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None  # from the first transaction on
        self._checkpoint: asyncio.Future[None] | None = None
        self._checkpointed_changes = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteWriter]:
        """A write transaction: commits at the end, rolls back on any error."""
        if self._checkpoint is not None:
            await asyncio.wait((self._checkpoint,))
            self._checkpoint = None
        try:
            connection = await self._opened()
            await self._begin(connection)
            yield SqliteWriter(connection, self._in_thread)
            await self._in_thread(partial(_commit, connection))
        except BaseException:
            self._roll_back()
            raise
        changes = connection.total_changes
        if changes - self._checkpointed_changes >= CHECKPOINT_ROWS:
            self._checkpointed_changes = changes
            self._checkpoint = asyncio.get_running_loop().run_in_executor(self._thread, _checkpoint, connection)

    async def _opened(self) -> sqlite3.Connection:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        if self._connection is None:
            self._connection = await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
            self._checkpointed_changes = 0
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = open_connection(self._file, self._prepare, self._patience_ms())
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_ROWS * 4}")
        return connection

    async def _begin(self, connection: sqlite3.Connection) -> None:
        def begin() -> None:
            connection.execute("BEGIN IMMEDIATE")

        await patiently(begin, "BEGIN IMMEDIATE", self._patience_ms())

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Do this in the thread, whatever is cancelled meanwhile: nobody may use the connection before it is over."""
        working = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not working.done():
            try:
                await asyncio.wait((working,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            working.exception()  # looked at, so that asyncio does not report it as forgotten
            raise cancelled
        working.result()

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:  # a new one begins in order
            log.warning("rollback_failed", error=str(error)[:200])
            self._connection = None
            connection.close()

    async def close(self) -> None:
        """Close the connection; nobody may be inside a transaction."""
        if self._checkpoint is not None:
            await asyncio.wait((self._checkpoint,))
        connection, thread = self._connection, self._thread
        self._connection = self._thread = self._checkpoint = None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(thread, connection.close)
        if thread is not None:
            thread.shutdown(wait=False)


def _commit(connection: sqlite3.Connection) -> None:
    with as_sqlalchemy("COMMIT"):
        connection.execute("COMMIT")


def _checkpoint(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:  # the next one will do
        log.warning("checkpoint_failed", error=str(error)[:200])


@cache
def _find(table: Table, columns: tuple[str, ...], by: tuple[str, ...]) -> str:
    order = ", ".join(f"{table.name}.{column.name}" for column in table.primary_key)
    found = ", ".join(f"{table.name}.{name}" for name in columns)
    keys = " AND ".join(f"{table.name}.{name} = json_extract(value, '$[{place}]')" for place, name in enumerate(by))
    # CROSS JOIN: the keys first, and then the index, whatever statistics say. An IN went through small tables.
    return f"SELECT {found} FROM json_each(?1) CROSS JOIN {table.name} ON {keys} ORDER BY {order}"


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@cache
def _update(table: Table, keys: tuple[str, ...], columns: tuple[str, ...], keep: bool) -> str:
    # Numbered, since the keys come first.
    value = "coalesce(?{number}, {name})" if keep else "?{number}"
    assignments = (
        f"{name} = {value.format(number=number, name=name)}" for number, name in enumerate(columns, len(keys) + 1)
    )
    where = (f"{name} = ?{number}" for number, name in enumerate(keys, 1))
    return f"UPDATE {table.name} SET {', '.join(assignments)} WHERE {' AND '.join(where)}"
