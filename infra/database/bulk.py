"""Many row updates in one statement per set of columns, with the number of rows that were really there."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Table, Update, bindparam, case, literal, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.draft import RowStep, RowUpdate
from infra.database.engine import Encoded
from infra.database.models import Base
from infra.database.status import RowStatus
from infra.errors import RowNotFound


async def update_rows(connection: AsyncConnection, updates: Sequence[RowUpdate]) -> None:
    """Apply the updates. Raises RowNotFound when any of the rows does not exist; the caller rolls back."""
    groups: dict[tuple[str, tuple[str, ...]], list[RowUpdate]] = defaultdict(list)
    for row in updates:
        groups[row.table, tuple(row.columns)].append(row)
    for (table, columns), rows in groups.items():
        if connection.dialect.name == "sqlite":
            found = await _update_many(connection, Base.metadata.tables[table], columns, rows)
        else:
            found = await _update_from_json(connection, Base.metadata.tables[table], columns, rows)
        if found != len(rows):
            raise RowNotFound


async def _update_many(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], rows: Sequence[RowUpdate]
) -> int:
    statement = _update_statement(table, columns)
    parameters = [
        {"key": row.row_id, "owner": row.session_id, **{f"new_{name}": row.columns[name] for name in columns}}
        for row in rows
    ]
    return (await connection.execute(statement, parameters)).rowcount


@cache  # one for each stage: a constant number
def _update_statement(table: Table, columns: tuple[str, ...]) -> Update:
    statement = update(table).where(table.c.id == bindparam("key"), table.c.session_id == bindparam("owner"))
    return statement.values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns})


async def _update_from_json(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], rows: Sequence[RowUpdate]
) -> int:
    """asyncpg's executemany does not count rows, and one statement is one round trip: all rows travel as one JSON."""
    dialect = connection.dialect
    types = {name: table.c[name].type.compile(dialect=dialect) for name in columns}
    record = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    assignments = ", ".join(f'"{name}" = new."{name}"' for name in columns)
    statement = text(
        f'UPDATE "{table.name}" AS target SET {assignments} '
        f"FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new(key text, owner text, {record}) "
        "WHERE target.id = new.key AND target.session_id = new.owner"
    )
    payload = [
        {"key": row.row_id, "owner": row.session_id, **{name: _fragment(row.columns[name]) for name in columns}}
        for row in rows
    ]
    result = await connection.execute(statement, {"rows": orjson.dumps(payload).decode()})
    return result.rowcount


def _fragment(value: Any) -> Any:
    return orjson.Fragment(str(value)) if type(value) is Encoded else value  # Fragment refuses subclasses of str


async def step_rows(connection: AsyncConnection, steps: Sequence[RowStep], now: int) -> None:
    """Set processing_status of whole jobs: to processing where a run began, to what the columns say where one ended."""
    for (table_name, columns), jobs in _grouped(steps).items():
        table = Base.metadata.tables[table_name]
        status: Any = literal(RowStatus.PROCESSING.value)
        if columns:
            filled = sum((case((table.c[name].is_(None), 0), else_=1) for name in columns), literal(0))
            status = case(
                (filled == len(columns), RowStatus.COMPLETED.value),
                (filled == 0, RowStatus.FAILED.value),
                else_=RowStatus.PARTIAL.value,
            )
        statement = update(table).where(table.c.job_id.in_(jobs)).values(processing_status=status, updated_at=now)
        await connection.execute(statement)


def _grouped(steps: Sequence[RowStep]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    latest = {(step.table, step.job_id): step.columns for step in steps}  # a job that ended and began again: it began
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (table, job_id), columns in latest.items():
        groups[table, columns].append(job_id)
    return groups
