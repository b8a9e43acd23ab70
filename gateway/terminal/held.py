"""The outlet of a stream whose request is over: chunks, written straight to the connection's transport."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from gateway.streaming.batch import chunked
from gateway.streaming.outlet import Stream


class Holder(Protocol):
    """The connection that a held response is written to."""

    transport: asyncio.Transport
    flow: FlowControl

    def end_held(self, keep_alive: bool) -> None:
        """The response has been written."""
        ...


class HeldResponse:
    """One of them, from the moment that its request's task lets go; made by the connection."""

    __slots__ = ("_protocol", "_stream", "_transport", "keep_alive")

    def __init__(self, protocol: Holder | None, keep_alive: bool = False) -> None:
        self._protocol = protocol  # None: the connection is gone
        if protocol is not None:
            self._transport = protocol.transport
        self._stream: Stream | None = None
        self.keep_alive = keep_alive

    @property
    def is_blocked(self) -> bool:
        return self._protocol is not None and self._protocol.flow.write_paused

    @property
    def waiting_bytes(self) -> int:
        return 0 if self._protocol is None else self._transport.get_write_buffer_size()

    def follow(self, stream: Stream) -> None:
        self._stream = stream
        if self._protocol is None:
            self.lose()

    @property
    def take(self) -> Callable[[bytes], None]:
        return _drop if self._protocol is None else self._transport.write

    def write(self, frames: bytes) -> None:
        if self._protocol is not None and frames:
            self._transport.write(chunked(frames))

    async def drain(self) -> None:
        if self._protocol is not None:
            await self._protocol.flow.drain()

    def finish(self, frames: bytes) -> None:
        if self._protocol is None:
            return
        self._transport.write((chunked(frames) if frames else b"") + b"0\r\n\r\n")
        protocol, self._protocol, self._stream = self._protocol, None, None
        protocol.end_held(self.keep_alive)

    def abort(self) -> None:
        if self._protocol is not None:
            self._protocol, self._stream = None, None
            self._transport.abort()

    def block(self) -> None:
        """From the connection: more than the high-water mark waits for the client."""
        if self._stream is not None:
            self._stream.blocked()

    def lose(self) -> None:
        """From the connection: it is over."""
        stream, self._protocol, self._stream = self._stream, None, None
        if stream is not None:
            stream.gone()


def _drop(_chunk: bytes) -> None:
    """For who is gone already."""
