"""A log above its cap loses its oldest events while its jobs run; whoever is behind starts over from a snapshot."""

from dataclasses import replace
from typing import Any

import pytest

from tests.client import Client, SubmittedJob, menu_of
from tests.contract.wire.fold import fold
from tests.contract.wire.log_rules import ENDINGS, check_ids
from tests.contract.wire.sse import Frame, StreamReader
from tests.gateway_process import GatewayProcess, find_stagecast
from tests.integration.conftest import TWO_COMBINATIONS, StartGateway
from tests.servers import wait_until

CAP = 100
# A job of 40 s at 40 ms a dish: it runs until it is cancelled.
DISHES = 1000
# A gateway looks for long logs every two seconds; on a busy machine, where a look takes long, every minute.
TRIMMED_SECONDS = 70.0
# 90,000 letters of three bytes: the event that proposes a better prompt has 270 kB, more than ten of them are more
# than all buffers between two processes hold.
LONG_PROMPT: dict[str, Any] = {"kind": "prompt", "title": "long", "target_language": "en", "content": "飯" * 90_000}
LONG_JOBS = 40


@pytest.fixture(params=TWO_COMBINATIONS, ids="-".join)
def gateway(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "40", "SSE__RING_EVENTS": "16"}
    settings["PROCESSING__MAX_ITEMS"] = str(DISHES)
    patient = {"SSE__SEND_TIMEOUT_SECONDS": "120"}
    return start_gateway(*request.param, LOG__MAX_EVENTS_PER_SESSION=str(CAP), **settings, **patient)


def first_kept(job: SubmittedJob) -> int:
    """The number of the first event that is still there."""
    events = job.poll(limit=1).json()["events"]
    return int(events[0]["id"].rpartition(".")[2]) if events else 0


def split(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    named = [frame for frame in frames if frame.event is not None]
    return [frame for frame in named if frame.id is None], [frame for frame in named if frame.id is not None]


@pytest.mark.timeout(180)
def test_a_running_job_is_trimmed_and_a_client_behind_starts_over(gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(DISHES))
    with job.stream() as live:
        live.read_until(lambda frame: frame.id is not None and frame.seq > 3 * CAP)
        live.read_until(lambda frame: frame.id is not None and frame.seq % 20 == 0 and first_kept(job) > 2)
        assert job.snapshot()["status"] == "running"
        with job.stream(job.id_of(1)) as behind:
            frames = behind.read_until("stream.snapshot")
            frames += behind.read_until(lambda frame: frame.id is not None and len(behind.durable) > 2 * CAP)
            assert job.cancel().status_code == 202
            frames += behind.read_all()
        live.read_all()

    control, events = split(frames)
    assert [frame.event for frame in control[:3]] == ["stream.open", "stream.reset", "stream.snapshot"]
    assert control[1].data["reason"] == "behind_retention"
    assert fold(control[2].data, events) == job.snapshot(), "from the snapshot on it misses nothing"
    check_ids(live.durable)
    assert live.durable[-1].event in ENDINGS, "a reader that keeps up notices nothing"
    assert live.durable[-1] == events[-1]

    refused = job.poll(after=job.id_of(1))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/behind-retention")
    wait_until(
        lambda: first_kept(job) == live.durable[-1].seq - CAP + 1, TRIMMED_SECONDS, "the cap is all that is kept"
    )
    with job.stream() as fresh:
        fresh.read_all()
    assert fresh.durable == live.durable[-CAP:], "without a position: from the first event that is kept"
    verify = gateway.spawn([find_stagecast(), "verify"])
    assert verify.wait(60) == 0


@pytest.mark.timeout(180)
def test_a_slow_reader_that_the_cap_overtakes_is_told_and_starts_over(gateway: GatewayProcess, client: Client) -> None:
    """Not through a reconnect of its own: it is connected all the time, and takes nothing for a while."""
    job = client.submit(LONG_PROMPT)
    with Client(gateway.url) as own, replace(job, client=own).session_stream() as opened:
        more = {**LONG_PROMPT, "session_id": job.session_id}
        jobs = [client.submit(more, job.session_token) for _ in range(LONG_JOBS - 1)]
        for one in jobs:
            wait_until(lambda one=one: one.snapshot()["status"] == "completed", TRIMMED_SECONDS, "a job ends")
        newest = int(job.session_head().rpartition(".")[2])
        wait_until(lambda: first_kept(job) == newest - CAP + 1, TRIMMED_SECONDS, "the cap is all that is kept")
        slow = StreamReader(opened.response)
        slow.read_all()

    check_ids(slow.durable)
    last = slow.durable[-1]
    assert last.seq < newest - CAP, "it got what the buffers held, and no event after the hole"
    with job.session_stream(last.id) as again:
        control, _ = split(again.read_until("stream.snapshot"))
    assert [frame.event for frame in control] == ["stream.open", "stream.reset", "stream.snapshot"]
    assert control[1].data["reason"] == "behind_retention"
    assert control[2].data["head"] == job.id_of(newest)
    assert {one["status"] for one in control[2].data["jobs"]} == {"completed"}
