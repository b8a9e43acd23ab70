"""The hot queries reach their rows through an index, however many other rows there are."""

from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.leases import Leases
from infra.database.log import EventLog
from infra.database.models import Base
from infra.database.repositories.inputs import JobInputs
from infra.database.repositories.snapshots import Snapshots
from infra.ids import new_id
from tests.database import Store

AT = 1_700_000_000_000
SESSIONS = 60
EVENTS = 40


async def fill(connection: AsyncConnection) -> tuple[str, str]:
    """Sixty sessions with a finished job, its rows and its log; returns one session and its job."""
    tables = Base.metadata.tables
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("session", "job", "stage", "menu_item", "event")}
    for _ in range(SESSIONS):
        session, job = new_id(), new_id()
        rows["session"].append({"id": session, "epoch": "abcdefgh", "head": EVENTS, "trimmed": 0, "created_at": AT})
        fixed = {"session_id": session, "created_at": AT, "updated_at": AT, "job_id": job}
        rows["job"].append(
            {
                "id": job,
                "session_id": session,
                "kind": "menu",
                "status": "completed",
                "run": 1,
                "remaining": 0,
                "target_language": "en",
                "first_seq": 1,
                "last_seq": EVENTS,
                "created_at": AT,
            }
        )
        for place in range(8):
            name = {"job_id": job, "name": f"stage{place}", "position": place, "status": "completed"}
            rows["stage"].append({**name, "attempt": 1, "attempt_limit": 3, "done": 5, "total": 5, "updated_at": AT})
        for place in range(5):
            rows["menu_item"].append(
                {**fixed, "id": new_id(), "position": place, "name": "n", "processing_status": "completed"}
            )
        for seq in range(1, EVENTS + 1):
            rows["event"].append({"session_id": session, "seq": seq, "job_id": job, "type": "t", "data": b"{}"})
    for name, some in rows.items():
        await connection.execute(insert(tables[name]), some)
    await connection.execute(text("ANALYZE"))
    return rows["session"][7]["id"], rows["job"][7]["id"]


class Statements:
    """The SELECTs that an engine executed, with their parameters."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.lstrip().startswith("SELECT"):
            self.seen.append((statement, parameters))


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("query", ["page", "page of a job", "positions", "place", "snapshot", "inputs", "claimable"])
async def test_a_hot_query_searches_and_does_not_scan(store: Store, query: str) -> None:
    async with store.database.write() as connection:
        session_id, job_id = await fill(connection)
    log, snapshots = EventLog(store.database), Snapshots(store.database)
    statements = Statements(store.database._reader.sync_engine)
    match query:
        case "page":
            await log.page(session_id, 10, 20)
        case "page of a job":
            await log.page(session_id, 10, 20, job_id)
        case "positions":
            await log.positions([session_id])
        case "place":
            await snapshots.place(job_id)
        case "snapshot":
            await snapshots.job(job_id)
        case "inputs":
            await JobInputs(store.database).of_job(job_id)
        case "claimable":
            await Leases(store.database).claimable(0, 100)

    assert statements.seen
    for statement, parameters in statements.seen:
        async with store.database.read() as connection:
            plan = [
                row.detail for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
        scans = [step for step in plan if step.startswith("SCAN")]
        assert scans == [], f"{statement}\n{plan}"
