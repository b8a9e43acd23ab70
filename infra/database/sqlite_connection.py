"""SQLite connections for the event loop: nothing waits inside of them, and their errors are SQLAlchemy's."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import exc as errors

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
# Prepared statements that a connection keeps: one for each set of columns that stages fill at once.
STATEMENTS = 512


def open_connection(file: str, prepare: Callable[[sqlite3.Connection], None], patience_ms: int) -> sqlite3.Connection:
    """A connection without transactions of its own. May wait for the file, so call it in a thread."""
    with as_sqlalchemy("open"):
        connection = sqlite3.connect(
            file,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
            timeout=patience_ms / 1000,
        )
        try:
            prepare(connection)
            connection.execute("PRAGMA busy_timeout=0")  # from here on
        except BaseException:
            connection.close()
            raise
    return connection


async def patiently(run: Callable[[], Any], statement: str, patience_ms: int) -> Any:
    """What `run` returns; while somebody else has the file locked it is tried again, and the loop is free meanwhile."""
    clock = asyncio.get_running_loop().time
    until, pause = clock() + patience_ms / 1000, FIRST_PAUSE_SECONDS
    while True:
        try:
            with as_sqlalchemy(statement):
                return run()
        except errors.OperationalError as error:
            if not _is_busy(error) or clock() >= until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


_CLASSES: tuple[tuple[type[sqlite3.Error], type[errors.DBAPIError]], ...] = (
    (sqlite3.IntegrityError, errors.IntegrityError),
    (sqlite3.OperationalError, errors.OperationalError),
    (sqlite3.DataError, errors.DataError),
    (sqlite3.ProgrammingError, errors.ProgrammingError),
    (sqlite3.Error, errors.DatabaseError),
)


@contextmanager
def as_sqlalchemy(statement: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        made = next(made for kind, made in _CLASSES if isinstance(error, kind))
        raise made(statement, None, error, hide_parameters=True) from error


def _is_busy(error: errors.OperationalError) -> bool:
    code: Any = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
