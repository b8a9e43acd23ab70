"""The few statements that the group commit needs, said once: what a transaction of either dialect can be asked for."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import orjson
from sqlalchemy import JSON, Table

# One row, its values in the order of the columns that were named.
Values = Sequence[Any]


class Encoded(str):
    """JSON text that is encoded already: a JSON column stores it as it is, so that a value is encoded only once."""

    __slots__ = ()


class Begun(NamedTuple):
    """What a transaction knows at its start.

    `now` is the one clock that leases are compared by, unix milliseconds; `transaction_id` the name under which the
    server can be asked about the transaction later, None where nobody need ask.
    """

    now: int
    transaction_id: str | None = None


class Writer(Protocol):
    """One open write transaction, for rows in bulk. Errors are SQLAlchemy's, whatever drives the database.

    Values go in as the driver takes them; `for_driver` makes them so.
    """

    async def begin(self) -> Begun:
        """Look at the clock; the first thing to do in a transaction."""
        ...

    async def find(
        self, table: Table, columns: Sequence[str], by: Sequence[str], keys: Sequence[Values], lock: bool = False
    ) -> Sequence[Values]:
        """The rows whose columns `by` are one of the keys, in the order of the primary key; with `lock`, locked."""
        ...

    async def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """Add rows."""
        ...

    async def update(
        self, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Values], keep: bool = False
    ) -> int:
        """Set columns of one row for each given one, whose values are the keys and then the columns.

        With `keep`, None leaves the column as it is. Returns how many rows were there.
        """
        ...

    async def set_where(self, table: Table, column: str, value: str, now: int, by: str, keys: Sequence[str]) -> None:
        """Set a column, and `updated_at`, in all rows whose column `by` is one of the keys: any number of rows.

        The value is an expression in the SQL of both dialects.
        """
        ...


def for_driver(table: Table, columns: Sequence[str], rows: Sequence[Values]) -> Sequence[Values]:
    """The rows with their JSON columns as text; those without any are returned as they are."""
    places = [place for place, name in enumerate(columns) if isinstance(table.c[name].type, JSON)]
    if not places:
        return rows
    return [_with_json(row, places) for row in rows]


def _with_json(row: Values, places: Sequence[int]) -> Values:
    values = list(row)
    for place in places:
        value = values[place]
        if value is not None:
            # A plain string: sqlite3 asks around for adapters of every other class.
            values[place] = str(value) if type(value) is Encoded else orjson.dumps(value).decode()
    return values
