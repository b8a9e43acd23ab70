"""Trims the log of sessions whose jobs have all ended long ago; rows and snapshots stay."""

import asyncio

import structlog
from sqlalchemy import delete, exists, select, update

from infra.clock import now_ms
from infra.database.engine import Database, unavailable_as_error
from infra.database.models import EVENT, JOB, SESSION
from infra.errors import DatabaseUnavailable

EVERY_SECONDS = 60.0
SESSIONS_AT_ONCE = 100
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
            await asyncio.sleep(PAUSE_SECONDS if trimmed == SESSIONS_AT_ONCE else EVERY_SECONDS)

    async def trim(self) -> int:
        """Trim up to 100 sessions in one transaction; returns how many."""
        horizon = now_ms() - self._retention_ms
        fresh = exists().where(
            JOB.c.session_id == SESSION.c.id, (JOB.c.finished_at.is_(None)) | (JOB.c.finished_at > horizon)
        )
        due = select(SESSION.c.id).where(SESSION.c.trimmed < SESSION.c.head, SESSION.c.created_at <= horizon, ~fresh)
        with unavailable_as_error():
            async with self._database.write() as connection:
                locked = due.order_by(SESSION.c.id).limit(SESSIONS_AT_ONCE).with_for_update(key_share=True)
                ids = list(await connection.scalars(locked))
                if ids:
                    # Again, now that nobody else can append: a job may have come while we waited for its session.
                    ids = list(await connection.scalars(due.where(SESSION.c.id.in_(ids))))
                if ids:
                    await connection.execute(delete(EVENT).where(EVENT.c.session_id.in_(ids)))
                    await connection.execute(
                        update(SESSION).where(SESSION.c.id.in_(ids)).values(trimmed=SESSION.c.head)
                    )
        if ids:
            log.info("log_trimmed", sessions=len(ids))
        return len(ids)
