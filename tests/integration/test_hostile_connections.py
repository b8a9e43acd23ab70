"""Clients that hold connections instead of using them: each has its time, and nobody else notices."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import orjson
import psutil
import pytest

from tests.client import MENU, Client
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.raw_http import RawConnection
from tests.servers import wait_until

PATIENCE_SECONDS = 0.6
# The machine may be busy; what would keep a connection for ever is found all the same.
CLOSED_WITHIN_SECONDS = 10.0
BODY = orjson.dumps(MENU)
LENGTH = f"Content-Length: {len(BODY)}"
JSON = "Content-Type: application/json"


@pytest.fixture
def impatient(start_gateway: StartGateway) -> GatewayProcess:
    """A gateway that does not wait long for a request; heartbeats show that a stream lives."""
    return start_gateway(HTTP__REQUEST_TIMEOUT_SECONDS=str(PATIENCE_SECONDS), SSE__HEARTBEAT_SECONDS="0.2")


@pytest.fixture
def connection(impatient: GatewayProcess) -> Iterator[RawConnection]:
    with RawConnection(impatient.url) as opened:
        yield opened


def test_a_connection_that_sends_nothing_is_closed(impatient: GatewayProcess) -> None:
    began = time.monotonic()
    with RawConnection(impatient.url) as connection:
        assert connection.wait_for_close() == b""
    assert PATIENCE_SECONDS * 0.9 < time.monotonic() - began < CLOSED_WITHIN_SECONDS


@pytest.mark.parametrize(
    "beginning", [b"", b"G", b"GET /health/live HTTP/1.1\r\nX-Slow: ", b"POST /v1/jobs HTTP/1.1\r\nA: b\r\n", b"\r\n"]
)
def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for(connection: RawConnection, beginning: bytes) -> None:
    connection.send(beginning)
    assert connection.dribble(b"x: y\r\n" if beginning.endswith(b"\r\n") else b"a", 0.1) < CLOSED_WITHIN_SECONDS


@pytest.mark.parametrize("bytes_between", [b"GET /health/live HTTP/1.1\r\nX-Slow: aaaaaaaa", b"\r\n"])
def test_the_next_request_of_a_kept_connection_has_the_same_deadline(
    connection: RawConnection, bytes_between: bytes
) -> None:
    for _ in range(2):
        assert connection.request("GET", "/health/live").status == 200
    assert connection.dribble(bytes_between, 0.1) < CLOSED_WITHIN_SECONDS


def test_a_slow_head_behind_a_request_that_is_answered_is_not_waited_for(connection: RawConnection) -> None:
    connection.send(connection.head("GET", "/health/ready") + b"GET /health/live HTTP/1.1\r\nX-Slow: ")
    assert connection.read_answer().status == 200
    assert connection.dribble(b"a", 0.1) < CLOSED_WITHIN_SECONDS


@pytest.mark.parametrize(
    ("headers", "piece"),
    [((LENGTH,), BODY[:-1] + b" " * 10_000), (("Transfer-Encoding: chunked",), b"1\r\n{\r\n")],
    ids=["with its length", "in chunks"],
)
def test_a_body_that_comes_a_byte_at_a_time_is_answered_with_408(
    connection: RawConnection, headers: tuple[str, ...], piece: bytes
) -> None:
    connection.send(connection.head("POST", "/v1/jobs", JSON, *headers))
    if headers == (LENGTH,):
        piece = piece[: len(BODY) - 1]
    assert connection.dribble(piece, 0.1) < CLOSED_WITHIN_SECONDS
    answer = connection.read_answer()

    assert answer.status == 408
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json()["type"] == "/problems/request-timeout"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("POST", "/v1/nowhere", 404), ("GET", "/health/live", 200), ("POST", f"/v1/jobs/{'0' * 26}/cancel", 404)],
)
def test_the_rest_of_a_body_that_nobody_needs_is_not_waited_for(
    connection: RawConnection, method: str, target: str, status: int
) -> None:
    assert connection.request(method, target, "Content-Length: 100000").status == status
    assert connection.dribble(b"a", 0.1) < CLOSED_WITHIN_SECONDS


def test_a_body_that_is_too_large_is_not_read_for_ever(connection: RawConnection) -> None:
    connection.send(connection.head("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    deadline = time.monotonic() + CLOSED_WITHIN_SECONDS
    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        send_until(connection, chunk, deadline)


def send_until(connection: RawConnection, data: bytes, deadline: float) -> None:
    while time.monotonic() < deadline:
        connection.send(data)
        time.sleep(0.005)


def test_a_stream_is_not_touched_by_the_deadline(impatient: GatewayProcess) -> None:
    with Client(impatient.url) as client:
        job = client.submit(MENU)
        job.read_to_end()
    target = f"{job.session_url}/events?token={job.session_token}"
    with RawConnection(impatient.url) as connection:
        # A body that never comes, too: the stream does not wait for it.
        connection.send(connection.head("GET", target, "Content-Length: 5"))
        assert connection.read_head() == 200
        deadline = time.monotonic() + 3 * PATIENCE_SECONDS
        chunks = [b""]
        while time.monotonic() < deadline or sum(b"stream.head" in chunk for chunk in chunks) < 3:
            connection.send(b"x" if len(chunks) < 5 else b"")  # four of the five bytes
            chunks.append(connection.read_chunk())
            assert chunks[-1], "the stream has ended"


def test_an_idle_connection_is_kept_for_the_next_request(connection: RawConnection) -> None:
    assert connection.request("GET", "/health/live").status == 200
    time.sleep(1.5 * PATIENCE_SECONDS)
    assert connection.request("GET", "/health/live").status == 200


def test_requests_in_one_go_are_answered_in_their_order(connection: RawConnection) -> None:
    targets = ["/health/live", "/nowhere", "/health/database"] * 5
    connection.send(b"".join(connection.head("GET", target) for target in targets))
    statuses = [connection.read_answer().status for _ in targets]
    assert statuses == [200, 404, 200] * 5


def test_thousands_of_requests_in_one_go_are_refused(impatient: GatewayProcess) -> None:
    before = psutil.Process(impatient.process.pid).memory_info().rss if impatient.process else 0
    with ExitStack() as stack:
        others = [stack.enter_context(RawConnection(impatient.url)) for _ in range(40)]
        for other in others:
            with suppress(OSError):  # closed while we still sent, or before, if this machine is busy
                other.send(b"GET /health/ready HTTP/1.1\r\n\r\n" * 8_000)
        answers = [other.wait_for_close().count(b"HTTP/1.1 200") for other in others]
    assert max(answers) <= 64, "one read's worth of requests, and those that the parser had passed before"
    after = psutil.Process(impatient.process.pid).memory_info().rss if impatient.process else 0
    assert after - before < 100_000_000
    assert "Traceback" not in impatient.read_log()
    with RawConnection(impatient.url) as connection:
        assert connection.request("GET", "/health/live").status == 200


def test_who_waits_for_100_continue_gets_it(connection: RawConnection) -> None:
    connection.send(connection.head("POST", "/v1/jobs", JSON, LENGTH, "Expect: 100-continue"))
    assert connection.read_answer().status == 100
    connection.send(BODY)
    assert connection.read_answer().status == 202
    # And whoever need not send the body is told so instead.
    refused = connection.request("POST", "/v1/jobs", JSON, "Content-Length: 2000000", "Expect: 100-continue")
    assert refused.status == 413


def test_a_request_to_upgrade_is_answered_as_it_is(impatient: GatewayProcess, connection: RawConnection) -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    answer = connection.request("GET", "/health/live", "Connection: Upgrade", "Upgrade: websocket", key)
    assert answer.status == 200
    assert connection.dribble(b"\x81\x05hello", 0.1) < CLOSED_WITHIN_SECONDS


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health/live HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET /?" + b"\xff\xfe" + b" HTTP/1.1\r\n\r\n",
        b"\x00" * 1000,
    ],
    ids=lambda garbage: repr(garbage[:40]),
)
def test_what_is_no_http_is_refused_and_closed(
    impatient: GatewayProcess, connection: RawConnection, garbage: bytes
) -> None:
    log = len(impatient.read_log())
    connection.send(garbage)
    answer = connection.read_answer()
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/invalid-http"
    connection.wait_for_close()
    assert impatient.read_log()[log:] == "", "a scanner must not fill the log"


def test_garbage_behind_an_open_stream_ends_it_without_a_word(impatient: GatewayProcess) -> None:
    with Client(impatient.url) as client:
        job = client.submit(MENU)
    target, token = f"{job.session_url}/events", f"Authorization: Bearer {job.session_token}"
    with RawConnection(impatient.url) as connection:
        connection.send(connection.head("GET", target, token))
        assert connection.read_head() == 200
        connection.send(b"\x00no http\r\n\r\n")
        assert b"HTTP/1.1" not in connection.wait_for_close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live HTTP/1.1\r\nX: " + b"a" * 2_000_000,
        b"GET /health/live HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /health/live?" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)),
        b"GET /health/live HTTP/1.1\r\n" + b"a" * 2_000_000,
    ],
    ids=["a header without end", "a header of 70 KB", "a URL of 70 KB", "100,000 headers", "a name without end"],
)
def test_a_head_of_more_than_64_kib_is_refused(connection: RawConnection, head: bytes) -> None:
    try:
        for start in range(0, len(head), 10_000):
            connection.send(head[start : start + 10_000])
            time.sleep(0.001)
    except OSError:
        pass  # closed while we still sent
    received = connection.wait_for_close()
    assert received == b"" or received.startswith(b"HTTP/1.1 431 "), received[:100]


def test_a_head_of_60_kib_is_read(connection: RawConnection) -> None:
    answer = connection.request("GET", "/health/live", *(f"X-{number}: {'a' * 6000}" for number in range(10)))
    assert answer.status == 200


def test_many_slow_senders_do_not_disturb_anybody(impatient: GatewayProcess) -> None:
    with Client(impatient.url) as client, ExitStack() as stack:
        slow: list[RawConnection] = []
        for number in range(200):
            one = stack.enter_context(RawConnection(impatient.url))
            one.send(one.head("POST", "/v1/jobs", JSON, LENGTH)[: -2 if number % 2 else None])
            slow.append(one)
        for _ in range(5):
            for one in slow:
                with suppress(OSError):  # closed already, if this machine is busy
                    one.send(b"x")
            job = client.submit(MENU)
            assert job.read_to_end()[-1].event == "job.completed"
        endings = [one.wait_for_close(CLOSED_WITHIN_SECONDS) for one in slow]
    assert all(ending.startswith(b"HTTP/1.1 408 ") for ending in endings[::2])
    assert all(ending == b"" for ending in endings[1::2])


@pytest.mark.timeout(120)
def test_ten_thousand_connections_opened_and_left_cost_little_and_go(
    start_gateway: StartGateway, all_open_files: int
) -> None:
    gateway = start_gateway(SSE__HEARTBEAT_SECONDS="0.5", HTTP__REQUEST_TIMEOUT_SECONDS="15")
    assert gateway.process is not None
    process = psutil.Process(gateway.process.pid)
    with Client(gateway.url) as client, ExitStack() as stack:
        wanted = min(10_000, all_open_files - 1000)
        job = client.submit(MENU)
        stream = stack.enter_context(job.session_stream())
        stream.read_until(lambda frame: frame.event == "job.completed")
        files, memory = process.num_fds(), process.memory_info().rss
        left = [stack.enter_context(RawConnection(gateway.url)) for _ in range(wanted)]
        # What is left out of 10,000 is what this machine does not let a test open, or its slowness.
        wait_until(lambda: process.num_fds() - files >= wanted * 0.95, 12, f"{wanted} connections are open at once")
        grown = (process.memory_info().rss - memory) / wanted
        added = client.submit({**MENU, "session_id": job.session_id}, job.session_token)
        stream.read_until(lambda frame: frame.event == "job.completed" and frame.data["job_id"] == added.job_id)
        assert grown < 20_000, f"{grown:.0f} bytes a connection"
        wait_until(lambda: process.num_fds() - files < 20, 60, "all of them are closed")
        assert all(one.wait_for_close(5) == b"" for one in left)
        assert client.get("/health/ready").status_code == 200


@pytest.fixture
def all_open_files() -> Iterator[int]:
    """How many files the tests may open: as many as the machine allows them at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class CrampedGateway(GatewayProcess):
    """May open 600 files, of which 300 are for clients."""

    def command(self) -> list[str]:
        return ["sh", "-c", 'ulimit -n 600 && exec "$0" "$@"', *super().command()]


def test_with_few_descriptors_those_who_only_wait_give_way() -> None:
    with CrampedGateway(settings={"HTTP__REQUEST_TIMEOUT_SECONDS": "120"}) as gateway, Client(gateway.url) as client:
        assert "few_open_files" in gateway.read_log()
        job = client.submit(MENU)
        with ExitStack() as stack, job.session_stream() as stream:
            stream.read_until("stream.open")
            silent = [stack.enter_context(RawConnection(gateway.url)) for _ in range(700)]
            added = client.submit({**MENU, "session_id": job.session_id}, job.session_token)
            stream.read_until(lambda frame: frame.event == "job.completed" and frame.data["job_id"] == added.job_id)
            assert all(one.wait_for_close(5) == b"" for one in silent[:350]), "the oldest went first"
            assert silent[-1].request("GET", "/health/ready").status == 200
        wait_until(lambda: client.get("/health/ready").status_code == 200, 5, "it is ready")
    assert "Too many open files" not in gateway.read_log()
