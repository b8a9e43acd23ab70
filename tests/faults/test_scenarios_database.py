"""The database goes away, stands still, is locked or full: requests say so, and later everything ends by itself."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.harness.fault import Fault
from tests.faults.harness.faults.database import (
    DiskFull,
    PostgresKilled,
    PostgresPaused,
    PostgresStopped,
    SqliteLocked,
)
from tests.faults.harness.scene import Scene
from tests.faults.harness.world import POSTGRES_ALONE, SQLITE_ALONE
from tests.faults.scenario import account, at_work, eventually, post, read_events, status_of, strike
from tests.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop and kill."""
    with PostgresServer() as server:
        yield server


async def refuses(scene: Scene) -> None:
    """A submission is refused as the contract says, and reading says what it can."""
    answer = await post(scene, dishes=77)
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/database-unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert await scene.world.ask(0, "/health/live") is not None


async def stands_still(scene: Scene) -> None:
    async def shown() -> bool:
        return await status_of(scene, "database") != "ok"

    await eventually(shown, "the database is reported")


async def test_postgresql_may_stop_crash_and_stand_still(own_postgres: PostgresServer) -> None:
    async with at_work(POSTGRES_ALONE, postgres=own_postgres) as scene:
        await strike(scene, PostgresStopped(), refuses)
        await strike(scene, PostgresKilled(), refuses)
        await strike(scene, PostgresPaused(), stands_still)
        outcome, truth = await account(scene)
        assert outcome.answers["202"] == len(outcome.orders)
        assert len(truth.jobs) == len(outcome.orders), "a refused submission left a job"


@pytest.mark.parametrize("fault", [SqliteLocked(), DiskFull()], ids=lambda fault: fault.name)
async def test_a_sqlite_file_that_cannot_be_written(fault: Fault) -> None:
    async with at_work(SQLITE_ALONE, fault) as scene:
        await strike(scene, fault, refuses)
        outcome, truth = await account(scene)
        assert outcome.answers["202"] == len(outcome.orders)
        assert len(truth.jobs) == len(outcome.orders), "a refused submission left a job"
        said = {line["error"] for line in read_events(scene) if line["event"] == "commit_failed"}
        words = {"SQLite locked": ("locked",), "disk full": ("full", "i/o")}[fault.name]
        assert any(word in one.lower() for one in said for word in words), said
        print("  the gateway said:", json.dumps(sorted(one[:80] for one in said)))
        assert scene.world.sqlite_path is not None
        with closing(sqlite3.connect(scene.world.sqlite_path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
