"""HTTP/1.1 as uvicorn speaks it, with the bounds that it lacks. What differs, and why:

1. Waiting for a request has an end. uvicorn has a deadline for an idle kept-alive connection only, and one byte cancels
   it: whoever connects and sends nothing, or a byte a second, keeps a connection for ever. Here a connection on which
   it is the client's turn is closed after `request_timeout_seconds`; bytes don't extend that, a whole head does. The
   same holds for the rest of a body whose request has been answered already. While an answer runs, a stream above all,
   no deadline does; a body that the application waits for is the application's matter (`gateway.api.body`).
2. A head has at most 64 KiB, trailers included. The parser keeps a header until it is whole, however long, so bytes
   that it has not reported yet are counted, too.
3. At most 32 requests wait behind the one that is answered. A read of 256 KB can hold 14,000 of them, which make 30 MB.
4. When the process comes near its limit of descriptors, the connection that has waited longest for its head gives way.
5. When a connection ends, the request that runs hears of it, not only the newest one that was read.
6. What is no HTTP is answered with a problem document, never in the midst of a running answer, and never logged: that
   would be a line for every request of every scanner.
7. A stream's response outlives its request (`HeldResponse`): what the request needed is given back, so that an idle
   stream is a socket, a parser and a place in a crowd.
"""

import asyncio
import weakref
from typing import Any

import httptools
import orjson
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.problems import MEDIA_TYPE, problem_body
from gateway.streaming.outlet import HOLD
from gateway.terminal.held import HeldResponse

MOST_HEAD_BYTES = 65_536
MOST_PIPELINED = 32


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration with what the protocol needs; every worker process gets a copy of its own.

    `waiting` are the connections without a request to work on, the one that has waited longest first.
    """

    def __init__(self, app: Any, *, request_timeout_seconds: float, most_connections: int, **options: Any) -> None:
        super().__init__(app, http=BoundedProtocol, **options)
        self.request_timeout_seconds = request_timeout_seconds
        self.most_connections = most_connections
        self.waiting: dict[BoundedProtocol, None] = {}


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client."""

    config: BoundedConfig

    def __init__(
        self,
        config: BoundedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._held: HeldResponse | None = None
        self._head_bytes = 0
        self._unreported_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.config.most_connections:
            next(iter(self.config.waiting)).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._tell_running()
        super().connection_lost(exc)
        self.pipeline.clear()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._held is not None:
            self._held.block()

    def shutdown(self) -> None:
        if self._held is None:
            super().shutdown()
        else:  # whoever writes to it ends it
            self._held.keep_alive = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._unreported_bytes = 0
        # Weak: the scope would keep the protocol and the protocol the scope, in which Litestar keeps a request's body;
        # a cycle of a megabyte perhaps for each closed connection, until the collector comes.
        here = weakref.ref(self)
        self.scope["extensions"] = {HOLD: lambda: _hold(here)}  # type: ignore[dict-item]  # uvicorn's type is narrow

    def hold(self) -> HeldResponse:
        """Take the response that has begun over from the request's task, which may end now."""
        cycle = self._running
        assert cycle is not None
        assert cycle.response_started or cycle.disconnected  # uvicorn drops what is sent to a client that has left
        assert not cycle.response_complete
        self._held = HeldResponse(self, cycle.keep_alive)
        # To uvicorn the request is done with. What it keeps of it would stay for as long as the stream.
        cycle.response_complete = True
        self._running = None
        if self.scope is cycle.scope:  # else the head of the next request has begun
            self.scope, self.headers, self.url = {}, [], b""  # type: ignore[typeddict-item]
        cycle.scope = {}  # type: ignore[typeddict-item]
        cycle.body = bytearray()
        if not self.pipeline:
            self.flow.resume_reading()  # a body that nobody wants has stopped it, and the disconnect would go unnoticed
        if cycle.disconnected or self.transport.is_closing():
            self._held.lose()
        return self._held

    def end_held(self, keep_alive: bool) -> None:
        """The held response has been written; the connection is free for the next request, or closed."""
        self._held = None
        if keep_alive:
            self.on_response_complete()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._unreported_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if self._unreported_bytes > MOST_HEAD_BYTES:
                raise _HeadTooLarge
        except httptools.HttpParserUpgrade:
            pass  # to a protocol that is not spoken here: the request is answered as it is
        except (httptools.HttpParserError, _HeadTooLarge) as error:
            self._refuse(error)
        if self.transport.is_closing() or self._answers:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise _TooManyPipelined
        super().on_headers_complete()
        self._unreported_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._unreported_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unreported_bytes = 0
        super().on_message_complete()

    @property
    def _answers(self) -> bool:
        if self._held is not None:
            return True
        return self._running is not None and not self._running.response_complete

    def give_up(self) -> None:
        """Close the connection: its client had its time."""
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._held is not None:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
            return
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _tell_running(self) -> None:
        # uvicorn tells the newest request only; an older one that still runs would write to what is closed, and fail.
        if self._held is not None:
            held, self._held = self._held, None
            held.lose()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            raise _HeadTooLarge

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.config.request_timeout_seconds, self.give_up)
        self.config.waiting[self] = None

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            del self.config.waiting[self]

    def _refuse(self, error: Exception) -> None:
        running = self._running
        # A request of which the body is broken can still be told so; an older one must not get its answer.
        own = running is not None and running is self.cycle and running.more_body and not running.response_started
        if (own or not self._answers) and not self.transport.is_closing():
            # The parser wraps what a callback raises.
            large = isinstance(error, _HeadTooLarge) or isinstance(error.__context__, _HeadTooLarge)
            self.transport.write(_TOO_LARGE if large else _INVALID)
        self._tell_running()
        self.transport.close()


def _hold(here: "weakref.ref[BoundedProtocol]") -> HeldResponse:
    protocol = here()
    return HeldResponse(None) if protocol is None else protocol.hold()


class _HeadTooLarge(Exception):
    """The head of a request has more than 64 KiB."""


class _TooManyPipelined(Exception):
    """Too many requests came before the first was answered."""


def _answer(status: int, slug: str, title: str, detail: str) -> bytes:
    body = orjson.dumps(problem_body(slug, title, status, detail))
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head.encode() + body


_INVALID = _answer(400, "invalid-http", "The request is not valid HTTP", "What came is not an HTTP/1.1 request.")
_TOO_LARGE = _answer(
    431, "head-too-large", "The head of the request is too large", "URL and headers may have 64 KiB together."
)
