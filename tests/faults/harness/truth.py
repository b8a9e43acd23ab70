"""Reads what was committed, with the drivers alone: the product's own reading code has no say in it."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from tests.faults.harness.history import Committed, JobTruth, SessionTruth, Truth

_SESSIONS = "SELECT id, epoch, head, trimmed FROM session"
_EVENTS = "SELECT session_id, seq, job_id, type, data FROM event ORDER BY session_id, seq"
_JOBS = """SELECT job.id, job.session_id, job.status, job.run, menu_item.name
           FROM job JOIN menu_item ON menu_item.job_id = job.id AND menu_item.position = 0"""
_HEADS = "SELECT id, head FROM session"
_UNFINISHED = "SELECT count(*) FROM job WHERE status IN ('queued', 'running')"
READ_SECONDS = 30.0
PEEK_SECONDS = 1.0
PAUSE_SECONDS = 0.1


class Ledger:
    """The database of a world, read from outside."""

    def __init__(self, database_url: str) -> None:
        _, _, rest = database_url.partition("://")
        self._sqlite = Path(rest[1:]) if database_url.startswith("sqlite") else None
        self._dsn = f"postgresql://{rest}"

    async def read(self) -> Truth:
        """All sessions with their logs, and all jobs, of one moment."""
        sessions, events, jobs = await self._query([_SESSIONS, _EVENTS, _JOBS], READ_SECONDS)
        found = {row[0]: SessionTruth(row[1], row[2], row[3]) for row in sessions}
        for session_id, seq, job_id, kind, data in events:
            found[session_id].events.append(Committed(seq, job_id, kind, bytes(data)))
        return Truth(found, {row[0]: JobTruth(*row) for row in jobs})

    async def heads(self) -> dict[str, int] | None:
        """The head of every session now; None while the database can't be read."""
        rows = await self._peek(_HEADS)
        return dict(rows) if rows is not None else None

    async def wait_for_heads(self) -> dict[str, int]:
        """The head of every session, as soon as the database can be read. Raises AssertionError after 30 s."""
        deadline = time.monotonic() + READ_SECONDS
        while (heads := await self.heads()) is None:
            assert time.monotonic() < deadline, f"the database can't be read for {READ_SECONDS:g} s"
            await asyncio.sleep(PAUSE_SECONDS)
        return heads

    async def unfinished(self) -> int | None:
        """How many jobs have not ended; None while the database can't be read."""
        rows = await self._peek(_UNFINISHED)
        return rows[0][0] if rows is not None else None

    async def _peek(self, statement: str) -> list[tuple[Any, ...]] | None:
        try:
            return (await self._query([statement], PEEK_SECONDS))[0]
        except (OSError, TimeoutError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None

    async def _query(self, statements: Sequence[str], seconds: float) -> list[list[tuple[Any, ...]]]:
        async with asyncio.timeout(seconds):
            if self._sqlite is not None:
                return await asyncio.to_thread(self._query_sqlite, statements, seconds)
            connection = await asyncpg.connect(self._dsn, timeout=seconds)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return [[tuple(row) for row in await connection.fetch(statement)] for statement in statements]
            finally:
                connection.terminate()

    def _query_sqlite(self, statements: Sequence[str], seconds: float) -> list[list[tuple[Any, ...]]]:
        uri = f"file:{self._sqlite}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            return [connection.execute(statement).fetchall() for statement in statements]
