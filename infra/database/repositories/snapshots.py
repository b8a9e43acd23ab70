"""Whole pictures of a job or a session, each read in one transaction together with the head that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Table, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.clock import rfc3339
from infra.database.batches import Batched
from infra.database.engine import Database
from infra.database.log import LogPosition
from infra.database.models import JOB, MENU_ITEM, PROMPT, SESSION, STAGE
from infra.database.status import JOB_ACTIVE, JOB_TERMINAL

# A session's snapshot and listing show this many jobs, the newest; `truncated` says when there are more.
MOST_JOBS = 100
# And its snapshot at most about this many rows in all, a few megabytes, since every row comes with its eight results.
MOST_ROWS = 2000

ROW_TABLES: dict[str, Table] = {"menu": MENU_ITEM, "prompt": PROMPT}
_HIDDEN = frozenset({"id", "session_id", "job_id", "deleted_at"})


@dataclass(frozen=True, slots=True)
class JobPlace:
    """Where a job stands in its session's log; `ended` is its status once it is terminal."""

    session_id: str
    first_seq: int
    last_seq: int
    ended: str | None
    log: LogPosition


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A JSON-ready picture, true at the session's sequence number `seq`."""

    body: dict[str, Any]
    seq: int
    ended: str | None = None


class Snapshots:
    """Reads jobs and sessions as the HTTP API and the streams show them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places = Batched(self._read_places)

    async def place(self, job_id: str) -> JobPlace | None:
        """Where the job stands, or None when there is no such job; asked for many jobs at once, it is one query."""
        return await self._places.get(job_id)

    async def _read_places(self, job_ids: Sequence[str]) -> dict[str, JobPlace]:
        async with self._database.glance() as reading:
            rows = await reading.rows(_PLACES, {"jobs": list(job_ids)})
        return {
            job_id: JobPlace(
                session_id, first_seq, last_seq, status if status in JOB_TERMINAL else None, LogPosition(*log)
            )
            for job_id, session_id, first_seq, last_seq, status, *log in rows
        }

    async def job(self, job_id: str) -> Snapshot | None:
        """The job with its stages and rows; `head` is the id of its last event."""
        async with self._database.snapshot() as connection:
            job = (await connection.execute(jobs_with_session().where(JOB.c.id == job_id))).one_or_none()
            if job is None:
                return None
            body = (await job_bodies(connection, [job]))[0]
        return Snapshot(body, job.head, job.status if job.status in JOB_TERMINAL else None)

    async def session(self, session_id: str) -> Snapshot | None:
        """The session with whole jobs, oldest first: active ones and the newest others, 100 and 2,000 rows at most."""
        async with self._database.snapshot() as connection:
            found = await connection.execute(select(SESSION).where(SESSION.c.id == session_id))
            owner = found.one_or_none()
            if owner is None:
                return None
            jobs = await _within(connection, await _newest(connection, session_id), MOST_ROWS)
            bodies = await job_bodies(connection, jobs)
            count = await connection.scalar(select(func.count()).where(JOB.c.session_id == session_id))
        body = {
            "session_id": owner.id,
            "epoch": owner.epoch,
            "head": f"{owner.epoch}.{owner.head}",
            "jobs": bodies,
            "truncated": (count or 0) > len(bodies),
        }
        return Snapshot(body, owner.head)

    async def listing(self, session_id: str) -> dict[str, Any] | None:
        """The session with a line for each of its newest jobs."""
        async with self._database.snapshot() as connection:
            found = await connection.execute(select(SESSION).where(SESSION.c.id == session_id))
            owner = found.one_or_none()
            if owner is None:
                return None
            jobs = await _newest(connection, session_id)
            stages = await _stages(connection, [job.id for job in jobs])
            count = await connection.scalar(select(func.count()).where(JOB.c.session_id == session_id))
        lines = []
        for job in jobs:
            line = _job_head(job)
            line["stages"] = {stage.name: stage.status for stage in stages[job.id]}
            lines.append(line)
        return {
            "session_id": owner.id,
            "epoch": owner.epoch,
            "head": f"{owner.epoch}.{owner.head}",
            "created_at": rfc3339(owner.created_at),
            "jobs": lines,
            "truncated": (count or 0) > len(lines),
        }


_PLACES = (
    select(
        JOB.c.id,
        JOB.c.session_id,
        JOB.c.first_seq,
        JOB.c.last_seq,
        JOB.c.status,
        SESSION.c.epoch,
        SESSION.c.head,
        SESSION.c.trimmed,
    )
    .join(SESSION, SESSION.c.id == JOB.c.session_id)
    .where(JOB.c.id.in_(bindparam("jobs", expanding=True)))
)


def jobs_with_session() -> Any:
    """The query of job rows with their session's epoch and head, as `job_bodies` wants them."""
    return select(JOB, SESSION.c.epoch, SESSION.c.head).join(SESSION, SESSION.c.id == JOB.c.session_id)


