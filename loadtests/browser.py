"""A browser's EventSource on a bare connection, so cheap that one process holds thousands: about 2 µs an event.

It does what a browser does: takes only frames that came whole, keeps the last id, comes back after `retry` with that id
(or what `stream.busy` and `stream.drain` say), treats 204 and `stream.end` as the end, and every other status than 200
as final. It keeps a ledger of all its connections, to be held against the log at the end.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import orjson

from loadtests.chunks import take_chunks
from loadtests.ledger import Irregularities, Ledger

CONNECT_SECONDS = 30.0
# What Chromium waits when the server has not said anything yet.
DEFAULT_RETRY_MS = 3000

# One pass over all frames that arrived together, in their order. A data line holds no raw newline, so that nothing in a
# result can look like a frame.
_FRAME = re.compile(
    rb"^(?:id: ([a-z0-9]{8})\.(\d+)\nevent: ([a-z._]+)|event: (stream\.[a-z]+)\ndata: (.*)|retry: (\d+))$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Parting:
    """An end of a connection after which the browser came back. Times are `time.perf_counter()` seconds.

    `kind` is `drain`, `busy`, `closed` (a clean end without a word), `cut` (an end in the middle) or `refused` (nobody
    listened). `wait_ms` is what the server asked the browser to wait.
    """

    kind: str
    at: float
    wait_ms: int
    back_at: float


class Browser:
    """Follows one stream until its end, or until `leave`.

    `goal` is a number: `reached_at` says when it was there, and with `leaves` the browser goes then.
    """

    def __init__(
        self, port: int, path: str, position: str = "", *, goal: int | None = None, leaves: bool = False
    ) -> None:
        self.port = port
        self.path = path
        self.epoch, _, number = position.rpartition(".")
        self.last = int(number or 0)
        self.connections = self.resets = self.heads = self.unproven = 0
        self.partings: list[Parting] = []
        self.ended: str | None = None
        self.failure: str | None = None
        self.reached_at: float | None = None
        self.ended_at: float | None = None
        self._goal = goal
        self._leaves = leaves
        self._ledgers = [self._new_ledger()]
        self._retry_ms = DEFAULT_RETRY_MS
        self._parting: tuple[str, int] | None = None
        self._line: _Line | None = None
        self._left = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether there will be no further connection."""
        return self.ended is not None or self.failure is not None or self._left.is_set()

    @property
    def refusals(self) -> list[Parting]:
        """The connections that `stream.busy` answered."""
        return [parting for parting in self.partings if parting.kind == "busy"]

    async def follow(self) -> None:
        """Connect, read, come back. Returns when it is over; `failure` says why when that was not the stream's end."""
        while not self.over:
            kind, wait_ms = await self._connect()
            at = time.perf_counter()
            await self._pause(wait_ms)
            if not self.over:
                self.partings.append(Parting(kind, at, wait_ms, time.perf_counter()))

    def leave(self) -> None:
        """Close the page."""
        self._left.set()
        self.drop()

    def drop(self) -> None:
        """Lose the connection, as on a train; `follow` comes back."""
        if self._line is not None:
            self._line.abort()

    def check(self, numbers: Iterable[int]) -> Irregularities:
        """Hold what came against the numbers that the followed stream has; what was known at the start is left out."""
        wanted = sorted(numbers)
        *earlier, newest = self._ledgers
        checks = [ledger.close([seq for seq in wanted if seq <= ledger.last]) for ledger in earlier]
        return sum_up([*checks, newest.close(wanted)])

    async def _pause(self, milliseconds: int) -> None:
        if not self.over:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), milliseconds / 1000)

    async def _connect(self) -> tuple[str, int]:
        line = self._line = _Line(self)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: line, "127.0.0.1", self.port)
        except (OSError, TimeoutError):
            return "refused", self._retry_ms
        self.connections += 1
        try:
            await line.closed
        finally:
            line.abort()
        if self._parting is not None:
            return self._parting
        return "closed" if line.clean else "cut", self._retry_ms

    def request(self) -> bytes:
        """The request of a connection that begins now."""
        self._parting = None
        resume = b"Last-Event-ID: %b.%d\r\n" % (self.epoch.encode(), self.last) if self.epoch else b""
        head = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n%b\r\n"
        return head % (self.path.encode(), resume)

    def take_status(self, status: int, head: bytes) -> bool:
        """Whether a stream follows. Anything but a stream is the end for a browser."""
        if status == 204:
            self._end("204")
        elif status != 200 or b"text/event-stream" not in head.lower():
            self.failure = f"status {status}: {head[-300:]!r}"
        return not self.over

    def take(self, frames: bytes) -> None:
        """Take frames that came whole."""
        ledger = self._ledgers[-1]
        for epoch, number, _name, control, data, retry in _FRAME.findall(frames):
            if number:
                seq = int(number)
                if not self.epoch:
                    self.epoch = epoch.decode()
                elif epoch.decode() != self.epoch:
                    self.failure = f"event {seq} of epoch {epoch.decode()} without a reset"
                    return
                ledger.take(seq)
                self.last = max(self.last, seq)
            elif control:
                self._take_control(control.decode(), orjson.loads(data))
                ledger = self._ledgers[-1]
            else:
                self._retry_ms = int(retry)
        if self._goal is not None and self.reached_at is None and self.last >= self._goal:
            self.reached_at = time.perf_counter()
            if self._leaves:
                self._left.set()

    def _take_control(self, name: str, body: dict[str, object]) -> None:
        match name:
            case "stream.snapshot":
                self.epoch, _, number = str(body["head"]).rpartition(".")
                self.last = int(number)
                self._ledgers.append(self._new_ledger())
            case "stream.reset":
                self.resets += 1
            case "stream.busy" | "stream.drain":
                self._parting = (name.removeprefix("stream."), cast(int, body["retry_ms"]))
            case "stream.head" | "stream.end":
                self.heads += 1
                # The proof: it names the last event of what is followed, so nothing may be missing before it.
                self.unproven += int(str(body["head"]).rpartition(".")[2]) > self.last
                if name == "stream.end":
                    self._end(str(body["status"]))

    def _end(self, status: str) -> None:
        self.ended = status
        self.ended_at = time.perf_counter()
        self.reached_at = self.reached_at or self.ended_at

    def _new_ledger(self) -> Ledger:
        ledger = Ledger()
        ledger.cover(self.last)
        return ledger


