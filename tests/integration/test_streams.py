"""What a stream says, frame by frame, besides the events of its job."""

import hashlib
import json
import socket
import time

import httpx
import pytest

from tests.client import MENU, PROMPT, Client, menu_of
from tests.fold import fold
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.log_rules import ENDINGS, check_ids, check_job
from tests.servers import wait_until


def test_a_stream_begins_with_a_retry_and_its_opening(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    with job.stream() as stream:
        retry, opening, first = (next(iter(stream)) for _ in range(3))

    assert retry.retry is not None
    assert 1000 <= retry.retry <= 3000, "2000 ms, 50 to 150 %"
    assert (opening.event, opening.id) == ("stream.open", None)
    assert (opening.data["outcome"], opening.data["epoch"]) == ("new", job.epoch)
    assert opening.data["head"].startswith(f"{job.epoch}.")
    assert (first.event, first.id) == ("job.accepted", job.id_of(1))


def test_the_delays_of_reconnects_differ(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    delays = set()
    for _ in range(8):
        with job.session_stream() as stream:
            delays.add(next(iter(stream)).retry)

    assert len(delays) > 1


def test_a_stream_has_the_headers_that_keep_it_whole_on_its_way(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    with job.stream() as stream:
        headers = stream.response.headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers
    assert "content-length" not in headers


def test_head_answers_the_headers_at_once_and_no_body(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    for url in (f"{job.status_url}/events", f"{job.session_url}/events"):
        answer = client.http.head(url, headers={"Authorization": f"Bearer {job.session_token}"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.content == b""


def test_a_session_stream_carries_all_its_jobs_and_stays_open(slow_gateway: GatewayProcess, client: Client) -> None:
    first = client.submit(menu_of(6))
    second = client.submit({**PROMPT, "session_id": first.session_id}, first.session_token)
    ended: set[str] = set()

    def both_ended(frame: object) -> bool:
        last = stream.durable[-1] if stream.durable else None
        if last is not None and last.event in ENDINGS:
            ended.add(last.data["job_id"])
        return ended == {first.job_id, second.job_id}

    with first.session_stream() as stream:
        stream.read_until(both_ended)
        heartbeat = stream.read_until("stream.head")[-1]

    check_ids(stream.durable)
    for job, kind in ((first, "menu"), (second, "prompt")):
        own = [event for event in stream.durable if event.data["job_id"] == job.job_id]
        check_job(own, kind)
        assert [event.id for event in job.read_to_end()] == [event.id for event in own], "the job's stream filters"
    assert heartbeat.data["head"] == stream.durable[-1].id == first.session_head()


def test_a_heartbeat_proves_that_nothing_is_missing_and_has_no_id(slow_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(1))
    job.read_to_end()
    with job.session_stream(job.session_head()) as stream:
        began = time.monotonic()
        beats = [stream.read_until("stream.head")[-1] for _ in range(3)]
        took = time.monotonic() - began

    assert not stream.durable
    for beat in beats:
        assert beat.id is None
        assert beat.data == {"epoch": job.epoch, "head": job.session_head()}
    assert 0.5 < took < 3, "every 0.3 s"


def test_a_jobs_heartbeat_names_the_last_event_of_the_job_and_not_of_the_session(
    slow_gateway: GatewayProcess, client: Client
) -> None:
    watched = client.submit(menu_of(200))
    with watched.stream() as stream:
        stream.read_until("job.started")
        other = client.submit({**PROMPT, "session_id": watched.session_id}, watched.session_token)
        other.read_to_end()
        beat = stream.read_until("stream.head")[-1]
        last = stream.durable[-1]
    watched.cancel()

    assert beat.data["head"] == last.id
    assert last.data["job_id"] == watched.job_id


def test_from_snapshot_gives_the_picture_and_then_only_what_follows(
    slow_gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(menu_of(80))
    with job.stream() as running:
        running.read_until(lambda frame: frame.event == "item.updated")
    with job.stream(params={"from": "snapshot"}) as stream:
        retry, opening, snapshot = (next(iter(stream)) for _ in range(3))
        stream.read_all()

    assert retry.retry
    assert (opening.event, opening.data["outcome"]) == ("stream.open", "new")
    assert (snapshot.event, snapshot.id) == ("stream.snapshot", None)
    assert snapshot.data["status"] == "running"
    check_ids(stream.durable, first=int(snapshot.data["head"].rpartition(".")[2]) + 1)
    assert fold(snapshot.data, stream.durable) == job.snapshot()


def test_a_finished_job_from_its_snapshot_is_the_picture_and_the_end(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    with job.stream(params={"from": "snapshot"}) as stream:
        frames = stream.read_all()

    assert [frame.event for frame in frames] == [None, "stream.open", "stream.snapshot", "stream.end"]
    assert frames[2].data == job.snapshot()


def test_a_session_from_its_snapshot_has_its_jobs_whole(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    first = client.submit(MENU)
    second = client.submit({**PROMPT, "session_id": first.session_id}, first.session_token)
    first.read_to_end()
    second.read_to_end()
    with first.session_stream(params={"from": "snapshot"}) as stream:
        snapshot = stream.read_until("stream.snapshot")[-1].data

    assert snapshot == {
        "session_id": first.session_id,
        "epoch": first.epoch,
        "head": first.session_head(),
        "jobs": [first.snapshot(), second.snapshot()],
        "truncated": False,
    }


def test_one_connection_too_many_is_told_to_come_back_with_200(tight_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    with job.session_stream() as one, job.session_stream() as two:
        next(iter(one))
        next(iter(two))
        with job.session_stream() as refused:
            frames = refused.read_all()
        assert [frame.event for frame in frames] == [None, "stream.busy"]
        assert frames[1].data == {"retry_ms": frames[0].retry}
        assert client.metrics()["stagecast_connections"] == 2
    _wait_for_connections(client, 0)
    with job.session_stream() as stream:
        assert stream.read_until("stream.open")[-1].data["outcome"] == "new"


def test_a_result_too_large_for_an_event_is_a_reference_and_stands_in_the_row(
    tight_gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    rows = {row["item_id"]: row for row in job.snapshot()["rows"]}
    images = [event.data for event in events if event.data.get("stage") == "image" and event.event == "item.updated"]

    assert len(images) == 3
    large = [image for image in images if "reference" in image["value"]]
    assert len(large) == 2, "the plate of an unknown dish is small"
    for image in large:
        value = rows[image["item_id"]]["gen_image"]
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        assert value["result"]["svg"].startswith("<svg")
        assert image["value"] == {
            "reference": {
                "url": job.status_url,
                "bytes": len(encoded),
                "sha256": hashlib.sha256(encoded).hexdigest(),
            },
            "provider": "builtin",
            "confidence": value["confidence"],
        }


def test_a_job_much_larger_than_the_ring_arrives_whole(tight_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(60))
    events = job.read_to_end()

    check_ids(events)
    check_job(events, "menu")


def test_polling_pages_through_the_same_log(gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    streamed = job.read_to_end()
    polled, after = [], "0"
    while page := job.poll(after=after, limit=7).json()["events"]:
        assert len(page) <= 7
        polled += page
        after = page[-1]["id"]
    whole = job.poll(limit=1000).json()

    assert [(one["id"], one["type"], one["data"]) for one in polled] == [
        (frame.id, frame.event, frame.data) for frame in streamed
    ]
    assert whole["events"] == polled
    assert whole["head"] == whole["next_after"] == streamed[-1].id
    assert whole["epoch"] == job.epoch
    assert job.poll(after=streamed[4].seq).json()["events"] == polled[5:]
    assert job.poll(after=whole["next_after"]).json() == {**whole, "events": []}


@pytest.mark.parametrize("url", ["status", "session"])
def test_a_reader_that_leaves_leaves_nothing_behind(
    gateway_on_each_database: GatewayProcess, client: Client, url: str
) -> None:
    job = client.submit(MENU)
    before = client.metrics()["stagecast_connections"]
    for _ in range(5):
        with job.session_stream() if url == "session" else job.stream() as stream:
            next(iter(stream))
    _wait_for_connections(client, before)


def test_a_stream_begins_at_once_even_when_nothing_happens(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    with client.http.stream(
        "GET",
        f"{job.session_url}/events",
        params={"token": job.session_token, "last_event_id": job.session_head()},
        timeout=httpx.Timeout(3),
    ) as response:
        assert next(response.iter_raw()).startswith(b"retry: ")


def test_a_reader_that_takes_nothing_is_cut_off(start_gateway: StartGateway) -> None:
    gateway = start_gateway(SSE__SEND_TIMEOUT_SECONDS="1")
    with Client(gateway.url) as client:
        job = client.submit(menu_of(500))
        # Three large logs of 3 MB: the kernel alone takes up to 4 MB off the server's hands.
        for _ in range(2):
            client.submit({**menu_of(500), "session_id": job.session_id}, job.session_token).read_to_end()
        _wait_for_connections(client, 0)
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", gateway.port))
            url = f"{job.session_url}/events?token={job.session_token}"
            reader.sendall(f"GET {url} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            _wait_for_connections(client, 1)
            _wait_for_connections(client, 0)
        assert job.read_to_end()[-1].event == "job.completed", "the others go on"


def _wait_for_connections(client: Client, wanted: float) -> None:
    wait_until(lambda: client.metrics()["stagecast_connections"] == wanted, 10, f"{wanted} open streams")
