"""How streams are limited, how long they live, and how they end when the process stops."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.client import MENU, Client, SubmittedJob, menu_of, wait_for_end
from tests.contract.wire.sse import Frame, StreamReader
from tests.gateway_process import GatewayProcess
from tests.raw_http import RawConnection

STREAMS = 60
# With them a drain takes 4 s (10 ms a stream): time to look at it, also when this machine is busy.
QUIET_STREAMS = 340


def gateway_with(**settings: str) -> GatewayProcess:
    return GatewayProcess(settings={"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "50", **settings})


@pytest.fixture(scope="module")
def limited() -> Iterator[GatewayProcess]:
    limits = {"SSE__MAX_CONNECTIONS_PER_SESSION": "3", "SSE__MAX_CONNECTIONS_PER_ADDRESS": "4"}
    with gateway_with(**limits) as process:
        yield process


def open_stream(stack: ExitStack, job: SubmittedJob, address: str | None = None) -> list[Frame]:
    """The first two frames of a stream that stays open (a refused one has no more)."""
    headers = {"X-Forwarded-For": address} if address else {}
    client = job.client
    url, token = f"{job.session_url}/events", job.session_token
    headers["Authorization"] = f"Bearer {token}"
    response = stack.enter_context(client.http.stream("GET", url, headers=headers))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = iter(StreamReader(response))
    stack.callback(frames.close)  # an iterator that nobody holds takes its connection along
    return [next(frames), next(frames)]


def test_a_session_with_all_its_streams_open_is_busy_and_other_sessions_are_not(limited: GatewayProcess) -> None:
    with Client(limited.url) as client, ExitStack() as stack:
        job, other = client.submit(MENU), client.submit(MENU)
        opened = [open_stream(stack, job, f"192.0.2.{n}") for n in range(5)]
        assert [frames[1].event for frames in opened] == ["stream.open"] * 3 + ["stream.busy"] * 2
        for retry, busy in opened[3:]:
            assert retry.retry == busy.data["retry_ms"]
        assert opened[3][0].retry != opened[4][0].retry, "refused browsers must not come back together"
        assert open_stream(stack, other, "192.0.2.9")[1].event == "stream.open"
        assert client.metrics()['stagecast_connections_refused_total{reason="session"}'] == 2


def test_one_address_with_all_its_streams_open_is_busy_and_others_are_not(limited: GatewayProcess) -> None:
    with Client(limited.url) as client, ExitStack() as stack:
        jobs = [client.submit(MENU) for _ in range(6)]
        opened = [open_stream(stack, job, "198.51.100.7")[1].event for job in jobs]
        assert opened == ["stream.open"] * 4 + ["stream.busy"] * 2
        assert open_stream(stack, jobs[5], "198.51.100.8")[1].event == "stream.open"
        assert client.metrics()['stagecast_connections_refused_total{reason="address"}'] == 2


def test_places_are_free_again_when_browsers_leave(limited: GatewayProcess) -> None:
    with Client(limited.url) as client:
        job = client.submit(MENU)
        for _ in range(3):
            with ExitStack() as stack:
                assert [open_stream(stack, job)[1].event for _ in range(3)] == ["stream.open"] * 3
            deadline = time.monotonic() + 10
            while client.metrics()["stagecast_connections"] and time.monotonic() < deadline:
                time.sleep(0.02)


def test_a_stream_ends_of_age_between_two_events_and_the_next_one_goes_on() -> None:
    with gateway_with(SSE__MAX_AGE_SECONDS="0.5") as gateway, Client(gateway.url) as client:
        job = client.submit(menu_of(80))  # 4 s
        seen: list[Frame] = []
        endings: list[str | None] = []
        while not endings or endings[-1] != "stream.end":
            with job.stream(seen[-1].id if seen else None) as stream:
                frames = stream.read_all()
            seen += [frame for frame in frames if frame.id is not None]
            endings.append(frames[-1].event)
        assert len(endings) > 2, "no stream came of age"
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert client.metrics()['stagecast_connections_closed_total{reason="aged"}'] == len(endings) - 1


def test_a_caught_up_stream_that_ends_of_age_takes_the_proof_along() -> None:
    with gateway_with(SSE__MAX_AGE_SECONDS="1") as gateway, Client(gateway.url) as client:
        job = client.submit(MENU)
        wait_for_end(job)  # not by a stream, which may come of age before
        with job.session_stream() as stream:
            frames = stream.read_all()
        assert frames[-1].event == "stream.head"
        assert frames[-1].data["head"] == stream.durable[-1].id


@pytest.mark.timeout(90)
def test_a_stopping_process_says_so_and_lets_its_streams_leave_one_after_the_other() -> None:
    with gateway_with(SSE__DRAIN_SECONDS="5", SSE__RETRY_MS="400") as gateway:
        with Client(gateway.url) as client, ExitStack() as stack:
            ended_job = client.submit(MENU)
            wait_for_end(ended_job)
            for _ in range(QUIET_STREAMS):
                open_quietly(stack, gateway, ended_job)
            job = client.submit(menu_of(200))
            ended: list[tuple[float, Frame]] = []
            ready = threading.Barrier(STREAMS + 1, timeout=30)

            def watch() -> None:
                with Client(gateway.url) as own, own.stream(f"{job.session_url}/events", job.session_token) as stream:
                    stream.read_until("item.updated")
                    ready.wait()
                    frames = stream.read_all()
                    ended.append((time.monotonic(), frames[-1]))

            with ThreadPoolExecutor(STREAMS) as threads:
                watching = [threads.submit(watch) for _ in range(STREAMS)]
                ready.wait()
                assert gateway.process is not None
                began = time.monotonic()
                gateway.process.terminate()
                ready_answer = _draining(client)
                with job.stream() as late:
                    refused = late.read_all()
                for one in watching:
                    one.result(30)
            code = gateway.process.wait(30)
        assert (ready_answer.status_code, ready_answer.json()["status"]) == (503, "draining")
        assert refused[-1].event == "stream.busy"
        assert {frame.event for _, frame in ended} == {"stream.drain"}
        assert len({frame.data["retry_ms"] for _, frame in ended}) > STREAMS / 2, "retries must be spread"
        left = sorted(at - began for at, _ in ended)
        assert left[-1] - left[0] > 0.2, f"they all left at once: {left[0]:.2f} to {left[-1]:.2f} s"
        assert code == 0


def open_quietly(stack: ExitStack, gateway: GatewayProcess, job: SubmittedJob) -> None:
    """A stream that nobody reads."""
    connection = stack.enter_context(RawConnection(gateway.url))
    connection.send(connection.head("GET", f"{job.session_url}/events", f"Authorization: Bearer {job.session_token}"))
    assert connection.read_head() == 200


def _draining(client: Client) -> httpx.Response:
    deadline = time.monotonic() + 10
    while (answer := client.get("/health/ready")).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def test_a_job_that_ended_long_ago_ends_without_reading_what_the_session_did_since() -> None:
    with gateway_with(SSE__RING_EVENTS="20", SYNTHETIC__LATENCY_MS="0") as gateway, Client(gateway.url) as client:
        old = client.submit(MENU)
        expected = old.read_to_end()
        new = client.submit({**menu_of(400), "session_id": old.session_id}, old.session_token)
        assert len(new.read_to_end()) > 3000
        before = client.metrics()["stagecast_log_reads_total"]
        assert [event.id for event in old.read_to_end()] == [event.id for event in expected]
        assert client.metrics()["stagecast_log_reads_total"] - before <= 1
