"""Streams that are opened and never read, beside a browser that reads everything."""

from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.client import Client, menu_of
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.raw_http import RawConnection
from tests.servers import wait_until

LEFT_OPEN = 300
DISHES = 300
# What the gateway may hold for a connection that takes nothing: a batch of the log (256 KiB), its transport's buffer,
# and a share of what the jobs themselves cost (50 MB). It does not grow with the log. When they are closed is shown by
# tests/faults/test_slow_reader.py.
MOST_BYTES_EACH = 700_000
MOST_GROWTH_BYTES = 60_000_000


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway()


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[Client]:
    with Client(gateway.url) as opened:
        yield opened


@pytest.mark.timeout(120)
def test_hundreds_of_streams_that_nobody_reads_take_nothing_from_one_who_does(
    gateway: GatewayProcess, client: Client
) -> None:
    assert gateway.process is not None
    process = psutil.Process(gateway.process.pid)
    job = client.submit(menu_of(1))
    job.read_to_end()
    memory = process.memory_info().rss
    with ExitStack() as stack:
        for number in range(LEFT_OPEN):
            left = stack.enter_context(RawConnection(gateway.url, receive_buffer=4096))
            beginning = "&from=snapshot" if number % 2 else ""
            left.send(left.head("GET", f"{job.session_url}/events?token={job.session_token}{beginning}"))
        wait_until(lambda: open_streams(client) == LEFT_OPEN, 20, "the streams are open")
        browser = stack.enter_context(job.session_stream())
        after_each: list[int] = []
        for _ in range(2):
            for _ in range(3):
                client.submit({**menu_of(DISHES), "session_id": job.session_id}, job.session_token)
            for _ in range(3):
                browser.read_until(lambda frame: frame.event == "job.completed" and frame.data["job_id"] != job.job_id)
            after_each.append(process.memory_info().rss)
        head = int(job.session_head().rpartition(".")[2])
        assert [frame.seq for frame in browser.durable] == list(range(1, head + 1))
        assert sum(len(str(frame.data)) for frame in browser.durable) > 3_000_000, "more than any buffer takes"
        assert open_streams(client) > LEFT_OPEN / 2, "those who take nothing are still there"
        assert (after_each[0] - memory) / LEFT_OPEN < MOST_BYTES_EACH
        assert after_each[1] - after_each[0] < MOST_GROWTH_BYTES


def open_streams(client: Client) -> float:
    """How many streams the gateway says it has."""
    return client.metrics()["stagecast_connections"]
