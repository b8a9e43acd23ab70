"""Reads what a stage's attempt starts from: the job with its rows, and a session's stored prompts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from infra.database.engine import Database
from infra.database.models import JOB, PROMPT
from infra.database.repositories.snapshots import ROW_TABLES

MOST_STORED_PROMPTS = 500


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job's kind, languages and rows, as read together."""

    kind: str
    source_language: str | None
    target_language: str
    rows: tuple[Mapping[str, Any], ...]


class JobInputs:
    """The inputs of jobs, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, job_id: str) -> JobInput | None:
        """The job with its rows in order, or None when there is no such job."""
        async with self._database.read() as connection:
            found = await connection.execute(
                select(JOB.c.kind, JOB.c.source_language, JOB.c.target_language).where(JOB.c.id == job_id)
            )
            job = found.one_or_none()
            if job is None:
                return None
            table = ROW_TABLES[job.kind]
            rows = await connection.execute(select(table).where(table.c.job_id == job_id).order_by(table.c.position))
            return JobInput(
                job.kind, job.source_language, job.target_language, tuple(dict(row._mapping) for row in rows)
            )

    async def stored_prompts(self, session_id: str, except_id: str) -> list[tuple[str, str, int, Any]]:
        """Id, title, version and embedding value of the newest prompts of this session that have one.

        Of this session only: what others wrote is none of its business.
        """
        statement = (
            select(PROMPT.c.id, PROMPT.c.title, PROMPT.c.version, PROMPT.c.embedding)
            .where(
                PROMPT.c.session_id == session_id,
                PROMPT.c.id != except_id,
                PROMPT.c.deleted_at.is_(None),
                PROMPT.c.embedding.is_not(None),
            )
            .order_by(PROMPT.c.created_at.desc())
            .limit(MOST_STORED_PROMPTS)
        )
        async with self._database.read() as connection:
            return [(row.id, row.title, row.version, row.embedding) for row in await connection.execute(statement)]
