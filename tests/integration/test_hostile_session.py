"""A session with ten thousand jobs: every look at it stays small and reads what it shows, not what there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from infra.database.engine import Database
from infra.database.log import EventLog
from infra.database.repositories.snapshots import MOST_JOBS, Snapshots
from infra.settings import DatabaseSettings
from tests.client import Client, SubmittedJob
from tests.contract.wire.fold import blank, fold
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import TWO_COMBINATIONS, StartGateway
from tests.session_copies import copied_id, copy_job

JOBS = 10_000
DISH = {"kind": "menu", "items": [{"name": "親子丼"}]}
SETTINGS = {"LOG__MAX_EVENTS_PER_SESSION": "1000000"}
# Of the answers that show a hundred jobs, with all their rows and without.
MOST_SNAPSHOT_BYTES, MOST_LISTING_BYTES = 2_000_000, 200_000


@pytest.fixture(scope="module", params=TWO_COMBINATIONS, ids="-".join)
def gateway(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway(*request.param, **SETTINGS)


@pytest.fixture(scope="module")
def first_job(gateway: GatewayProcess) -> Iterator[SubmittedJob]:
    """The first of the session's ten thousand jobs; the others are its copies."""
    with Client(gateway.url) as client:
        job = client.submit(DISH)
        job.read_to_end()

        async def fill() -> None:
            database = Database(DatabaseSettings(url=gateway.database_url))
            await copy_job(database, job.job_id, JOBS - 1)
            await database.close()

        asyncio.run(fill())
        yield job


def copy_of(job: SubmittedJob, number: int) -> SubmittedJob:
    job_id = copied_id(job.job_id, number)
    urls = (f"/v1/jobs/{job_id}/events", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/cancel")
    return SubmittedJob(job.client, job_id, job.session_id, "queued", job.session_token, *urls, job.head)


@pytest.mark.timeout(120)
def test_the_copies_are_what_the_committer_writes(first_job: SubmittedJob) -> None:
    size = len(first_job.read_to_end())
    for number in (1, JOBS // 2, JOBS - 1):
        job = copy_of(first_job, number)
        events = job.read_to_end()
        assert [event.seq for event in events] == [number * size + seq for seq in range(1, size + 1)]
        snapshot = job.snapshot()
        assert fold(blank(snapshot), events) == snapshot
        assert len(job.read_to_end(events[3].id)) == size - 4


def test_the_session_shows_its_newest_jobs_only(first_job: SubmittedJob) -> None:
    answer = first_job.client.get(first_job.session_url, first_job.session_token)
    listing = answer.json()
    newest = [copied_id(first_job.job_id, number) for number in range(JOBS - MOST_JOBS, JOBS)]
    assert [job["job_id"] for job in listing["jobs"]] == newest
    assert listing["truncated"] is True
    assert len(answer.content) < MOST_LISTING_BYTES


def test_its_snapshot_shows_its_newest_jobs_only(first_job: SubmittedJob) -> None:
    with first_job.session_stream(params={"from": "snapshot"}) as stream:
        (snapshot,) = [frame.data for frame in stream.read_until("stream.snapshot") if frame.event == "stream.snapshot"]
        assert len(snapshot["jobs"]) == MOST_JOBS
        assert snapshot["truncated"] is True
        assert len(str(snapshot)) < MOST_SNAPSHOT_BYTES
        assert snapshot["head"] == first_job.session_head()


def test_its_log_is_read_in_pages_from_anywhere(first_job: SubmittedJob) -> None:
    head = int(first_job.session_head().rpartition(".")[2])
    assert head == JOBS * len(first_job.read_to_end())
    for after in (0, head // 2, head - 1000):
        page = first_job.poll(after=after, limit=1000).json()
        assert [event["id"] for event in page["events"]] == [first_job.id_of(after + n) for n in range(1, 1001)]
        with first_job.session_stream(first_job.id_of(after) if after else None) as stream:
            stream.read_until(lambda frame, last=after + 1000: frame.id is not None and frame.seq == last)
            assert [frame.seq for frame in stream.durable] == [after + n for n in range(1, 1001)]


def test_work_goes_on_in_it(first_job: SubmittedJob) -> None:
    body = {**DISH, "session_id": first_job.session_id}
    with first_job.session_stream(first_job.session_head()) as stream:
        job = first_job.client.submit(body, first_job.session_token)
        stream.read_until(lambda frame: frame.event == "job.completed" and frame.data["job_id"] == job.job_id)
    assert job.snapshot()["status"] == "completed"


@pytest.fixture
async def database(gateway: GatewayProcess) -> AsyncIterator[Database]:
    opened = Database(DatabaseSettings(url=gateway.database_url))
    yield opened
    await opened.close()


async def test_no_query_goes_through_a_whole_table(first_job: SubmittedJob, database: Database) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    snapshots, log = Snapshots(database), EventLog(database)
    async with database.read() as connection:
        engine = connection.sync_connection.engine if connection.sync_connection else None
    event.listen(engine, "before_cursor_execute", note)
    session_id, job_id = first_job.session_id, copied_id(first_job.job_id, JOBS // 2)
    assert await snapshots.listing(session_id)
    assert await snapshots.session(session_id)
    assert await snapshots.job(job_id)
    assert await snapshots.place(job_id)
    assert await log.position(session_id)
    assert await log.page(session_id, 100_000, 500)
    event.remove(engine, "before_cursor_execute", note)

    selects = [one for one in asked if one[0].lstrip().upper().startswith(("SELECT", "WITH"))]
    assert len(selects) >= 10
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    for statement, parameters in selects:
        async with database.read() as connection:
            if not database.is_sqlite:  # nearly all rows are this session's: it may prefer to read them all
                await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            found = await connection.exec_driver_sql(explain + statement, parameters)
            plan = [str(line[-1] if database.is_sqlite else line[0]) for line in found]
        for table in ("job", "stage", "event", "menu_item"):
            whole = f"SCAN {table}" if database.is_sqlite else f"Seq Scan on {table} "
            assert not any(line.strip(" ->").startswith(whole) for line in plan), (statement, plan)
