"""A connection in memory to the product's HTTP protocol: the client takes what it likes, when it likes.

The protocol, its parser and the responses it holds are the real ones. The transport is a buffer with a bound, as the
kernel's is: above the high-water mark the protocol is told to pause, once the client has taken enough to go on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.server import ServerState

from gateway.terminal.protocol import BoundedConfig, BoundedProtocol


class SimulatedTransport(asyncio.Transport):
    """The server's end. What is written waits in `buffer` until `take` gives it to the client."""

    def __init__(self, high_water_bytes: int) -> None:
        super().__init__()
        self.high_water_bytes = high_water_bytes
        self.buffer = bytearray()
        self.protocol: Any = None
        self.written = asyncio.Event()
        self.is_over = False
        self._closing = False
        self._paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 80)}.get(name, default)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._closing, "written to what is closed"
        self.buffer += data
        self.written.set()
        if len(self.buffer) > self.high_water_bytes and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def take(self, most: int) -> bytes:
        """What the client reads now."""
        taken = bytes(self.buffer[:most])
        del self.buffer[:most]
        if self._paused and len(self.buffer) <= self.high_water_bytes // 4:
            self._paused = False
            self.protocol.resume_writing()
        if self._closing and not self.buffer:
            self.lose()
        return taken

    def close(self) -> None:
        self._closing = True
        self.written.set()
        if not self.buffer:
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self._closing = True
        self.buffer.clear()
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        """The connection is over, whoever ended it."""
        if not self.is_over:
            self.is_over = self._closing = True
            self.written.set()
            self.protocol.connection_lost(None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class SimulatedServer:
    """A server of one ASGI application, without a listener."""

    def __init__(self, app: Any) -> None:
        self.config = BoundedConfig(
            app,
            request_timeout_seconds=10,
            most_connections=10_000,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            interface="asgi3",
        )
        self.state = ServerState()

    def connect(self, high_water_bytes: int) -> SimulatedTransport:
        """A new connection."""
        transport = SimulatedTransport(high_water_bytes)
        transport.protocol = BoundedProtocol(self.config, self.state, {}, asyncio.get_running_loop())
        transport.protocol.connection_made(transport)
        return transport


class ResponseReader:
    """Takes the bytes of one connection apart: heads, chunks, and frames of streams, each as soon as it is whole."""

    def __init__(self, on_frame: Callable[[bytes], None]) -> None:
        self.on_frame = on_frame
        self._unread = b""
        self._body = b""
        self._in_body = False
        self.statuses: list[int] = []
        self.ended = 0

    def feed(self, data: bytes) -> None:
        self._unread += data
        while self._chunk() if self._in_body else self._head():
            pass

    def _head(self) -> bool:
        head, found, rest = self._unread.partition(b"\r\n\r\n")
        if not found:
            return False
        assert head.startswith(b"HTTP/1.1 "), head[:80]
        self.statuses.append(int(head[9:12]))
        assert b"transfer-encoding: chunked" in head or self.statuses[-1] == 204, head
        self._unread, self._in_body = rest, self.statuses[-1] != 204
        self.ended += not self._in_body
        return True

    def _chunk(self) -> bool:
        size, found, rest = self._unread.partition(b"\r\n")
        length = int(size, 16) if found else 0
        if not found or len(rest) < length + 2:
            return False
        assert rest[length : length + 2] == b"\r\n", rest[:80]
        self._unread = rest[length + 2 :]
        if length:
            self._body += rest[:length]
            *frames, self._body = self._body.split(b"\n\n")
            for frame in frames:
                self.on_frame(frame + b"\n\n")
            return True
        assert not self._body, f"ended inside a frame: {self._body[-80:]!r}"
        self._in_body = False
        self.ended += 1
        return True