async def _newest(connection: AsyncConnection, session_id: str) -> list[Row[Any]]:
    # Ids first: sorting whole rows by "active or not" took 14 ms for a session of 10,000 jobs, this takes 2 (SQLite).
    ids = select(JOB.c.id).where(JOB.c.session_id == session_id)
    ids = ids.order_by(JOB.c.created_at.desc(), JOB.c.id.desc()).limit(MOST_JOBS)
    active = await connection.scalars(ids.where(JOB.c.status.in_(JOB_ACTIVE)))
    newest = await connection.scalars(ids)
    shown = list(dict.fromkeys([*active, *newest]))[:MOST_JOBS]
    found = await connection.execute(jobs_with_session().where(JOB.c.id.in_(shown)))
    return sorted(found, key=lambda job: (job.created_at, job.id))


async def _within(connection: AsyncConnection, jobs: list[Row[Any]], most_rows: int) -> list[Row[Any]]:
    """The newest of the jobs that together have no more rows than that, but at least one job."""
    sizes = select(STAGE.c.job_id, STAGE.c.total).where(
        STAGE.c.job_id.in_([job.id for job in jobs]), STAGE.c.position == 0
    )
    totals = {row.job_id: row.total for row in await connection.execute(sizes)}
    kept: list[Row[Any]] = []
    for job in reversed(jobs):
        most_rows -= totals.get(job.id, 0)
        if kept and most_rows < 0:
            break
        kept.append(job)
    return kept[::-1]


async def _stages(connection: AsyncConnection, job_ids: list[str]) -> dict[str, list[Row[Any]]]:
    stages: dict[str, list[Row[Any]]] = {job_id: [] for job_id in job_ids}
    statement = select(STAGE).where(STAGE.c.job_id.in_(job_ids)).order_by(STAGE.c.job_id, STAGE.c.position)
    for stage in await connection.execute(statement):
        stages[stage.job_id].append(stage)
    return stages


async def job_bodies(connection: AsyncConnection, jobs: list[Row[Any]]) -> list[dict[str, Any]]:
    """The whole pictures of these jobs, in the same order, with three more queries however many there are."""
    stages = await _stages(connection, [job.id for job in jobs])
    rows: dict[str, list[dict[str, Any]]] = {job.id: [] for job in jobs}
    for kind, table in ROW_TABLES.items():
        of_kind = [job.id for job in jobs if job.kind == kind]
        if of_kind:
            found = await connection.execute(
                select(table).where(table.c.job_id.in_(of_kind)).order_by(table.c.job_id, table.c.position)
            )
            for row in found:
                rows[row.job_id].append(row_body(row._mapping))
    return [
        {
            **_job_head(job),
            "stages": {stage.name: stage_body(stage) for stage in stages[job.id]},
            "rows": rows[job.id],
            "epoch": job.epoch,
            "head": f"{job.epoch}.{job.last_seq}",
        }
        for job in jobs
    ]


def _job_head(job: Row[Any]) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "session_id": job.session_id,
        "kind": job.kind,
        "status": job.status,
        "run": job.run,
        "title": job.title,
        "source_language": job.source_language,
        "target_language": job.target_language,
        "created_at": rfc3339(job.created_at),
        "started_at": None if job.started_at is None else rfc3339(job.started_at),
        "finished_at": None if job.finished_at is None else rfc3339(job.finished_at),
    }


def stage_body(stage: Row[Any]) -> dict[str, Any]:
    """A stage as the snapshot shows it."""
    return {
        "status": stage.status,
        "attempt": stage.attempt,
        "done": stage.done,
        "total": stage.total,
        "error": stage.error,
    }


def row_body(row: Any) -> dict[str, Any]:
    """A menu item or prompt as the snapshot shows it."""
    body = {"item_id": row["id"]}
    for name, value in row.items():
        if name not in _HIDDEN:
            body[name] = rfc3339(value) if name in ("created_at", "updated_at") else value
    return body
