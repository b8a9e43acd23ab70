"""A client that adds little to what it measures: one raw connection, one cheap look at every frame.

It submits a job and follows its stream on the same kept-alive connection, as a browser would. A frame's number and type
come out of one regular expression over all bytes that arrived together; the JSON is never decoded. About 1 µs an event.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Any, cast

import orjson

from loadtests.chunks import take_chunks

_STREAM_END = re.compile(rb"^event: stream\.end\ndata: (\{.*\})$", re.MULTILINE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class ProbeError(Exception):
    """The gateway answered something else than the whole log, once and in order."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a program takes jobs and writes frames; `frame` finds the number and the name of each.

    `gapless`: numbers are 1, 2, 3 and so on, and `stream.end` names the last one. Otherwise they are only different
    from each other, and the stream just closes after the job's last event.
    """

    path: bytes
    frame: re.Pattern[bytes]
    blank_line: bytes
    gapless: bool


# The data line has no raw newline, so that nothing in a result can look like a frame's head.
STAGECAST = Wire(
    b"/v1/jobs", re.compile(rb"^id: [a-z0-9]{8}\.(\d+)\nevent: ([a-z._]+)\n", re.MULTILINE), b"\n\n", gapless=True
)
# sse-starlette ends its lines as the standard's examples do.
PLAIN_WAY = Wire(
    b"/jobs", re.compile(rb"^id: (\d+)\r\nevent: ([a-z._]+)\r\n", re.MULTILINE), b"\r\n\r\n", gapless=False
)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one job's stream brought; the times are `time.perf_counter()` seconds at the arrival of the bytes.

    `arrivals` are (unix microseconds, number of events until then) of each read that brought any.
    """

    sent_at: float
    first_result_at: float
    job_end_at: float
    stream_end_at: float
    results: int
    events: int
    status: str
    session_id: str
    arrivals: tuple[tuple[int, int], ...]


class Probe(asyncio.Protocol):
    """One connection. `watch` may be called again when it has returned."""

    def __init__(self, port: int, wire: Wire = STAGECAST) -> None:
        self._port = port
        self._wire = wire
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._tail = b""
        self._streaming = False
        self._watched: asyncio.Future[Watched] | None = None
        self._sent_at = self._first_result_at = self._job_end_at = self._stream_end_at = 0.0
        self._results = self._seq = 0
        self._numbers: set[bytes] = set()
        self._arrivals: list[tuple[int, int]] = []
        self._status = self._session_id = ""

    async def connect(self) -> None:
        """Open the connection, unless it still is."""
        if self._transport is None or self._transport.is_closing():
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._buffer = b""
        self._streaming = False

    def connection_lost(self, error: Exception | None) -> None:
        if self._watched is not None and not self._watched.done():
            self._watched.set_exception(ProbeError(f"the connection closed after event {self._seq}: {error}"))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def watch(self, body: bytes) -> asyncio.Future[Watched]:
        """Submit the job now; the future ends with its stream. It raises ProbeError for anything lost or doubled."""
        assert self._transport is not None
        self._watched = asyncio.get_running_loop().create_future()
        self._first_result_at = self._job_end_at = self._stream_end_at = 0.0
        self._results = self._seq = 0
        self._numbers, self._arrivals = set(), []
        self._tail = b""
        self._sent_at = time.perf_counter()
        head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (self._wire.path, len(body)) + body)
        return self._watched

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        self._buffer += data
        try:
            while self._take_stream(at) if self._streaming else self._take_response():
                pass
        except (ProbeError, ValueError, KeyError) as error:
            if self._watched is not None and not self._watched.done():
                self._watched.set_exception(ProbeError(str(error)))

    def _take_response(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        status = int(head[9:12])
        length = _LENGTH.search(head)
        if length is not None and len(rest) < int(length[1]):
            return False
        if status == 202 and length is not None:
            self._buffer = rest[int(length[1]) :]
            self._open_stream(orjson.loads(rest[: int(length[1])]))
        elif status == 200 and _CHUNKED.search(head):
            self._buffer = rest
            self._streaming = True
        else:
            raise ProbeError(f"status {status}: {rest[:300]!r}")
        return bool(self._buffer)

    def _open_stream(self, accepted: dict[str, Any]) -> None:
        assert self._transport is not None
        self._session_id = accepted["session_id"]
        url = accepted["events_url"].encode()
        self._transport.write(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n" % url)

    def _take_stream(self, at: float) -> bool:
        chunks = take_chunks(self._buffer)
        self._buffer = chunks.rest
        frames, separator, self._tail = b"".join([self._tail, *chunks.parts]).rpartition(self._wire.blank_line)
        if separator:
            self._take_frames(frames, at)
            self._arrivals.append((time.time_ns() // 1000, self._seq))
        if chunks.ended:
            self._streaming = False
            self._finish()
        return chunks.ended and bool(self._buffer)

    def _take_frames(self, frames: bytes, at: float) -> None:
        for number, name in self._wire.frame.findall(frames):
            self._seq += 1
            if self._wire.gapless:
                if int(number) != self._seq:
                    raise ProbeError(f"event {self._seq} expected, {int(number)} received")
            elif number in self._numbers:
                raise ProbeError(f"event {int(number)} received twice")
            else:
                self._numbers.add(number)
            if name == b"item.updated":
                self._results += 1
                self._first_result_at = self._first_result_at or at
            elif name.startswith(b"job.") and name not in (b"job.accepted", b"job.started"):
                self._job_end_at = at
                self._status = name.removeprefix(b"job.").decode()
        if not self._wire.gapless:
            self._stream_end_at = self._job_end_at
        elif (end := _STREAM_END.search(frames)) is not None:
            self._stream_end_at = at
            self._take_end(orjson.loads(end[1]))

    def _take_end(self, end: dict[str, Any]) -> None:
        if end["head"].rpartition(".")[2] != str(self._seq):
            raise ProbeError(f"the stream ended at {end['head']} after event {self._seq}")
        self._status = end["status"]

    def _finish(self) -> None:
        if not self._stream_end_at:
            raise ProbeError(f"the stream closed after event {self._seq} without its end")
        if self._watched is not None and not self._watched.done():
            self._watched.set_result(
                Watched(
                    self._sent_at,
                    self._first_result_at,
                    self._job_end_at,
                    self._stream_end_at,
                    self._results,
                    self._seq,
                    self._status,
                    self._session_id,
                    tuple(self._arrivals),
                )
            )
