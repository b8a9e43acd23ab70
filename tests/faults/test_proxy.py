"""The proxy of the fault harness: what it breaks is broken, what it counts is so, and it holds no more than it may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.faults.harness.proxy import CHUNK_BYTES, TcpProxy
from tests.waiting import wait_for

WAIT_SECONDS = 10.0
FRAMES = b"".join(b"id: a.%d\nevent: item\ndata: {}\n\n" % number for number in range(1, 1000))


class Source:
    """A server that sends `payload` to each client after its first line, and counts what it could get rid of."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.lines: list[bytes] = []
        self.sent = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=CHUNK_BYTES)
        try:
            self.lines.append(await reader.readline())
            for start in range(0, len(self.payload), CHUNK_BYTES):
                writer.write(self.payload[start : start + CHUNK_BYTES])
                await writer.drain()
                self.sent += CHUNK_BYTES
            await reader.read()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(payload: bytes) -> AsyncIterator[tuple[Source, TcpProxy]]:
    source = Source(payload)
    server = await asyncio.start_server(source.answer, "127.0.0.1", 0)
    proxy = TcpProxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield source, proxy
    finally:
        await proxy.close()
        server.close()


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello\n")
    try:
        yield reader
    finally:
        writer.close()


@asynccontextmanager
async def taking(reader: asyncio.StreamReader) -> AsyncIterator[None]:
    """Meanwhile, all that comes is read."""
    reading = asyncio.create_task(reader.read())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def read_until_reset(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the reset. A link that only ends is a failure."""
    got = b""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while data := await reader.read(1000):
                got += data
    except ConnectionResetError:
        return got
    raise AssertionError("the link ended in good order")


async def test_a_healthy_link_passes_every_byte() -> None:
    async with proxied(FRAMES) as (source, proxy), connected(proxy) as reader:
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reader.readexactly(len(FRAMES)) == FRAMES
        assert source.lines == [b"hello\n"]
        assert (proxy.counters.accepted, proxy.open_links, proxy.counters.cuts) == (1, 1, 0)


async def test_a_half_open_link_takes_connections_tells_nobody_and_goes_on_when_healed() -> None:
    async with proxied(FRAMES) as (source, proxy):
        proxy.half_open()
        async with connected(proxy) as reader:
            await wait_for(lambda: proxy.counters.accepted == 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            assert (source.lines, proxy.counters.bytes_up, proxy.counters.bytes_down) == ([], 0, 0)
            proxy.pass_on()
            async with asyncio.timeout(WAIT_SECONDS):
                assert await reader.readexactly(len(FRAMES)) == FRAMES


@pytest.mark.parametrize("broken", ["half-open", "slow", "unread"])
async def test_a_link_that_takes_little_is_felt_by_the_sender(broken: str) -> None:
    async with proxied(b"x" * 20_000_000) as (source, proxy), connected(proxy) as reader, AsyncExitStack() as stack:
        async with asyncio.timeout(WAIT_SECONDS):
            await reader.readexactly(10)
        if broken == "half-open":
            proxy.half_open()
        elif broken == "slow":
            proxy.slow(1000)
        if broken != "unread":  # then it is the link that takes little, not who reads from it
            await stack.enter_async_context(taking(reader))

        async def stands_still() -> bool:
            before = source.sent
            await asyncio.sleep(0.5)
            return source.sent - before <= 4 * CHUNK_BYTES

        await wait_for(stands_still, WAIT_SECONDS)
        assert source.sent < 15_000_000, "the link swallowed what nobody took"


async def test_a_slow_link_keeps_its_pace_and_becomes_quick_again() -> None:
    async with proxied(FRAMES) as (_, proxy):
        proxy.slow(200)
        async with connected(proxy) as reader:
            clock = asyncio.get_running_loop().time
            began = clock()
            got = await reader.readexactly(100)
            assert clock() - began >= 0.3, "100 bytes at 200 a second take half a second"
            assert proxy.counters.bytes_down <= 200 * (clock() - began) + 20 + 1
            proxy.pass_on()
            async with asyncio.timeout(WAIT_SECONDS):
                got += await reader.readexactly(len(FRAMES) - 100)
            assert got == FRAMES


async def test_a_cut_resets_what_is_open_and_serves_what_comes_next() -> None:
    async with proxied(FRAMES) as (_, proxy):
        async with connected(proxy) as reader:
            await reader.readexactly(100)
            proxy.cut()
            await read_until_reset(reader)
        async with connected(proxy) as reader, asyncio.timeout(WAIT_SECONDS):
            assert await reader.readexactly(len(FRAMES)) == FRAMES
        assert proxy.counters.cuts == 1


@pytest.mark.parametrize("bytes_down", [1, 32, 33, 34, 35, 5000, 17_000])
async def test_a_cut_after_some_bytes_falls_inside_a_frame(bytes_down: int) -> None:
    async with proxied(FRAMES) as (_, proxy):
        proxy.cut_after(bytes_down)
        async with connected(proxy) as reader:
            got = await read_until_reset(reader)
        assert FRAMES.startswith(got)
        assert bytes_down <= len(got) <= bytes_down + 3
        assert not got.endswith((b"\n", b"\r"))
        assert (proxy.counters.cuts, proxy.counters.tails[0]) == (1, got[-64:])


async def test_a_server_that_is_down_resets_its_clients() -> None:
    async with proxied(FRAMES) as (_, proxy):
        proxy.target_port = 1  # nobody listens there
        async with connected(proxy) as reader:
            await read_until_reset(reader)
        assert proxy.counters.unreachable == 1
