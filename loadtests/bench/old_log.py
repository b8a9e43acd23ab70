"""A database with a long past: a million events of many sessions, every row as a gateway left it, with ids of its own.

A gateway runs one job for real; SQL copies what it left, thousands of times, with earlier ids, so that what comes now
stands behind the past in every index, as it would. The jobs ended an hour ago: within the retention.
"""

import sqlite3
from pathlib import Path

HOUR_MS = 3_600_000
# The columns that name something of the session; all others are copied as they are.
_OWN = {
    "session": {"id": "session"},
    "job": {"id": "job", "session_id": "session"},
    "stage": {"job_id": "job"},
    "menu_item": {"id": "item", "session_id": "session", "job_id": "job"},
    "event": {"session_id": "session", "job_id": "job"},
}
_TIMES = frozenset({"created_at", "started_at", "finished_at", "updated_at"})


def grow_past(database: Path, events: int) -> int:
    """Copy the only session of a SQLite file that nobody has open, until there are so many events; returns how many."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        (each,) = connection.execute("SELECT head FROM session").fetchone()
        copies = -(-events // each)
        connection.execute("BEGIN")
        connection.execute("CREATE TEMP TABLE copy AS " + _NUMBERS, {"copies": copies})
        for table, own in _OWN.items():
            connection.execute(f"CREATE TEMP TABLE past AS SELECT * FROM {table}")
            columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(_value(column, own) for column in columns)
            order = "copy.number, past.seq" if table == "event" else "copy.number, past.rowid"
            connection.execute(f"INSERT INTO {table} SELECT {values} FROM copy CROSS JOIN past ORDER BY {order}")
            connection.execute("DROP TABLE past")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (count,) = connection.execute("SELECT count(*) FROM event").fetchone()
        return int(count)
    finally:
        connection.close()


_NUMBERS = (
    "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :copies) "
    "SELECT number FROM numbers"
)


def _value(column: str, own: dict[str, str]) -> str:
    match own.get(column):
        case "item":  # several to a copy
            return "printf('%020d%06d', copy.number, past.position)"
        case str():
            return "printf('%026d', copy.number)"
        case _:
            return f"past.{column} - {HOUR_MS}" if column in _TIMES else f"past.{column}"
