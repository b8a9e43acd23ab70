"""Trims the log of sessions whose jobs have all ended long ago; rows and snapshots stay."""

import asyncio

import structlog
from sqlalchemy import Select, delete, exists, select, update

from infra.clock import now_ms
from infra.database.engine import Database, unavailable_as_error
from infra.database.models import EVENT, JOB, SESSION
from infra.errors import DatabaseUnavailable

EVERY_SECONDS = 60.0
SESSIONS_AT_ONCE = 100
EVENTS_AT_ONCE = 20_000
PAUSE_SECONDS = 0.1

log = structlog.stdlib.get_logger(__name__)


class Retention:
    """Removes events older than the retention after the end of a session's last job."""

    def __init__(self, database: Database, retention_seconds: int) -> None:
        self._database = database
        self._retention_ms = retention_seconds * 1000

    async def run(self) -> None:
        """Trim once a minute, for ever; run it supervised."""
        while True:
            try:
                trimmed = await self.trim()
            except DatabaseUnavailable:
                log.warning("retention_postponed", reason="database unavailable")
                trimmed = 0
            # A backlog is worked off in short transactions, so that the committer is never kept waiting for long.
            await asyncio.sleep(PAUSE_SECONDS if trimmed else EVERY_SECONDS)

    async def trim(self) -> int:
        """Trim sessions that are due, at most 100 and 20,000 events in one transaction; returns how many sessions.

        A longer log is trimmed from its beginning, the rest in the next transaction.
        """
        due = self._due()
        async with self._database.read() as connection:
            ids = list(await connection.scalars(due.limit(SESSIONS_AT_ONCE)))
        if not ids:
            return 0
        trimmed = 0
        with unavailable_as_error():
            async with self._database.write() as connection:
                lock = select(SESSION.c.id).where(SESSION.c.id.in_(ids)).order_by(SESSION.c.id)
                await connection.execute(lock.with_for_update(key_share=True))
                # Again, now that nobody else can append: a job may have come while we waited for its session.
                left = EVENTS_AT_ONCE
                for session in await connection.execute(due.where(SESSION.c.id.in_(ids))):
                    if left <= 0:
                        break
                    upto = min(session.head, session.trimmed + left)
                    left -= upto - session.trimmed
                    trimmed += 1
                    await connection.execute(delete(EVENT).where(EVENT.c.session_id == session.id, EVENT.c.seq <= upto))
                    await connection.execute(update(SESSION).where(SESSION.c.id == session.id).values(trimmed=upto))
        log.info("log_trimmed", sessions=trimmed)
        return trimmed

    def _due(self) -> Select[tuple[str, int, int]]:
        horizon = now_ms() - self._retention_ms
        fresh = exists().where(
            JOB.c.session_id == SESSION.c.id, (JOB.c.finished_at.is_(None)) | (JOB.c.finished_at > horizon)
        )
        return (
            select(SESSION.c.id, SESSION.c.head, SESSION.c.trimmed)
            .where(SESSION.c.trimmed < SESSION.c.head, SESSION.c.created_at <= horizon, ~fresh)
            .order_by(SESSION.c.id)
        )
