"""One database, two dialects: how connections begin transactions, encode JSON and tell the time.

SQLite gets a connection for the group commit, and two engines for the rest: one connection that writes (`BEGIN
IMMEDIATE`: with a plain BEGIN 176 of 200 transactions of 8 writers failed at once with "database is locked", in spite
of busy_timeout), and a small pool that reads snapshots of the WAL. Those that write take turns. PostgreSQL gets one
pool; snapshot reads ask for REPEATABLE READ, all else is READ COMMITTED.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
from sqlalchemy import BigInteger, ColumnElement, event, literal, literal_column, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from infra.clock import now_ms
from infra.database.postgres_writer import PostgresWriter
from infra.database.sqlite_reader import SqliteReader, Statement
from infra.database.sqlite_writer import SqliteWriting
from infra.database.writer import Encoded, Writer
from infra.errors import DatabaseUnavailable
from infra.settings import DatabaseSettings

SQLITE_READERS = 4
# A transaction is tried three times, so that whoever waits for a file that somebody keeps locked is told after some
# three seconds; with five here it took fifteen, and clients gave up without an answer.
BUSY_TIMEOUT_MS = 1000
# What each of the five connections keeps of the file; it fills with the part that is in use, and then stays.
CACHE_KIB = 8192
# A process that freezes inside a transaction would keep its row locks, and with them the group commit of every other
# gateway, until somebody kills it. So the server ends a session that is silent for so long between two statements. Ours
# are silent while they encode the rows of the next one: 0.4 s for 10,000 rows, on a busy machine more. It must be well
# below what clients wait for an answer. It does not end a session whose client froze in the middle of a statement. In
# milliseconds.
POSTGRES_SETTINGS = {"idle_in_transaction_session_timeout": "5000"}

# How long a writer waits for the one before it in this process.
TURN_SECONDS = 30.0


def _to_json(value: Any) -> str:
    return value if type(value) is Encoded else orjson.dumps(value).decode()


class Reading(Protocol):
    """What `Database.glance` offers."""

    async def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of a statement that is made once, for parameters by name."""
        ...


class _Connected:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        found: Any = await self._connection.execute(statement, parameters)
        rows: Sequence[Sequence[Any]] = found.all()
        return rows


class Database:
    """Opens the connections of one process.

    `read`, `snapshot` and `glance` are for readers, `writing` for the committer, `write` for all others that write.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self.url = make_url(settings.url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # hide_parameters: the message of a failed statement goes to the log, the texts and keys in it must not.
        options: dict[str, Any] = {
            "json_serializer": _to_json,
            "json_deserializer": orjson.loads,
            "hide_parameters": True,
        }
        if self.is_sqlite:
            if self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self._reader = create_async_engine(self.url, pool_size=SQLITE_READERS, max_overflow=0, **options)
            self._writer = create_async_engine(self.url, pool_size=1, max_overflow=0, **options)
            _prepare_sqlite(self._reader, "BEGIN")
            _prepare_sqlite(self._writer, "BEGIN IMMEDIATE")
            self._snapshots = self._reader
            self._commits: SqliteWriting | None = SqliteWriting(
                str(self.url.database), _prepare_sqlite_connection, lambda: BUSY_TIMEOUT_MS
            )
            self._glances: SqliteReader | None = SqliteReader(
                str(self.url.database), _prepare_sqlite_connection, lambda: BUSY_TIMEOUT_MS
            )
            self._turn = asyncio.Lock()
        else:
            self._commits = None
            self._glances = None
            self._writer = self._reader = create_async_engine(
                self.url,
                pool_size=settings.pool_size,
                max_overflow=settings.max_overflow,
                pool_timeout=settings.pool_timeout_seconds,
                pool_recycle=settings.pool_recycle_seconds,
                connect_args={"timeout": 5, "command_timeout": 30},
                **options,
            )
            _prepare_postgres(self._writer)
            self._snapshots = self._reader.execution_options(isolation_level="REPEATABLE READ")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading. Raises DatabaseUnavailable when the database can't be reached."""
        with unavailable_as_error():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see the same moment. Raises DatabaseUnavailable."""
        with unavailable_as_error():
            async with self._snapshots.connect() as connection:
                yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator["Reading"]:
        """Statements that find little and see the same moment, with little ado. Raises DatabaseUnavailable."""
        with unavailable_as_error():
            if self._glances is not None:
                async with self._glances.moment() as reading:
                    yield reading
            else:
                async with self._snapshots.connect() as connection:
                    yield _Connected(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection inside one write transaction; commits at the end, rolls back on any error."""
        async with self._taking_turns(), self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writer]:
        """One write transaction for rows in bulk; commits at the end, rolls back on any error."""
        if self._commits is None:
            async with self._writer.begin() as connection:
                yield PostgresWriter(connection)
        else:
            async with self._taking_turns(), self._commits.transaction() as writer:
                yield writer

    @asynccontextmanager
    async def _taking_turns(self) -> AsyncIterator[None]:
        """SQLite has one writer. Within this process they stand in line: whoever asks again and again may starve."""
        if self._commits is None:
            yield
            return
        async with asyncio.timeout(TURN_SECONDS):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    def now(self) -> ColumnElement[int]:
        """The one clock that leases are compared by, unix milliseconds: PostgreSQL's, or this machine's for SQLite."""
        if self.is_sqlite:
            return literal(now_ms())
        return literal_column("(extract(epoch FROM clock_timestamp()) * 1000)::bigint", BigInteger)

    async def ping(self) -> None:
        """Read something that is stored, as one who may write it. Raises DatabaseUnavailable."""
        async with self.read() as connection:
            await connection.execute(text("SELECT name FROM keyring LIMIT 1"))
            if not self.is_sqlite:
                await connection.execute(_AS_WRITER)

    async def close(self) -> None:
        """Close every connection."""
        if self._commits is not None:
            async with self._taking_turns():
                await self._commits.close()
        if self._glances is not None:
            self._glances.close()
        await self._writer.dispose()
        await self._reader.dispose()


