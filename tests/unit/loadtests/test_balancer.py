"""The balancer of the rolling restart, in front of servers that are ready, not ready, and gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

import loadtests.balancer
from loadtests.balancer import Balancer
from tests.servers import find_free_port
from tests.waiting import wait_for


class Stub:
    """Says whether it is ready, and else answers with its name."""

    def __init__(self, name: str, status: int = 200) -> None:
        self.name = name
        self.status = status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/health/ready" in request:
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.status)
        else:
            writer.write(self.name.encode())
        writer.close()


@asynccontextmanager
async def balanced(*stubs: Stub, gone: bool = False) -> AsyncIterator[Balancer]:
    servers = [await asyncio.start_server(stub.serve, "127.0.0.1", 0) for stub in stubs]
    ports = [server.sockets[0].getsockname()[1] for server in servers] + ([find_free_port()] if gone else [])
    balancer = Balancer(ports)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.close()
        for server in servers:
            server.close()
            await server.wait_closed()


async def ask(balancer: Balancer) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
    answer = b""
    with suppress(ConnectionError):  # a connection that is closed unheard is reset
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    return answer.decode()


async def test_connections_go_round() -> None:
    async with balanced(Stub("a"), Stub("b")) as balancer:
        assert sorted([await ask(balancer) for _ in range(4)]) == ["a", "a", "b", "b"]


async def test_a_gateway_that_is_not_ready_gets_nothing_and_what_it_said_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loadtests.balancer, "CHECK_TIMEOUT_SECONDS", 20.0)  # a late answer would be kept as none
    stopping = Stub("b")
    async with balanced(Stub("a"), stopping, gone=True) as balancer:
        stopping.status = 503
        await wait_for(lambda: not balancer.backends[1].ready)
        assert [await ask(balancer) for _ in range(3)] == ["a"] * 3
        assert [status for _, status in balancer.backends[1].answers] == [200, 503]
        assert [status for _, status in balancer.backends[2].answers] == [0]


@pytest.mark.parametrize("status", [503, 404])
async def test_with_nobody_ready_a_connection_is_closed(status: int) -> None:
    async with balanced(Stub("a", status)) as balancer:
        assert await ask(balancer) == ""
