"""A job that failed as a whole is run again stage by stage, on the same stream. The rest is in tests/contract/wire."""

from collections.abc import Iterator

import pytest

from tests.client import Client, SubmittedJob, menu_of
from tests.contract.wire.fold import STAGES, blank, fold
from tests.contract.wire.log_rules import ENDINGS, check_ids, check_job
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import TWO_COMBINATIONS
from tests.servers import PostgresServer, RedisServer

FAILING = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__FAILURE_RATE": "1.0",
    "PROCESSING__MAX_ATTEMPTS": "2",
    "PROCESSING__RETRY_DELAY_SECONDS": "0.02",
}


@pytest.fixture(params=TWO_COMBINATIONS, ids="-".join)
def failing_gateway(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, redis_server: RedisServer
) -> Iterator[GatewayProcess]:
    """Every stage fails, until the test restarts it on the same database with other settings."""
    database, bus = request.param
    url = postgres_server.create_database() if database == "postgres" else None
    with GatewayProcess(url, redis_url=redis_server.url if bus == "redis" else None, settings=FAILING) as gateway:
        yield gateway


def test_failed_stages_run_again_on_the_same_stream(failing_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(3))
    failed = job.read_to_end()
    after_failure = job.snapshot()

    check_ids(failed)
    check_job(failed, "menu")
    assert failed[-1].event == "job.failed"
    for stage in after_failure["stages"].values():
        assert (stage["status"], stage["attempt"], stage["done"]) == ("failed", 2, 0)
        assert stage["error"]["type"] == "synthetic_failure"
    assert {row["processing_status"] for row in after_failure["rows"]} == {"failed"}
    assert fold(blank(after_failure), failed) == after_failure
    assert [event.event for event in failed].count("stage.retrying") == 8

    failing_gateway.settings["SYNTHETIC__FAILURE_RATE"] = "0"
    failing_gateway.settings["SYNTHETIC__LATENCY_MS"] = "700"  # a stage takes 2 s: seven retries fall in one run
    failing_gateway.restart()
    _retry_one_stage(job, after_failure["head"])
    _retry_the_others_in_one_run(job)

    events = job.read_to_end()
    snapshot = job.snapshot()
    assert events[: len(failed)] == failed
    check_ids(events)
    check_job(events, "menu", runs=3)
    assert (snapshot["status"], snapshot["run"]) == ("completed", 3)
    assert {row["processing_status"] for row in snapshot["rows"]} == {"completed"}
    assert fold(blank(snapshot), events) == snapshot
    assert fold(after_failure, events[len(failed) :]) == snapshot
    assert [event.data["run"] for event in events if event.event == "job.started"] == [1, 2, 3]


def _retry_one_stage(job: SubmittedJob, last_event_id: str) -> None:
    answer = job.retry("price")
    assert answer.status_code == 202
    assert answer.json()["job_id"] == job.job_id
    assert answer.json()["stage"] == "price"
    second = job.read_to_end(last_event_id)
    assert [event.event for event in second] == [
        "stage.retrying",
        "job.started",
        "stage.started",
        *["item.updated"] * 3,
        "stage.completed",
        "job.completed_partial",
    ]
    assert (second[0].data["attempt"], second[0].data["delay_ms"]) == (2, 0)
    assert second[2].data["attempt"] == 3
    snapshot = job.snapshot()
    assert (snapshot["status"], snapshot["run"]) == ("completed_partial", 2)
    assert {row["processing_status"] for row in snapshot["rows"]} == {"partial"}
    assert job.retry("price").status_code == 409


def _retry_the_others_in_one_run(job: SubmittedJob) -> None:
    before = job.snapshot()["head"]
    others = [stage for stage in STAGES["menu"] if stage != "price"]
    assert {job.retry(stage).status_code for stage in others} == {202}
    third = job.read_to_end(before)
    assert third[-1].event == "job.completed"
    assert sum(event.event in ENDINGS for event in third) == 1