class unavailable_as_error:
    """Turns what the drivers raise when the database is away into DatabaseUnavailable."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_transient(error):
            raise DatabaseUnavailable from error


# The server may only be read: it was demoted in a failover, or whoever runs it has found its disk full.
_READ_ONLY = "25006"
# Refused where nothing may be written, and locks nothing.
_AS_WRITER = text("SELECT name FROM keyring WHERE false FOR UPDATE")
# SQLSTATE classes: 08 connection, 25P03 idle in transaction, 25P04 transaction too long, 40 rollback (deadlock,
# serialization), 53 resources, 57P shutdown, 55P03 lock.
_TRANSIENT_STATES = ("08", _READ_ONLY, "25P03", "25P04", "40", "53", "57P", "55P03")
_TRANSIENT_SQLITE = ("locked", "busy", "unable to open", "disk i/o", "full")


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may well succeed a moment later."""
    if isinstance(error, OSError | PoolTimeout):
        return True
    if isinstance(error, InterfaceError):
        # asyncpg calls a value that it can't encode an interface error, too; that one stays wrong.
        return type(getattr(error.orig, "__cause__", None)).__name__ != "DataError"
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return str(state).startswith(_TRANSIENT_STATES)
    message = str(error.orig).lower()
    return any(word in message for word in _TRANSIENT_SQLITE) or "connection" in message


def is_duplicate(error: DBAPIError) -> bool:
    """Whether a unique constraint refused the row (SQLSTATE 23505)."""
    return getattr(error.orig, "sqlstate", None) == "23505" or "UNIQUE constraint" in str(error.orig)


def _prepare_postgres(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # Not as parameters of the start of the session, which PgBouncer refuses.
        cursor = connection.cursor()
        for name, value in POSTGRES_SETTINGS.items():
            cursor.execute(f"SET {name} = {value}")
        cursor.close()
        connection.commit()

    @event.listens_for(engine.sync_engine, "handle_error")
    def _leave_read_only(context: ExceptionContext) -> None:
        # The name of the database may lead to another server by now: all connections are made anew.
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True


def _prepare_sqlite(engine: AsyncEngine, begin: str) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        _prepare_sqlite_connection(connection)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def _prepare_sqlite_connection(connection: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"cache_size=-{CACHE_KIB}",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
