"""What a stream does at its limits. What it says, frame by frame, is in tests/contract/wire."""

import hashlib
import json
import socket

import pytest

from tests.client import MENU, Client, menu_of
from tests.contract.wire.log_rules import check_ids, check_job
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
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


def test_a_reader_that_takes_nothing_is_cut_off(start_gateway: StartGateway) -> None:
    gateway = start_gateway(SSE__SEND_TIMEOUT_SECONDS="3")
    with Client(gateway.url) as client:
        job = client.submit(menu_of(500))
        # Three large logs of 3 MB: the kernel alone takes up to 4 MB off the server's hands.
        for _ in range(2):
            client.submit({**menu_of(500), "session_id": job.session_id}, job.session_token).read_to_end()
        _wait_for_connections(client, 0)
        before = _streams_cut(client)
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", gateway.port))
            url = f"{job.session_url}/events?token={job.session_token}"
            reader.sendall(f"GET {url} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            wait_until(lambda: _streams_cut(client) == before + 1, 30, "it is cut off")
            assert client.metrics()["stagecast_connections"] == 0
        assert job.read_to_end()[-1].event == "job.completed", "the others go on"


def _wait_for_connections(client: Client, wanted: float) -> None:
    wait_until(lambda: client.metrics()["stagecast_connections"] == wanted, 30, f"{wanted} open streams")


def _streams_cut(client: Client) -> float:
    return client.metrics().get('stagecast_connections_closed_total{reason="cut"}', 0)
