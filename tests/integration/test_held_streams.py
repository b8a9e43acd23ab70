"""Streams that the server holds, from outside: what a connection does before, behind and after one."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.client import MENU, Client, SubmittedJob, menu_of
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.raw_http import RawConnection
from tests.servers import wait_until

# Of the server, with a connection whose first request comes only when a job has been submitted.
PATIENCE_SECONDS = 3.0
# uvicorn's own, for a connection between two requests.
KEEP_ALIVE_SECONDS = 5.0


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    """Heartbeats show that a stream lives; a job of some dishes takes half a second; a ring much smaller than it."""
    return start_gateway(
        PROVIDER="synthetic",
        SYNTHETIC__LATENCY_MS="30",
        HTTP__REQUEST_TIMEOUT_SECONDS=str(PATIENCE_SECONDS),
        SSE__HEARTBEAT_SECONDS="0.2",
        SSE__RING_EVENTS="16",
    )


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[Client]:
    with Client(gateway.url) as opened:
        yield opened


@pytest.fixture
def connection(gateway: GatewayProcess) -> Iterator[RawConnection]:
    with RawConnection(gateway.url) as opened:
        yield opened


def events(job: SubmittedJob) -> tuple[str, str]:
    """The target and the header of the job's stream."""
    return f"{job.status_url}/events", f"Authorization: Bearer {job.session_token}"


def numbers(body: bytes) -> list[int]:
    """The numbers of the events that are there as a whole: a large batch comes in chunks that end anywhere."""
    whole = body[: body.rfind(b"\n\n") + 2]
    lines = [line for line in whole.split(b"\n") if line.startswith(b"id: ")]
    return [int(line.rpartition(b".")[2]) for line in lines]


def head_of(job: SubmittedJob) -> int:
    return int(job.session_head().rpartition(".")[2])


def open_streams(client: Client) -> float:
    return client.metrics()["stagecast_connections"]


def test_requests_behind_an_open_stream_are_answered_after_its_end_in_their_order(
    client: Client, connection: RawConnection
) -> None:
    job = client.submit(menu_of(5))
    one_go = [connection.head("GET", *events(job))]
    one_go += [connection.head("GET", target) for target in ("/health/live", "/nowhere")]
    one_go += [connection.head("GET", *events(job)), connection.head("GET", "/health/database")]
    connection.send(b"".join(one_go))
    first = connection.read_answer()
    assert numbers(first.body) == list(range(1, head_of(job) + 1))
    assert b"event: stream.end" in first.body[-300:]
    assert [connection.read_answer().status for _ in range(2)] == [200, 404]
    assert connection.read_answer().body.count(b"event: stream.end") == 1, "another stream behind the first"
    assert connection.read_answer().json()


def test_a_request_whose_head_comes_in_pieces_around_the_opening_is_answered(
    client: Client, connection: RawConnection
) -> None:
    job = client.submit(menu_of(5))
    live = connection.head("GET", "/health/live")
    connection.send(connection.head("GET", *events(job)) + live[:20])
    assert connection.read_head() == 200
    chunk = connection.read_chunk()
    connection.send(live[20:])
    while chunk:
        last, chunk = chunk, connection.read_chunk()
    assert b"event: stream.end" in last
    assert connection.read_answer().status == 200


def test_the_connection_serves_the_next_request_after_the_end_of_a_stream(
    client: Client, connection: RawConnection
) -> None:
    job = client.submit(menu_of(2))
    for _ in range(3):
        assert b"event: stream.end" in connection.request("GET", *events(job)).body
        assert connection.request("GET", "/health/live").status == 200
    last = f"Last-Event-ID: {job.session_head()}"
    assert connection.request("GET", *events(job), last).status == 204
    # And if none comes, it is closed as after any other answer.
    assert b"event: stream.end" in connection.request("GET", *events(job)).body
    assert connection.wait_for_close(4 * KEEP_ALIVE_SECONDS) == b""


