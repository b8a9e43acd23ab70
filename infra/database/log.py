"""Reads the event log: where sessions stand, and pages of what follows a sequence number."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from infra.bus.base import Entry
from infra.database.engine import Database
from infra.database.models import EVENT, SESSION


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a session's log stands: numbers trimmed+1..head are there."""

    epoch: str
    head: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events after a cursor, ascending, with their numbers.

    `reached` is the number up to which the page knows the log: every event of the wanted kind up to there is in it.
    """

    events: tuple[tuple[int, Entry], ...]
    reached: int
    position: LogPosition


class EventLog:
    """The log of all sessions, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, session_id: str) -> LogPosition | None:
        """Where the session's log stands, or None when there is no such session."""
        return (await self.positions([session_id])).get(session_id)

    async def positions(self, session_ids: Sequence[str]) -> dict[str, LogPosition]:
        """Where the logs of these sessions stand, in one query."""
        statement = select(SESSION.c.id, SESSION.c.epoch, SESSION.c.head, SESSION.c.trimmed).where(
            SESSION.c.id.in_(session_ids)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            return {row.id: LogPosition(row.epoch, row.head, row.trimmed) for row in rows}

    async def page(self, session_id: str, after: int, limit: int, job_id: str | None = None) -> LogPage | None:
        """At most `limit` events with numbers above `after`, of one job or of the whole session.

        None when there is no such session. Position and events are of the same moment.
        """
        statement = (
            select(EVENT.c.seq, EVENT.c.job_id, EVENT.c.type, EVENT.c.data)
            .where(EVENT.c.session_id == session_id, EVENT.c.seq > after)
            .order_by(EVENT.c.seq)
            .limit(limit)
        )
        if job_id is not None:
            statement = statement.where(EVENT.c.job_id == job_id)
        async with self._database.snapshot() as connection:
            found = await connection.execute(
                select(SESSION.c.epoch, SESSION.c.head, SESSION.c.trimmed).where(SESSION.c.id == session_id)
            )
            row = found.one_or_none()
            if row is None:
                return None
            position = LogPosition(row.epoch, row.head, row.trimmed)
            events = tuple(
                (seq, Entry(job, kind, bytes(data))) for seq, job, kind, data in await connection.execute(statement)
            )
        reached = events[-1][0] if len(events) == limit else max(after, position.head)
        return LogPage(events, reached, position)
