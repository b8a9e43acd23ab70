"""A long past: copies of what one job left, each a whole session of its own, all of them older than what comes now."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.ids import is_id, new_id
from loadtests.bench.old_log import HOUR_MS, grow_past
from tests.database import make_sqlite_template

NOW_MS = 1_795_248_303_804
EVENTS = 5


@pytest.fixture
def past(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database after one job of two dishes with five events, grown to 23 events."""
    path = make_sqlite_template(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        leave_a_job(connection)
    assert grow_past(path, 23) == 30  # whole sessions: 1 + 5 of five events each
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def leave_a_job(connection: sqlite3.Connection) -> None:
    session, job = new_id(), new_id()
    rows = {
        "session": [{"id": session, "epoch": "abcd1234", "head": EVENTS, "trimmed": 0, "created_at": NOW_MS}],
        "job": [
            {
                **{"id": job, "session_id": session, "kind": "menu", "status": "completed", "run": 1, "remaining": 0},
                **{"target_language": "en", "first_seq": 1, "last_seq": EVENTS, "created_at": NOW_MS},
                **{"started_at": NOW_MS, "finished_at": NOW_MS},
            }
        ],
        "stage": [
            {
                **{"job_id": job, "name": name, "position": position, "status": "completed", "attempt": 1},
                **{"attempt_limit": 3, "done": 2, "total": 2, "updated_at": NOW_MS},
            }
            for position, name in enumerate(("translation", "category"))
        ],
        "menu_item": [
            {
                **{"id": new_id(), "session_id": session, "job_id": job, "position": position, "name": "枝豆"},
                **{"processing_status": "completed", "created_at": NOW_MS, "updated_at": NOW_MS},
            }
            for position in range(2)
        ],
        "event": [
            {"session_id": session, "seq": seq, "job_id": job, "type": "item.updated", "data": b"{}"}
            for seq in range(1, EVENTS + 1)
        ],
    }
    for table, listed in rows.items():
        for row in listed:
            places = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
    connection.commit()


def test_every_copy_is_a_whole_session(past: sqlite3.Connection) -> None:
    logs = past.execute("SELECT s.id, s.head, count(*), max(e.seq) FROM session s JOIN event e ON e.session_id = s.id")
    assert logs.fetchone()[1:] == (EVENTS, 30, EVENTS)
    counts = [past.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("job", "stage", "menu_item")]
    assert counts == [6, 12, 12]
    assert past.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_copies_have_ids_of_their_own_that_sort_before_what_is_new(past: sqlite3.Connection) -> None:
    for table in ("session", "job", "menu_item"):
        ids = [row[0] for row in past.execute(f"SELECT id FROM {table} ORDER BY id")]
        assert all(is_id(made) for made in ids)
        assert len(ids) == len(set(ids))
        # Ids begin with their time: those of the copies with a time long before anybody had a computer.
        real = [made for made in ids if not made.startswith("0000")]
        assert ids[-len(real) :] == real
        assert len(ids) == 6 * len(real)


def test_the_past_ended_an_hour_before_its_pattern(past: sqlite3.Connection) -> None:
    ends = past.execute("SELECT finished_at, count(*) FROM job GROUP BY 1 ORDER BY 1").fetchall()
    assert ends == [(NOW_MS - HOUR_MS, 5), (NOW_MS, 1)]
