"""Group commits on PostgreSQL: one statement, and so one round trip, for all rows of a table, as arrays of columns.

asyncpg's executemany does not count rows. The texts are made once and go past SQLAlchemy's compiler.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, LargeBinary, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.writer import Begun, Values, for_driver

_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_BEGIN = f"SELECT {_CLOCK}, pg_current_xact_id()::text"
# The server's own limit ends a session that is silent between two statements; this one, which only PostgreSQL 17 and
# later have, also one whose client froze while it was sending a statement. For this transaction only: others, as the
# proof of a whole database, may take their time.
_BEGIN_WITH_LIMIT = f"{_BEGIN}, set_config('transaction_timeout', '60s', true)"
_LIMIT_SINCE = (17,)


class PostgresWriter:
    """The statements of a transaction that is open on a connection of SQLAlchemy's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self) -> Begun:
        version = self._connection.dialect.server_version_info or ()
        begun = await self._connection.exec_driver_sql(_BEGIN_WITH_LIMIT if version >= _LIMIT_SINCE else _BEGIN)
        row: Any = begun.one()
        return Begun(row[0], row[1])

    async def find(
        self, table: Table, columns: Sequence[str], by: Sequence[str], keys: Sequence[Values], lock: bool = False
    ) -> Sequence[Values]:
        statement = _find(table, tuple(columns), tuple(by), lock)
        return (await self._connection.exec_driver_sql(statement, _turned(keys))).all()

    async def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        await self._run(_insert(table, tuple(columns)), for_driver(table, columns, rows))

    async def update(
        self, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Values], keep: bool = False
    ) -> int:
        statement = _update(table, tuple(keys), tuple(columns), keep)
        return await self._run(statement, for_driver(table, [*keys, *columns], rows))

    async def set_where(self, table: Table, column: str, value: str, now: int, by: str, keys: Sequence[str]) -> None:
        statement = f"UPDATE {table.name} SET {column} = {value}, updated_at = $1 WHERE {by} = ANY($2::text[])"
        await self._connection.exec_driver_sql(statement, (now, list(keys)))

    async def _run(self, statement: str, rows: Sequence[Values]) -> int:
        return (await self._connection.exec_driver_sql(statement, _turned(rows))).rowcount


def _turned(rows: Sequence[Values]) -> tuple[list[object], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


@cache
def _find(table: Table, columns: tuple[str, ...], by: tuple[str, ...], lock: bool) -> str:
    order = ", ".join(column.name for column in table.primary_key)
    arrays = ", ".join(f"${number}::text[]" for number in range(1, len(by) + 1))
    among = f"{by[0]} = ANY({arrays})" if len(by) == 1 else f"({', '.join(by)}) IN (SELECT * FROM unnest({arrays}))"
    # A stronger lock would wait for the foreign keys of rows that others insert, and deadlock.
    locking = " FOR NO KEY UPDATE" if lock else ""
    return f"SELECT {', '.join(columns)} FROM {table.name} WHERE {among} ORDER BY {order}{locking}"


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    values = ", ".join(_value(table.c[name]) for name in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {values} FROM {_arrays(table, columns)}"


@cache
def _update(table: Table, keys: tuple[str, ...], columns: tuple[str, ...], keep: bool) -> str:
    value = "coalesce({new}, old.{name})" if keep else "{new}"
    assignments = (f"{name} = {value.format(new=_value(table.c[name]), name=name)}" for name in columns)
    where = (f"old.{name} = new.{name}" for name in keys)
    return (
        f"UPDATE {table.name} AS old SET {', '.join(assignments)} FROM {_arrays(table, (*keys, *columns))} "
        f"WHERE {' AND '.join(where)}"
    )


def _arrays(table: Table, columns: Sequence[str]) -> str:
    arrays = (f"${number}::{_array_type(table.c[name])}[]" for number, name in enumerate(columns, 1))
    return f"unnest({', '.join(arrays)}) AS new({', '.join(columns)})"


def _value(column: Column[object]) -> str:
    return f"new.{column.name}::jsonb" if isinstance(column.type, JSON) else f"new.{column.name}"


def _array_type(column: Column[object]) -> str:
    for kind, name in _TYPES:
        if isinstance(column.type, kind):
            return name
    return "text"


_TYPES = ((BigInteger, "bigint"), (Integer, "integer"), (Float, "float8"), (Boolean, "boolean"), (LargeBinary, "bytea"))
