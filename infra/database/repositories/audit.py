"""Reads everything for the verifier: sessions in pages, their whole log, and their jobs as the rows tell them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text

from infra.bus.base import Entry
from infra.database.engine import Database
from infra.database.log import LogPosition
from infra.database.models import EVENT, JOB, SESSION
from infra.database.repositories.snapshots import job_bodies, jobs_with_session

SESSIONS_PER_PAGE = 200
# It decodes a whole session between two statements, and has no locks that others would wait for.
_NO_HURRY = text("SET LOCAL idle_in_transaction_session_timeout = 0")


@dataclass(frozen=True, slots=True)
class AuditedJob:
    """A job's row and its picture (the body of its snapshot)."""

    first_seq: int
    last_seq: int
    remaining: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditedSession:
    """A session's whole log and all its jobs, of one moment."""

    session_id: str
    position: LogPosition
    events: list[tuple[int, Entry]]
    jobs: list[AuditedJob]


class Audit:
    """Walks through all sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sessions(self) -> AsyncIterator[AuditedSession]:
        """Every session, each read in one transaction of its own: a running server changes them in between."""
        after = ""
        while True:
            statement = select(SESSION.c.id).where(SESSION.c.id > after).order_by(SESSION.c.id).limit(SESSIONS_PER_PAGE)
            async with self._database.read() as connection:
                ids = list(await connection.scalars(statement))
            for session_id in ids:
                yield await self._session(session_id)
            if len(ids) < SESSIONS_PER_PAGE:
                return
            after = ids[-1]

    async def _session(self, session_id: str) -> AuditedSession:
        async with self._database.snapshot() as connection:
            if not self._database.is_sqlite:
                await connection.execute(_NO_HURRY)
            row = (await connection.execute(select(SESSION).where(SESSION.c.id == session_id))).one()
            events = await connection.execute(
                select(EVENT.c.seq, EVENT.c.job_id, EVENT.c.type, EVENT.c.data)
                .where(EVENT.c.session_id == session_id)
                .order_by(EVENT.c.seq)
            )
            log = [(seq, Entry(job_id, kind, bytes(data))) for seq, job_id, kind, data in events]
            jobs = (
                await connection.execute(jobs_with_session().where(JOB.c.session_id == session_id).order_by(JOB.c.id))
            ).all()
            bodies = await job_bodies(connection, list(jobs))
        return AuditedSession(
            session_id,
            LogPosition(row.epoch, row.head, row.trimmed),
            log,
            [
                AuditedJob(job.first_seq, job.last_seq, job.remaining, body)
                for job, body in zip(jobs, bodies, strict=True)
            ],
        )
