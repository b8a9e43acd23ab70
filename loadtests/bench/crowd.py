"""Thousands of event streams in one process, at a few microseconds a read, with every loss noticed.

One protocol object per stream over one shared receive buffer. A read costs two passes of memchr: the marks in it are
counted, and the number before the last one has to have grown by just that count. Every sixteenth stream is an
*auditor*: it looks at the number of each single event, and keeps when it came, for the latencies. Chunk headers, ids
and event names of a peer are passed over, so that all peers are read alike.
"""

import asyncio
import re
import socket
import struct
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from loadtests.bench.payload import DIGITS, MARK, NUMBERS

BUFFER_BYTES = 1 << 20
AUDITED = 16
# A number that two reads share ends within these bytes, a chunk's header in the middle of it included. (Chunks of a few
# bytes, with many headers in one number, nobody sends.)
TAIL_BYTES = 64
# Between a mark and the next event's number lie at least so many bytes of that event: no number can be cut in them.
SAFE_BYTES = 128
CONNECT_SECONDS = 60.0
CONNECTS_AT_ONCE = 64
# An address has 28,000 ports to connect to one server from; Linux has all of 127.0.0.0/8 for more.
CONNECTIONS_PER_ADDRESS = 20_000
_CHUNK_HEADER = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")


class CrowdError(Exception):
    """A stream was refused, cut, or brought something else than every event once and in order."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a browser of one channel connects to: a port of 127.0.0.1, and the whole request."""

    port: int
    request: bytes
    channel: int = 0


@dataclass(slots=True)
class Tally:
    """What all streams of a crowd have together."""

    events: int = 0
    reads: int = 0
    bytes: int = 0
    opened: int = 0
    failure: str | None = None

    def fail(self, reason: str) -> None:
        """Keep the first thing that went wrong."""
        self.failure = self.failure or reason


class Stream(asyncio.BufferedProtocol):
    """One browser. `last` is the number of the last event that came; events are to be 1, 2, 3...

    `beaten`: something that ended no event has come, as a heartbeat does. Whoever waits for one sets it to False first.
    """

    __slots__ = ("_buffer", "_head", "_opened", "_tail", "_tally", "_target", "_transport", "beaten", "last")

    def __init__(self, target: Target, buffer: bytearray, tally: Tally, first: int = 1) -> None:
        self._target = target
        self._buffer = buffer
        self._tally = tally
        self._tail = b""
        self._head: bytes | None = b""
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last = first - 1
        self.beaten = False

    @property
    def channel(self) -> int:
        """Which channel it follows."""
        return self._target.channel

    @property
    def port(self) -> int:
        """Where it connects to."""
        return self._target.port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._target.request)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"closed by the server after event {self.last}" + (f": {error}" if error else ""))

    async def opened(self) -> None:
        """Wait for the response's head. Raises CrowdError for any other than that of an event stream."""
        await self._opened

    def close(self) -> None:
        """Leave; what the server says to that is no failure."""
        self._tally = Tally()
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, _wanted: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        tally = self._tally
        tally.reads += 1
        tally.bytes += size
        if self._head is not None:
            self._take_head(bytes(self._buffer[:size]))
        else:
            self._take(self._buffer, size)

    def _take(self, buffer: bytearray | bytes, size: int) -> None:
        count = buffer.count(MARK, 0, size)
        if not count:
            self.beaten = True
            self._tail = (self._tail + buffer[:size])[-TAIL_BYTES:]
            return
        end = buffer.rfind(MARK, 0, size)
        try:
            number = int(buffer[end - DIGITS : end]) if end >= DIGITS else self._number_across(buffer[:end])
        except ValueError:  # a chunk's header stands in the middle of it
            number = self._number_across(buffer[max(0, end - TAIL_BYTES) : end])
        self._tail = bytes(buffer[size - TAIL_BYTES : size]) if size - end > SAFE_BYTES else b""
        self._count(count, number)

    def _count(self, count: int, number: int) -> None:
        self.last += count
        self._tally.events += count
        if number != self.last:
            self._fail(f"event {number} where {self.last} was due")

    def _number_across(self, end: bytes | bytearray) -> int:
        whole = _CHUNK_HEADER.sub(b"", self._tail + end)
        try:
            return int(whole[-DIGITS:])
        except ValueError:
            return -1

    def _take_head(self, data: bytes) -> None:
        self._head = (self._head or b"") + data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if not lower.startswith(b"http/1.1 200") or b"text/event-stream" not in lower:
            self._fail(f"no event stream: {self._head[:300]!r}")
            return
        self._head = None
        self._tally.opened += 1
        if not self._opened.done():
            self._opened.set_result(None)
        if rest:
            self._take(b"\r\n" + rest, len(rest) + 2)

    def _fail(self, reason: str) -> None:
        reason = f"channel {self._target.channel}: {reason}"
        self._tally.fail(reason)
        if not self._opened.done():
            self._opened.set_exception(CrowdError(reason))


