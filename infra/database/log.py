"""Reads the event log: where sessions stand, and pages of what follows a sequence number."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import bindparam, func, select, text

from infra.bus.base import Entry
from infra.database.batches import Batched
from infra.database.engine import Database
from infra.database.models import EVENT, SESSION

MOST_PAGE_BYTES = 1_048_576
# More would keep the event loop for a millisecond.
MOST_AT_A_GLANCE = 200


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a session's log stands: numbers trimmed+1..head are there."""

    epoch: str
    head: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events after a cursor, ascending, with their numbers.

    `reached` is the number up to which the page knows the log: every event up to there is in it.
    """

    events: tuple[tuple[int, Entry], ...]
    reached: int
    position: LogPosition


class EventLog:
    """The log of all sessions, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._positions = Batched(self.positions)

    async def position(self, session_id: str) -> LogPosition | None:
        """Where the session's log stands, or None when there is none; asked for many at once, it is one query."""
        return await self._positions.get(session_id)

    async def positions(self, session_ids: Sequence[str]) -> dict[str, LogPosition]:
        """Where the logs of these sessions stand, in one query."""
        # The ids as one value: a statement with a thousand parameters costs twice as much (47 ms for 10,000 sessions).
        statement = _POSITIONS_SQLITE if self._database.is_sqlite else _POSITIONS_POSTGRES
        keys = {"ids": orjson.dumps(session_ids).decode()}
        if len(session_ids) <= MOST_AT_A_GLANCE:
            async with self._database.glance() as reading:
                rows = await reading.rows(statement, keys)
        else:
            async with self._database.read() as connection:
                rows = (await connection.execute(statement, keys)).all()
        return {name: LogPosition(epoch, head, trimmed) for name, epoch, head, trimmed in rows}

    async def page(self, session_id: str, after: int, limit: int) -> LogPage | None:
        """Events with numbers above `after`, or from the first that is kept: at most `limit`, and about a megabyte.

        None when there is no such session. Position and events are of the same moment.
        """
        async with self._database.glance() as reading:
            found = await reading.rows(_POSITION, {"session": session_id})
            if not found:
                return None
            position = LogPosition(*found[0])
            start = max(after, position.trimmed)
            upto = min(start + limit, position.head)
            if upto <= start:
                return LogPage((), max(after, position.trimmed), position)
            wanted = {"session": session_id, "start": start, "upto": upto, "most": MOST_PAGE_BYTES}
            page = await reading.rows(_PAGE, wanted)
        events = tuple((seq, Entry(job, kind, bytes(data))) for seq, job, kind, data in page)
        return LogPage(events, events[-1][0] if events else start, position)


# CROSS JOIN: the ids first, and then the index, whatever statistics say. An IN went through small tables.
_POSITIONS_SQLITE = text(
    "SELECT session.id, epoch, head, trimmed FROM json_each(:ids) CROSS JOIN session ON session.id = value"
)
_POSITIONS_POSTGRES = text(
    "SELECT id, epoch, head, trimmed FROM session WHERE id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))"
)
_POSITION = select(SESSION.c.epoch, SESSION.c.head, SESSION.c.trimmed).where(SESSION.c.id == bindparam("session"))
_RANGE = (
    EVENT.c.session_id == bindparam("session"),
    EVENT.c.seq > bindparam("start"),
    EVENT.c.seq <= bindparam("upto"),
)
# Sizes first: events may have a megabyte each, and 500 of them must never be in memory at once. The sum of what stands
# before an event decides, so that there is always one. It costs 0.3 ms more for a page of 500 small ones (SQLite).
_LENGTH = func.length(EVENT.c.data)
_BEFORE = (func.sum(_LENGTH).over(order_by=EVENT.c.seq, rows=(None, 0)) - _LENGTH).label("before")
_SIZES = select(EVENT.c.seq, _BEFORE).where(*_RANGE).subquery()
_LAST = select(func.max(_SIZES.c.seq)).where(_SIZES.c.before < bindparam("most")).scalar_subquery()
_PAGE = (
    select(EVENT.c.seq, EVENT.c.job_id, EVENT.c.type, EVENT.c.data)
    .where(*_RANGE, EVENT.c.seq <= _LAST)
    .order_by(EVENT.c.seq)
)
