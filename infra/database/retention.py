"""Trims logs from their beginning: of sessions whose jobs have all ended long ago, and of those that are too long.

Rows and snapshots stay. A reader whose position is gone is reset to a snapshot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from sqlalchemy import Row, Select, delete, exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.engine import Database, unavailable_as_error
from infra.database.models import EVENT, JOB, SESSION
from infra.errors import DatabaseUnavailable
from infra.settings import LogSettings

# Looking for old logs asks for the jobs of every session; looking for long ones reads only the sessions, and soon has
# to, since a busy log grows by thousands of events a second.
OLD_EVERY_SECONDS = 60.0
LONG_EVERY_SECONDS = 2.0
# Either look may take 1 % of the time at most. With 200,000 sessions the first takes about 0.1 s on both databases, the
# second 16 ms on SQLite and 33 ms on PostgreSQL; an index over the length would make every commit write it.
SHARE_OF_TIME = 100
# A look may take long for a reason that is soon over; a log that grows must not be forgotten for that.
MOST_PAUSE_SECONDS = 60.0
SESSIONS_AT_ONCE = 100
EVENTS_AT_ONCE = 20_000
PAUSE_SECONDS = 0.1

_ONLY_ONE = text("SELECT pg_try_advisory_xact_lock(7340195)")

log = structlog.stdlib.get_logger(__name__)


class Retention:
    """Removes events older than the retention after the end of a session's last job, and all above the cap."""

    def __init__(self, database: Database, settings: LogSettings) -> None:
        self._database = database
        self._retention_ms = settings.retention_seconds * 1000
        self._most_events = settings.max_events_per_session
        self._looks_for_old = Looks(OLD_EVERY_SECONDS)
        self._looks_for_long = Looks(LONG_EVERY_SECONDS)

    async def run(self) -> None:
        """Trim for ever; run it supervised."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_keep(self.trim_old, self._looks_for_old), name="retention of old logs")
            loops.create_task(_keep(self.trim_long, self._looks_for_long), name="retention of long logs")

    async def trim_old(self) -> int:
        """Trim sessions that are due, at most 100 and 20,000 events in one transaction; returns how many sessions.

        A longer log is trimmed from its beginning, the rest in the next transaction.
        """
        async with self._database.read() as connection:
            # Asked first and not inside the query: a clock there keeps PostgreSQL from joining sessions and jobs.
            now: int = (await connection.execute(select(self._database.now()))).scalar_one()
            due = self._old(now - self._retention_ms)
            with self._looks_for_old.measured():
                ids = [row.id for row in await connection.execute(due.limit(SESSIONS_AT_ONCE))]
        if not ids:
            return 0
        with unavailable_as_error():
            async with self._database.write() as connection:
                if not await self._alone(connection):
                    return 0
                lock = select(SESSION.c.id).where(SESSION.c.id.in_(ids)).order_by(SESSION.c.id)
                await connection.execute(lock.with_for_update(key_share=True))
                # Again, now that nobody else can append: a job may have come while we waited for its session.
                found = (await connection.execute(due.where(SESSION.c.id.in_(ids)))).all()
                trimmed = await _trim(connection, [(row, row.head) for row in found])
        log.info("log_trimmed", sessions=trimmed, reason="old")
        return trimmed

    async def trim_long(self) -> int:
        """Cut logs to their newest events, whether their jobs run or not, within the same bounds.

        The events go before the session is locked, so that a live session waits for one row's update and no more. That
        is safe: they are never written again, and the head that the cut is counted from only grows.
        """
        long = self._long().limit(SESSIONS_AT_ONCE)
        async with self._database.read() as connection:
            with self._looks_for_long.measured():
                found = (await connection.execute(long)).all()
            if not found:
                return 0
        with unavailable_as_error():
            async with self._database.write() as connection:
                if not await self._alone(connection):
                    return 0
                found = (await connection.execute(long)).all()
                trimmed = await _trim(connection, [(row, row.head - self._most_events) for row in found])
        log.info("log_trimmed", sessions=trimmed, reason="long")
        return trimmed

    async def _alone(self, connection: AsyncConnection) -> bool:
        # Two gateways that delete the same events could wait for each other.
        return self._database.is_sqlite or bool(await connection.scalar(_ONLY_ONE))

    def _old(self, horizon: int) -> Select[tuple[str, int, int]]:
        fresh = exists().where(
            JOB.c.session_id == SESSION.c.id, (JOB.c.finished_at.is_(None)) | (JOB.c.finished_at > horizon)
        )
        return (
            select(SESSION.c.id, SESSION.c.head, SESSION.c.trimmed)
            .where(SESSION.c.trimmed < SESSION.c.head, SESSION.c.created_at <= horizon, ~fresh)
            .order_by(SESSION.c.id)
        )

    def _long(self) -> Select[tuple[str, int, int]]:
        return (
            select(SESSION.c.id, SESSION.c.head, SESSION.c.trimmed)
            .where(SESSION.c.head - SESSION.c.trimmed > self._most_events)
            .order_by(SESSION.c.id)
        )


async def _trim(connection: AsyncConnection, wanted: Sequence[tuple[Row[tuple[str, int, int]], int]]) -> int:
    """Remove each session's events up to a number, as far as one transaction may go; returns how many sessions."""
    left, cuts = EVENTS_AT_ONCE, []
    for session, number in wanted:
        if left <= 0:
            break
        upto = min(number, session.trimmed + left)
        left -= upto - session.trimmed
        await connection.execute(delete(EVENT).where(EVENT.c.session_id == session.id, EVENT.c.seq <= upto))
        cuts.append((session.id, upto))
    for session_id, upto in cuts:  # in the order of their ids, as everybody locks sessions
        await connection.execute(update(SESSION).where(SESSION.c.id == session_id).values(trimmed=upto))
    return len(cuts)


class Looks:
    """How long one kind of query takes, and so how often it may be asked."""

    def __init__(self, every_seconds: float) -> None:
        self.every_seconds = every_seconds
        self.took_seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the query alone: waiting for a connection costs the database nothing."""
        began = time.monotonic()
        yield
        self.took_seconds = time.monotonic() - began

    def pause_seconds(self) -> float:
        """How long to wait after the last one."""
        return max(self.every_seconds, min(self.took_seconds * SHARE_OF_TIME, MOST_PAUSE_SECONDS))


async def _keep(trim: Callable[[], Awaitable[int]], looks: Looks) -> None:
    while True:
        try:
            # A backlog is worked off in short transactions, so that the committer is never kept waiting for long.
            pause = PAUSE_SECONDS if await trim() else looks.pause_seconds()
        except DatabaseUnavailable:
            log.warning("retention_postponed", reason="database unavailable")
            pause = looks.every_seconds
        await asyncio.sleep(pause)
