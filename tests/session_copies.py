"""A session with very many jobs, in the database: copies of a job that the gateway ran, with ids of their own.

All rows and events are copied in SQL, so that they are what the committer wrote, ten thousand times within seconds.
"""

from typing import Any

from sqlalchemy import BigInteger, Table, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.engine import Database
from infra.database.models import EVENT, JOB, MENU_ITEM, STAGE

# An id is 26 characters; a copy has the beginning of the original, and its number behind it.
KEPT = 18


def copied_id(original: str, number: int) -> str:
    """The id of a copy of a row."""
    return f"{original[:KEPT]}{number:08}"


async def copy_job(database: Database, job_id: str, copies: int) -> None:
    """Add copies 1..`copies` of an ended menu job of one dish, the only one of its session, behind it in the log."""
    async with database.write() as connection:
        found = (await connection.execute(JOB.select().where(JOB.c.id == job_id))).one()
        item = (await connection.execute(MENU_ITEM.select().where(MENU_ITEM.c.job_id == job_id))).one()
        values = {"job": job_id, "item": item.id, "size": found.last_seq, "copies": copies}
        moved = {"first_seq": "first_seq + n * :size", "last_seq": "last_seq + n * :size"}
        await _copy(connection, JOB, "id", {"id": _new("id"), "created_at": "created_at + n", **moved}, values)
        await _copy(connection, STAGE, "job_id", {"job_id": _new("job_id")}, values)
        await _copy(connection, MENU_ITEM, "job_id", {"id": _new("id"), "job_id": _new("job_id")}, values)
        as_text, as_bytes = ("CAST(data AS TEXT)", "CAST({} AS BLOB)")
        if not database.is_sqlite:
            as_text, as_bytes = "convert_from(data, 'UTF8')", "convert_to({}, 'UTF8')"
        data = f"replace(replace({as_text}, :job, {_new(':job')}), :item, {_new(':item')})"
        event = {"job_id": _new("job_id"), "seq": "seq + n * :size", "data": as_bytes.format(data)}
        await _copy(connection, EVENT, "job_id", event, values)
        head = text("UPDATE session SET head = head * (1 + :copies) WHERE id = :session")
        await connection.execute(_typed(head, "copies"), {"session": found.session_id, "copies": copies})
    async with database.write() as connection:
        await connection.execute(text("ANALYZE"))


def _new(column: str) -> str:
    original = f"CAST({column} AS TEXT)"
    return f"substr({original}, 1, {KEPT}) || substr(CAST(100000000 + n AS TEXT), 2)"


async def _copy(
    connection: AsyncConnection, table: Table, job: str, replaced: dict[str, str], values: dict[str, Any]
) -> None:
    columns = [column.name for column in table.columns]
    statement = (
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies) "
        f"INSERT INTO {table.name} ({', '.join(columns)}) "
        f"SELECT {', '.join(replaced.get(column, column) for column in columns)} "
        f"FROM {table.name} CROSS JOIN numbers WHERE {job} = :job"
    )
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    await connection.execute(_typed(text(statement), *(used.keys() & {"size", "copies"})), used)


def _typed(statement: Any, *numbers: str) -> Any:
    return statement.bindparams(*(bindparam(name, type_=BigInteger) for name in numbers))
