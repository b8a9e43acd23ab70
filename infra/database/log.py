"""Reads the event log: where sessions stand, and pages of what follows a sequence number."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from infra.bus.base import Entry
from infra.database.engine import Database
from infra.database.models import Event, Session


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
        statement = select(Session.id, Session.epoch, Session.head, Session.trimmed).where(Session.id.in_(session_ids))
        async with self._database.read() as session:
            rows = await session.execute(statement)
            return {row.id: LogPosition(row.epoch, row.head, row.trimmed) for row in rows}

    async def page(self, session_id: str, after: int, limit: int, job_id: str | None = None) -> LogPage | None:
        """At most `limit` events with numbers above `after`, of one job or of the whole session.

        None when there is no such session. Position and events are of the same moment.
        """
        statement = (
            select(Event.seq, Event.job_id, Event.type, Event.data)
            .where(Event.session_id == session_id, Event.seq > after)
            .order_by(Event.seq)
            .limit(limit)
        )
        if job_id is not None:
            statement = statement.where(Event.job_id == job_id)
        async with self._database.snapshot() as session:
            found = await session.execute(
                select(Session.epoch, Session.head, Session.trimmed).where(Session.id == session_id)
            )
            row = found.one_or_none()
            if row is None:
                return None
            position = LogPosition(row.epoch, row.head, row.trimmed)
            events = tuple(
                (seq, Entry(job, kind, bytes(data))) for seq, job, kind, data in await session.execute(statement)
            )
        reached = events[-1][0] if len(events) == limit else max(after, position.head)
        return LogPage(events, reached, position)
