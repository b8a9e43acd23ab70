"""Browsers that open a stream and take nothing are cut off, give their sockets back, and disturb nobody."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.client import Client, menu_of
from tests.gateway_process import GatewayProcess

READERS = 8
WAIT_SECONDS = 30.0


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    # Five seconds, so that on a busy machine all of them are connected before the first is cut off.
    settings = {"SSE__SEND_TIMEOUT_SECONDS": "5", "SSE__HEARTBEAT_SECONDS": "0.5"}
    with GatewayProcess(settings=settings) as process:
        yield process


def open_sockets(gateway: GatewayProcess) -> int:
    assert gateway.process is not None
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(gateway.process.pid).net_connections())


@pytest.mark.timeout(90)
def test_readers_that_take_nothing_are_cut_off_and_their_sockets_closed(gateway: GatewayProcess) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(Client(gateway.url))
        job = client.submit(menu_of(500))
        job.read_to_end()  # some megabytes of events: more than the socket buffers hold
        before = open_sockets(gateway)
        for _ in range(READERS):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", gateway.port))
            reader.sendall(f"GET {job.events_url} HTTP/1.1\r\nHost: stagecast\r\n\r\n".encode())
        deadline = time.monotonic() + WAIT_SECONDS
        most = 0
        while time.monotonic() < deadline:
            now = open_sockets(gateway) - before
            most = max(most, now)
            if most == READERS and now <= 0:
                break
            time.sleep(0.1)

        assert most == READERS, "the readers were never all connected"
        assert open_sockets(gateway) <= before, "sockets of readers that take nothing stay open"
        assert job.read_to_end(), "others are served as before"
