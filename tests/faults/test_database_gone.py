"""The database goes away while the gateway runs: everything says so, nothing is lost, and work resumes by itself."""

import time
from collections.abc import Iterator

import pytest

from tests.client import MENU, Client, SubmittedJob, menu_of, wait_for_end
from tests.contract.wire.fold import blank, fold
from tests.contract.wire.log_rules import check_ids, check_job
from tests.contract.wire.sse import Frame
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, wait_until

WAIT_SECONDS = 30.0


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def gateway(own_postgres: PostgresServer) -> Iterator[GatewayProcess]:
    """Slow synthetic jobs and short leases, so that a stage that lost its database is taken over soon."""
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "40", "PROCESSING__LEASE_SECONDS": "1"}
    with GatewayProcess(own_postgres.create_database(), settings=settings) as process:
        yield process


def test_without_its_database_the_gateway_says_so_and_goes_on_when_it_is_back(
    own_postgres: PostgresServer, gateway: GatewayProcess
) -> None:
    with Client(gateway.url) as client:
        idle = client.submit(MENU)
        wait_for_end(idle)  # by polling: the gateway has no channel of this session
        job = client.submit(menu_of(150))
        with job.stream() as stream:
            stream.read_until(lambda frame: frame.event == "item.updated")
            own_postgres.stop()
            _check_refusals(client, idle, job)
            wait_until(lambda: "stage_abandoned" in gateway.read_log(), WAIT_SECONDS, "a running stage fails to commit")
            own_postgres.start()
        received = list(stream.durable)
        received += _follow(job, received[-1].id or "")

        snapshot = job.snapshot()
        assert snapshot["status"] == "completed", "an outage costs no stage its attempts"
        check_ids(received)
        check_job(received, "menu")
        assert fold(blank(snapshot), received) == snapshot
        assert "stage.recovering" in {event.event for event in received}
        assert client.get("/health/ready").status_code == 200
        check_ids(idle.read_to_end())
        with idle.session_stream() as stream:
            stream.read_until("job.completed")
        client.submit(menu_of(1)).read_to_end()


def _check_refusals(client: Client, idle: SubmittedJob, job: SubmittedJob) -> None:
    posted = client.post_job(MENU)
    assert posted.status_code == 503, posted.text
    assert posted.headers["content-type"] == "application/problem+json"
    assert posted.json()["type"] == "/problems/database-unavailable"
    assert int(posted.headers["retry-after"]) > 0
    asked = client.get(job.status_url, job.session_token)
    assert (asked.status_code, asked.json()["type"]) == (503, "/problems/database-unavailable")

    ready, database, live = (client.get(f"/health/{name}") for name in ("ready", "database", "live"))
    assert (ready.status_code, ready.json()["status"]) == (503, "failing")
    assert ready.json()["checks"]["database"]["status"] == "failing"
    assert database.status_code == 503
    assert live.status_code == 200

    for refused in (job.cancel(), job.retry("price"), idle.poll()):
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/database-unavailable")

    for opened in (idle.stream(), idle.session_stream(), job.stream()):
        with opened as stream:
            frames = stream.read_all()
        assert [frame.event for frame in frames] == [None, "stream.busy"]
        assert frames[0].retry == frames[1].data["retry_ms"]


def _follow(job: SubmittedJob, last_event_id: str) -> list[Frame]:
    """What a browser does: come back with the last id until the stream says that it has ended."""
    received: list[Frame] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with job.stream(received[-1].id if received else last_event_id) as stream:
            frames = stream.read_all()
        received += stream.durable
        if frames[-1].event == "stream.end":
            return received
        time.sleep(0.1)  # shorter than the `retry:` that a browser would keep
    raise AssertionError(f"the job did not end in {WAIT_SECONDS:g} s; last: {received[-1:]}")
