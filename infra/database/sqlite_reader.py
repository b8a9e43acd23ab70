"""Short reads of SQLite on the event loop: where a stream begins, and what follows its cursor.

Through SQLAlchemy and aiosqlite such a read took 0.5 to 1 ms on an idle server, twelve changes of threads among it, and
4 ms and more while results were being written on the same core; here it is 0.1 ms. Large reads have no place here.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from sqlalchemy import Select, TextClause
from sqlalchemy.dialects import sqlite

from infra.database.sqlite_connection import open_connection, patiently

Statement = Select[Any] | TextClause


class SqliteReader:
    """Keeps a connection; the statements inside `moment` all see the same one."""

    def __init__(
        self, file: str, prepare: Callable[[sqlite3.Connection], None], patience_ms: Callable[[], int]
    ) -> None:
        self._file = file
        self._prepare = prepare
        self._patience_ms = patience_ms
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def moment(self) -> AsyncIterator["SqliteReader"]:
        """A read transaction, one at a time: it is over in microseconds, and must not wait for anything else."""
        async with self._turn:
            if self._connection is None:
                self._connection = await asyncio.to_thread(
                    open_connection, self._file, self._prepare, self._patience_ms()
                )
            connection = self._connection
            await patiently(lambda: connection.execute("BEGIN"), "BEGIN", self._patience_ms())
            try:
                yield self
            finally:
                if connection.in_transaction:  # a full disk or a failing one has ended it already
                    connection.execute("ROLLBACK")

    async def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of a statement that is made once, for parameters by name; a list of keys goes as `expanding`."""
        connection, query = self._connection, _text(statement)
        assert connection is not None
        values: dict[str, Any] = {}
        for name, value in parameters.items():
            if isinstance(value, list):
                each = {f"{name}_{place}": key for place, key in enumerate(value)}
                query = query.replace(f"__[POSTCOMPILE_{name}]", ", ".join(f":{key}" for key in each))
                values |= each
            else:
                values[name] = value
        found: Sequence[Sequence[Any]] = await patiently(
            lambda: connection.execute(query, values).fetchall(), query, self._patience_ms()
        )
        return found

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@cache  # for statements that are made once
def _text(statement: Statement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
