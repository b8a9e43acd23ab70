"""What the databases themselves refuse, whatever a program asks of them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from infra.database.engine import Database
from infra.database.models import Base
from infra.settings import DatabaseSettings

TABLES = Base.metadata.tables
AT = 1_700_000_000_000
SESSION = {"id": "s", "epoch": "abcdefgh", "head": 3, "trimmed": 0, "created_at": AT}
JOB = {
    "id": "j",
    "session_id": "s",
    "kind": "menu",
    "status": "running",
    "run": 1,
    "remaining": 8,
    "target_language": "en",
    "first_seq": 1,
    "last_seq": 1,
    "created_at": AT,
}
STAGE = {
    "job_id": "j",
    "name": "price",
    "position": 0,
    "status": "queued",
    "attempt": 0,
    "attempt_limit": 3,
    "done": 0,
    "total": 2,
    "updated_at": AT,
}
ITEM = {
    "id": "i",
    "session_id": "s",
    "job_id": "j",
    "position": 0,
    "name": "親子丼",
    "processing_status": "pending",
    "created_at": AT,
    "updated_at": AT,
}
PROMPT = {**ITEM, "id": "p", "title": "t", "content": "c", "version": 1, "test_cases": []}
del PROMPT["name"]
EVALUATION = {
    "id": "e",
    "prompt_id": "p",
    "provider": "builtin",
    "status": "completed",
    "overall_score": 0.5,
    "created_at": AT,
}
RESULT = {"evaluation_id": "e", "position": 0, "name": "n", "score": 1.0, "passed": True, "assertions": []}
ROWS: dict[str, dict[str, Any]] = {
    "session": SESSION,
    "job": JOB,
    "stage": STAGE,
    "menu_item": ITEM,
    "prompt": PROMPT,
    "evaluation": EVALUATION,
    "test_result": RESULT,
}


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    """One row in each table."""
    database = Database(database_settings)
    async with database.write() as connection:
        for table, row in ROWS.items():
            await connection.execute(insert(TABLES[table]).values(row))
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("session", {"trimmed": 4}),
        ("session", {"head": -1}),
        ("job", {"status": "paused"}),
        ("job", {"kind": "song"}),
        ("job", {"remaining": -1}),
        ("stage", {"status": "stuck"}),
        ("stage", {"done": 3}),
        ("stage", {"lease_token": "token"}),
        ("menu_item", {"processing_status": "great"}),
        ("prompt", {"processing_status": "great"}),
        ("prompt", {"version": 0}),
        ("evaluation", {"overall_score": 1.1}),
        ("evaluation", {"status": "maybe"}),
        ("test_result", {"score": -0.1}),
    ],
)
async def test_a_row_that_makes_no_sense_is_refused(database: Database, table: str, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)check"):
        async with database.write() as connection:
            await connection.execute(update(TABLES[table]).values(change))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("menu_item", {**ITEM, "id": "i2", "position": 1, "job_id": "nobody"}),
        ("stage", {**STAGE, "job_id": "nobody"}),
        ("job", {**JOB, "id": "j2", "session_id": "nobody"}),
        ("event", {"session_id": "nobody", "seq": 1, "job_id": "j", "type": "job.accepted", "data": b"{}"}),
    ],
)
async def test_a_row_without_its_parent_is_refused(database: Database, table: str, row: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        async with database.write() as connection:
            await connection.execute(insert(TABLES[table]).values(row))