@pytest.mark.parametrize("garbage", [b"\x00no http\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 70_000])
def test_garbage_behind_a_stream_ends_it_without_a_word_and_gives_its_place_back(
    gateway: GatewayProcess, client: Client, connection: RawConnection, garbage: bytes
) -> None:
    job = client.submit(MENU)
    log = len(gateway.read_log())
    connection.send(connection.head("GET", f"{job.session_url}/events", events(job)[1]))
    assert connection.read_head() == 200
    wait_until(lambda: open_streams(client) == 1, 10, "the stream is open")
    connection.send(garbage)
    assert b"HTTP/1.1" not in connection.wait_for_close()
    wait_until(lambda: open_streams(client) == 0, 10, "its place is free")
    assert "Traceback" not in gateway.read_log()[log:]


def test_a_client_that_says_it_will_send_no_more_gives_its_place_back(
    client: Client, connection: RawConnection
) -> None:
    job = client.submit(MENU)
    connection.send(connection.head("GET", f"{job.session_url}/events", events(job)[1]))
    assert connection.read_head() == 200
    connection.socket.shutdown(socket.SHUT_WR)
    connection.wait_for_close()
    wait_until(lambda: open_streams(client) == 0, 10, "its place is free")


def test_clients_that_leave_before_the_stream_has_opened_leave_nothing_behind(
    gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    log = len(gateway.read_log())
    for number in range(60):
        with RawConnection(gateway.url) as leaving:
            leaving.send(leaving.head("GET", *events(job)))
            time.sleep(number % 10 * 0.0004)
    wait_until(lambda: open_streams(client) == 0, 10, "their places are free")
    assert "Traceback" not in gateway.read_log()[log:]


def test_an_idle_stream_outlives_the_deadlines_of_requests_and_of_kept_connections(
    gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    with RawConnection(gateway.url) as connection:
        assert connection.request("GET", "/health/live").status == 200  # the connection is a kept one
        connection.send(connection.head("GET", f"{job.session_url}/events", events(job)[1]))
        assert connection.read_head() == 200
        deadline = time.monotonic() + max(KEEP_ALIVE_SECONDS, PATIENCE_SECONDS) + 1
        while time.monotonic() < deadline:
            assert connection.read_chunk(), "the stream has ended"
        added = client.submit({**MENU, "session_id": job.session_id}, job.session_token)
        body = b""
        while f'"job_id":"{added.job_id}"'.encode() not in body:
            chunk = connection.read_chunk()
            assert chunk, "the stream has ended"
            body += chunk


def test_head_is_answered_with_headers_only_and_takes_no_place(client: Client, connection: RawConnection) -> None:
    job = client.submit(MENU)
    for _ in range(3):
        answer = connection.request("HEAD", *events(job))
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert connection.request("GET", "/health/live").status == 200, "nothing followed the headers"
    wait_until(lambda: open_streams(client) == 0, 10, "no place is taken")


def test_a_client_of_http_1_0_gets_all_and_the_connection_ends_with_the_stream(
    client: Client, connection: RawConnection
) -> None:
    job = client.submit(menu_of(5))
    target, token = events(job)
    connection.send(f"GET {target} HTTP/1.0\r\n{token}\r\n\r\n".encode())
    answer = connection.read_answer()
    assert answer.headers["connection"] == "close"
    assert numbers(answer.body) == list(range(1, head_of(job) + 1))
    assert b"event: stream.end" in answer.body
    assert connection.wait_for_close() == b""


@pytest.mark.timeout(120)
def test_a_slow_reader_of_a_great_burst_gets_everything_once(gateway: GatewayProcess, client: Client) -> None:
    first = client.submit(MENU)
    first.read_to_end()
    with RawConnection(gateway.url, receive_buffer=4096) as slow:
        slow.send(slow.head("GET", f"{first.session_url}/events", events(first)[1]))
        assert slow.read_head() == 200
        jobs = [client.submit({**menu_of(300), "session_id": first.session_id}, first.session_token) for _ in range(2)]
        for job in jobs:
            job.read_to_end()
        head = head_of(first)
        body = bytearray()
        while not numbers(bytes(body[-2000:])) or numbers(bytes(body[-2000:]))[-1] < head:
            chunk = slow.read_chunk()
            assert chunk, "the stream has ended"
            body += chunk
        assert numbers(bytes(body)) == list(range(1, head + 1))
        assert len(body) > 1_000_000, "more than the buffers on the way take"


def test_a_signal_drains_held_streams_idle_and_slow_ones_alike() -> None:
    with GatewayProcess(settings={"SSE__RING_EVENTS": "16"}) as gateway, Client(gateway.url) as client:
        job = client.submit(MENU)
        job.read_to_end()
        target, token = f"{job.session_url}/events", events(job)[1]
        idle = [RawConnection(gateway.url) for _ in range(20)]
        with RawConnection(gateway.url, receive_buffer=4096) as slow:
            for one in (*idle, slow):
                one.send(one.head("GET", target, token))
                assert one.read_head() == 200
            client.submit({**menu_of(300), "session_id": job.session_id}, job.session_token).read_to_end()
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGTERM)
            for one in idle:
                body = b""
                while chunk := one.read_chunk():
                    body += chunk
                assert body.rstrip().rpartition(b"\n\n")[2].startswith(b"event: stream.drain")
                assert one.wait_for_close() == b"", "the connection is not kept"
                one.socket.close()
            # Who takes nothing does not keep the process.
            assert gateway.process.wait(30) == 0
        assert '"event": "stopped"' in gateway.read_log()
        assert "Traceback" not in gateway.read_log()
