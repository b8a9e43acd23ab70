"""Group commits on SQLite without SQLAlchemy: its statements cost 41 of the 75 microseconds that a result took.

One connection of our own, with statements made once from the tables. They run on the event loop: each takes
microseconds, and in aiosqlite's thread four hops a statement and a change of threads for every row cost more than they
free. What may wait does not run there: the beginning of a transaction tries, sleeps and tries again while somebody else
writes; COMMIT and checkpoints, which write to the disk, run in a thread; and between two slices of rows everybody else
has a turn.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import orjson
import structlog
from sqlalchemy import Table
from sqlalchemy import exc as errors

from infra.clock import now_ms
from infra.database.writer import Begun, Values, for_driver

# The loop is busy with one slice for about two milliseconds.
SLICE_ROWS = 200
# A write-ahead log of some megabytes: the same four that SQLite takes by itself, but not inside of a commit.
CHECKPOINT_ROWS = 4000
FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
# One text for each set of columns that stages fill at once.
STATEMENTS = 512

log = structlog.stdlib.get_logger(__name__)


class SqliteWriter:
    """The statements of a transaction, on the connection that `SqliteWriting` keeps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def begin(self) -> Begun:
        return Begun(now_ms())

    async def find(
        self, table: Table, columns: Sequence[str], by: Sequence[str], keys: Sequence[Values], lock: bool = False
    ) -> Sequence[Values]:
        statement = _find(table, tuple(columns), tuple(by))
        with _as_sqlalchemy(statement):
            found: list[Values] = self._connection.execute(statement, (orjson.dumps(keys).decode(),)).fetchall()
        return found

    async def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        await self._run(_insert(table, tuple(columns)), for_driver(table, columns, rows))

    async def update(
        self, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Values], keep: bool = False
    ) -> int:
        statement = _update(table, tuple(keys), tuple(columns), keep)
        return await self._run(statement, for_driver(table, [*keys, *columns], rows))

    async def set_where(self, table: Table, assignments: str, by: str, keys: Sequence[str]) -> None:
        statement = f"UPDATE {table.name} SET {assignments} WHERE {by} IN (SELECT value FROM json_each(?1))"
        with _as_sqlalchemy(statement):
            self._connection.execute(statement, (orjson.dumps(keys).decode(),))

    async def _run(self, statement: str, rows: Sequence[Values]) -> int:
        count = 0
        for start in range(0, len(rows), SLICE_ROWS):
            if start:
                await asyncio.sleep(0)
            with _as_sqlalchemy(statement):
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
            yield SqliteWriter(connection)
            await self._commit(connection)
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
        with _as_sqlalchemy("open"):
            connection = sqlite3.connect(
                self._file,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS,
                timeout=self._patience_ms() / 1000,
            )
            try:
                self._prepare(connection)
                # From here on nothing may wait inside of SQLite.
                connection.execute("PRAGMA busy_timeout=0")
                connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_ROWS * 4}")
            except BaseException:
                connection.close()
                raise
        return connection

    async def _begin(self, connection: sqlite3.Connection) -> None:
        clock = asyncio.get_running_loop().time
        until, pause = clock() + self._patience_ms() / 1000, FIRST_PAUSE_SECONDS
        while True:
            try:
                with _as_sqlalchemy("BEGIN IMMEDIATE"):
                    connection.execute("BEGIN IMMEDIATE")
                return
            except errors.OperationalError as error:
                if not _is_busy(error) or clock() >= until:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _commit(self, connection: sqlite3.Connection) -> None:
        committing = asyncio.get_running_loop().run_in_executor(self._thread, _commit, connection)
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            await asyncio.wait((committing,))  # it can't be stopped, and nobody may use the connection meanwhile
            raise

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
    with _as_sqlalchemy("COMMIT"):
        connection.execute("COMMIT")


def _checkpoint(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:  # the next one will do
        log.warning("checkpoint_failed", error=str(error)[:200])


@cache
def _find(table: Table, columns: tuple[str, ...], by: tuple[str, ...]) -> str:
    order = ", ".join(column.name for column in table.primary_key)
    keys = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(by)))
    return (
        f"SELECT {', '.join(columns)} FROM {table.name} "
        f"WHERE ({', '.join(by)}) IN (SELECT {keys} FROM json_each(?1)) ORDER BY {order}"
    )


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


_CLASSES: tuple[tuple[type[sqlite3.Error], type[errors.DBAPIError]], ...] = (
    (sqlite3.IntegrityError, errors.IntegrityError),
    (sqlite3.OperationalError, errors.OperationalError),
    (sqlite3.DataError, errors.DataError),
    (sqlite3.ProgrammingError, errors.ProgrammingError),
    (sqlite3.Error, errors.DatabaseError),
)


@contextmanager
def _as_sqlalchemy(statement: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        made = next(made for kind, made in _CLASSES if isinstance(error, kind))
        raise made(statement, None, error, hide_parameters=True) from error


def _is_busy(error: errors.OperationalError) -> bool:
    code: Any = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