class Auditor(Stream):
    """A browser that looks at each event. `times` are the moments of arrival (monotonic ns) of events 1, 2, 3..."""

    __slots__ = ("_rest", "times")

    def __init__(self, target: Target, buffer: bytearray, tally: Tally, first: int = 1) -> None:
        super().__init__(target, buffer, tally, first)
        self._rest = b""
        self.times = array("q")

    def _take(self, buffer: bytearray | bytes, size: int) -> None:
        now = time.monotonic_ns()
        data = self._rest + buffer[:size]
        end = data.rfind(MARK) + 1
        self._rest = data[end:]
        if not end:
            self.beaten = True
            return
        numbers = NUMBERS.findall(_CHUNK_HEADER.sub(b"", data[:end]))
        for number in numbers:
            self._count(1, int(number))
        if (marks := data.count(MARK, 0, end)) != len(numbers):
            self._fail(f"{marks} events came, {len(numbers)} of them readable")
        self.times.extend([now] * len(numbers))


class Crowd:
    """All browsers of a run: `browsers` for each target, in the order browser by browser over all targets."""

    def __init__(self, targets: Sequence[Target], browsers: int, *, first: int = 1, audited: int = AUDITED) -> None:
        self.tally = Tally()
        buffer = bytearray(BUFFER_BYTES)
        self.streams = [
            (Auditor if (place * len(targets) + index) % audited == 0 else Stream)(target, buffer, self.tally, first)
            for place in range(browsers)
            for index, target in enumerate(targets)
        ]

    async def connect(self, at_once: int = CONNECTS_AT_ONCE) -> None:
        """Open all streams, some at a time, and wait for every response's head. Raises CrowdError."""
        gate = asyncio.Semaphore(at_once)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.gather(*[self._open(place, stream, gate) for place, stream in enumerate(self.streams)])

    async def _open(self, place: int, stream: Stream, gate: asyncio.Semaphore) -> None:
        async with gate:
            made = socket.socket()
            made.setblocking(False)
            # Closed by a reset: thousands of connections in TIME_WAIT would leave the next rounds without ports.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if place >= CONNECTIONS_PER_ADDRESS:
                made.bind((f"127.0.0.{1 + place // CONNECTIONS_PER_ADDRESS}", 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(made, ("127.0.0.1", stream.port))
            await loop.create_connection(lambda: stream, sock=made)
            await stream.opened()

    async def complete(self, events: Sequence[int], seconds: float, *, first: int = 1) -> None:
        """Wait until every stream stands at `events[channel]`, coming from `first`. Raises CrowdError when not."""
        wanted = sum(events[stream.channel] + 1 - first for stream in self.streams)
        deadline = time.monotonic() + seconds
        # An asyncio.Event would cost something in every read.
        while self.tally.events < wanted and time.monotonic() < deadline and self.tally.failure is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self.check(events)

    def check(self, events: Sequence[int]) -> None:
        """Raise CrowdError unless every stream stands at its channel's last event and nothing went wrong on the way."""
        if self.tally.failure is not None:
            raise CrowdError(self.tally.failure)
        wrong = [stream for stream in self.streams if stream.last != events[stream.channel]]
        if wrong:
            one = wrong[0]
            raise CrowdError(
                f"{len(wrong)} of {len(self.streams)} streams are not complete; one of channel {one.channel} has "
                f"{one.last} of {events[one.channel]} events"
            )

    def close(self) -> None:
        """Everybody leaves."""
        for stream in self.streams:
            stream.close()
