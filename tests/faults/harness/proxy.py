"""A TCP proxy that breaks a link the way networks do, and counts what it did so that a fault can show it happened.

It never holds more than a chunk per direction and connection: what the far side does not take is not read from the near
side, so that a slow or dead link is felt by the sender as it would be without the proxy.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

# Small, so that a slow link fills up after some kilobytes and not after the megabytes of a loopback socket.
CHUNK_BYTES = 16_384
KERNEL_BUFFER_BYTES = 32_768
CONNECT_SECONDS = 5.0
SLOW_STEP_SECONDS = 0.1
# Time for the last bytes before a cut to reach the client; a reset overtakes what is still under way.
LAST_BYTES_SECONDS = 0.02
TAIL_BYTES = 64


class Mode(Enum):
    """What the link does with bytes."""

    PASS = "pass"
    HALF_OPEN = "half-open"
    SLOW = "slow"


@dataclass(slots=True)
class Counters:
    """What the proxy did so far, over all connections. `tails` are the last bytes that went down before each cut."""

    accepted: int = 0
    unreachable: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    cuts: int = 0
    tails: list[bytes] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Link:
    client: asyncio.StreamWriter
    task: asyncio.Task[None]
    server: asyncio.StreamWriter | None = None
    tail: bytes = b""


class TcpProxy:
    """Passes bytes between its own port and `target_port`, both on 127.0.0.1, until it is told otherwise."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.counters = Counters()
        self.mode = Mode.PASS
        self._bytes_per_second = 0
        self._bytes_to_cut: int | None = None
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._mode_changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        assert self._server is not None, "the proxy was not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open_links(self) -> int:
        """Connections now."""
        return len(self._links)

    async def start(self) -> None:
        """Begin to accept. The target need not be there yet: a connection that can't reach it is reset."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=CHUNK_BYTES)

    async def close(self) -> None:
        """Reset all connections and accept no more."""
        if self._server is not None:
            self._server.close()
        tasks = [link.task for link in self._links]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    def pass_on(self) -> None:
        """Heal the link: what waited in it goes on."""
        self._set(Mode.PASS)

    def half_open(self) -> None:
        """Accept and keep every connection, forward nothing in either direction, tell nobody."""
        self._set(Mode.HALF_OPEN)

    def slow(self, bytes_per_second: int) -> None:
        """Let so few bytes down to each client; what clients send goes up unhindered."""
        self._bytes_per_second = bytes_per_second
        self._set(Mode.SLOW)

    def cut(self) -> None:
        """Reset every open connection, at once and on both sides. New ones are served."""
        for link in tuple(self._links):
            self._reset(link)

    def cut_after(self, bytes_down: int) -> None:
        """Reset the connection that carries the so-manieth byte down from now on, right after this byte.

        Never at the end of a line: a few bytes later then, so that the cut falls inside a frame.
        """
        self._bytes_to_cut = bytes_down

    def _set(self, mode: Mode) -> None:
        self.mode = mode
        self._flowing.clear() if mode is Mode.HALF_OPEN else self._flowing.set()
        self._mode_changed.set()
        self._mode_changed = asyncio.Event()

    def _reset(self, link: _Link) -> None:
        self.counters.cuts += 1
        self.counters.tails.append(link.tail)
        for writer in (link.client, link.server):
            if writer is not None:
                _abort(writer)
        link.task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.counters.accepted += 1
        link = _Link(writer, task)
        self._links.add(link)
        _bound(writer)
        try:
            await self._flowing.wait()
            await self._connect(link, reader)
        except (OSError, TimeoutError):
            self.counters.unreachable += 1
            _abort(writer)
        except asyncio.CancelledError:
            pass  # cut; asyncio would report the cancellation of a connection's task as an error
        finally:
            self._links.discard(link)
            for end in (link.client, link.server):
                if end is not None:
                    end.close()

    async def _connect(self, link: _Link, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            server_reader, link.server = await asyncio.open_connection("127.0.0.1", self.target_port, limit=CHUNK_BYTES)
        _bound(link.server)
        up = asyncio.create_task(self._pass_up(reader, link.server))
        down = asyncio.create_task(self._pass_down(server_reader, link))
        try:
            await asyncio.wait([up, down])
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pass_up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                server.write(data)
                await server.drain()
                self.counters.bytes_up += len(data)
        await self._flowing.wait()  # a half-open link does not tell of the end either
        _end(server)

    async def _pass_down(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                while data:
                    await self._flowing.wait()
                    piece = data[: self._most_now()]
                    cuts_here, piece = self._up_to_cut(piece, data)
                    data = data[len(piece) :]
                    link.client.write(piece)
                    await link.client.drain()
                    link.tail = (link.tail + piece)[-TAIL_BYTES:]
                    self.counters.bytes_down += len(piece)
                    if cuts_here:
                        await asyncio.sleep(LAST_BYTES_SECONDS)
                        self._reset(link)
                        return
                    if self.mode is Mode.SLOW:
                        await self._pause(len(piece) / self._bytes_per_second)
        await self._flowing.wait()
        _end(link.client)

    def _most_now(self) -> int:
        if self.mode is Mode.SLOW:
            return max(1, int(self._bytes_per_second * SLOW_STEP_SECONDS))
        return CHUNK_BYTES

    def _up_to_cut(self, piece: bytes, data: bytes) -> tuple[bool, bytes]:
        if self._bytes_to_cut is None:
            return False, piece
        end = self._bytes_to_cut
        if end > len(piece):
            self._bytes_to_cut -= len(piece)
            return False, piece
        while end <= len(data) and data[end - 1 : end] in b"\r\n":
            end += 1
        if end > len(data):  # nothing but line ends up to here: the cut falls into what comes next
            self._bytes_to_cut = 1
            return False, data
        self._bytes_to_cut = None
        return True, data[:end]

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._mode_changed.wait()


def _bound(writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=CHUNK_BYTES)
    link: socket.socket = writer.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        link.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER_BYTES)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _end(writer: asyncio.StreamWriter) -> None:
    """Say that no more will come (FIN)."""
    with suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset the connection (RST), instead of ending it in good order."""
    link: socket.socket | None = writer.get_extra_info("socket")
    if link is not None and not writer.transport.is_closing():
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