class _Line(asyncio.Protocol):
    """One connection of a browser: the answer's head, then chunks, then whole frames."""

    def __init__(self, browser: Browser) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.clean = False
        self._browser = browser
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._tail = b""
        self._streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._transport.write(self._browser.request())

    def connection_lost(self, _error: Exception | None) -> None:
        self._close()

    def abort(self) -> None:
        """Close at once; what is on its way is lost, as in a network that breaks."""
        if self._transport is not None:
            self._transport.abort()
        self._close()

    def data_received(self, data: bytes) -> None:
        if self.closed.done():
            return
        self._buffer += data
        try:
            if self._streaming or self._take_head():
                self._take_body()
        except ValueError as error:
            self._browser.failure = f"not HTTP: {error}"
        if self.clean or self._browser.over:
            self.abort()

    def _take_head(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        self._streaming = self._browser.take_status(int(head[9:12]), head)
        self._buffer = rest
        return self._streaming

    def _take_body(self) -> None:
        chunks = take_chunks(self._buffer)
        self._buffer = chunks.rest
        frames, separator, self._tail = b"".join([self._tail, *chunks.parts]).rpartition(b"\n\n")
        if separator:
            self._browser.take(frames)
        self.clean = chunks.ended

    def _close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def sum_up(checks: Iterable[Irregularities]) -> Irregularities:
    """All of them together."""
    found = list(checks)
    return Irregularities(
        lost=sum(one.lost for one in found),
        doubled=sum(one.doubled for one in found),
        reordered=sum(one.reordered for one in found),
        foreign=sum(one.foreign for one in found),
    )
