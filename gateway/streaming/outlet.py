"""Where the bytes of one stream go once its response has begun, and who is told what becomes of them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog
from starlette.types import Receive, Send

from gateway.streaming.batch import unchunked

# What waits in this process for one client before it counts as slow; asyncio's own usual mark.
HIGH_WATER_BYTES = 65_536


log = structlog.stdlib.get_logger(__name__)


class Stream(Protocol):
    """Whoever writes to an outlet. Both are called from the event loop and must not block."""

    def blocked(self) -> None:
        """The client takes less than it is sent: what is written from now on only piles up."""
        ...

    def gone(self) -> None:
        """The connection is over; nothing that is written arrives any more."""
        ...


class Outlet(Protocol):
    """The rest of a response. Writing never waits and never fails; what is written after the end is dropped."""

    @property
    def is_blocked(self) -> bool:
        """Whether so much waits for the client already that the writer should, too."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What this process still keeps for the client."""
        ...

    def follow(self, stream: Stream) -> None:
        """Tell this stream, from now on, when the client is slow or gone; at once if it is gone already."""
        ...

    @property
    def take(self) -> Callable[[bytes], None]:
        """Writes a chunk of an HTTP/1.1 body, which many outlets share.

        It may be kept while the stream is followed. In a server that holds responses it is the transport's own `write`:
        a layer between costs 2 % of an event (P2).
        """
        ...

    def write(self, frames: bytes) -> None:
        """Write frames of this stream only."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken most of what it was sent, or is gone."""
        ...

    def finish(self, frames: bytes) -> None:
        """Write the last frames and end the response in good order."""
        ...

    def abort(self) -> None:
        """Cut the connection, whatever still waits in it."""
        ...


# What a server that can go on with a response after its request's task has ended puts into the ASGI scope's extensions.
# Called once the response has begun; the outlet is the server's from then on, and `send` must not be used again.
HOLD = "stagecast.hold"
Hold = Callable[[], Outlet]


class AsgiOutlet:
    """An outlet over plain ASGI, for servers that can't hold a response: a task pumps what was written into `send`."""

    def __init__(self, send: Send, send_timeout_seconds: float) -> None:
        self._send = send
        self._timeout_seconds = send_timeout_seconds
        self._stream: Stream | None = None
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._finishing = False
        self._over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def run(self, receive: Receive) -> None:
        """Send until the response has ended or the client is gone. A send that takes too long is the end, too."""
        listener = asyncio.create_task(self._listen(receive))
        try:
            while not self._over:
                await self._news.wait()
                self._news.clear()
                await self._pump()
        except (TimeoutError, OSError) as error:
            log.info("stream_cut", error=type(error).__name__)
        finally:
            listener.cancel()
            self._lose()

    async def _pump(self) -> None:
        while self._waiting or self._finishing:
            body = b"".join(self._waiting)
            self._waiting.clear()
            more = not self._finishing
            async with asyncio.timeout(self._timeout_seconds):
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
            self._bytes -= len(body)
            if self._bytes <= HIGH_WATER_BYTES:
                self._room.set()
            if not more:
                self._end()

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._lose()

    def _lose(self) -> None:
        stream = self._stream
        self._end()
        if stream is not None:
            stream.gone()

    def _end(self) -> None:
        self._over, self._finishing = True, False
        self._stream = None
        self._waiting.clear()
        self._news.set()
        self._room.set()

    @property
    def is_blocked(self) -> bool:
        return self._bytes > HIGH_WATER_BYTES and not self._over

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def follow(self, stream: Stream) -> None:
        self._stream = stream
        if self._over:
            self._stream = None
            stream.gone()

    def take(self, chunk: bytes) -> None:
        self.write(unchunked(chunk))

    def write(self, frames: bytes) -> None:
        if self._over or self._finishing or not frames:
            return
        self._waiting.append(frames)
        self._bytes += len(frames)
        self._news.set()
        if self._bytes > HIGH_WATER_BYTES and self._room.is_set():
            self._room.clear()
            if self._stream is not None:
                self._stream.blocked()

    async def drain(self) -> None:
        await self._room.wait()

    def finish(self, frames: bytes) -> None:
        self.write(frames)
        if not self._over:
            self._finishing = True
            self._news.set()

    def abort(self) -> None:
        self._end()
