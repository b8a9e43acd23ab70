"""Server-sent events as they stand on the wire. Unlike a browser it forgives nothing and hides nothing.

A browser accepts three line ends, comments, several `data` lines and fields it does not know. The contract sends none
of them: UTF-8, LF, the four fields at most once with one space after the colon, a block of lines and one empty line.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

# A stream that a test waits for longer than this waits for something that will not come; heartbeats don't extend it.
STREAM_SECONDS = 30.0
DURABLE = frozenset(
    "job.accepted job.started stage.started item.updated stage.retrying stage.recovering stage.completed stage.failed"
    " stage.cancelled job.completed job.completed_partial job.failed job.cancelled".split()
)
CONTROL = frozenset("stream.open stream.head stream.snapshot stream.reset stream.end stream.drain stream.busy".split())
_ID = re.compile(r"[a-z0-9]{8}\.[1-9][0-9]*")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Frame:
    """One block of a stream: a durable event (with an id), a control frame (without), or a bare `retry:`."""

    event: str | None
    data: Any
    id: str | None
    retry: int | None

    @property
    def seq(self) -> int:
        """The number behind the epoch of a durable event."""
        assert self.id is not None, f"{self.event} has no id"
        return int(self.id.rpartition(".")[2])


class StreamReader:
    """Reads the frames of one response. Iterating ends when the server closes; a cut inside a frame is an error."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.durable: list[Frame] = []
        self.raw = bytearray()
        self._chunks = response.iter_raw()
        self._read = 0
        self._deadline = time.monotonic() + STREAM_SECONDS

    def __iter__(self) -> Iterator[Frame]:
        while True:
            while (end := self.raw.find(b"\n\n", self._read)) >= 0:
                block, self._read = bytes(self.raw[self._read : end]), end + 2
                frame = parse_frame(block)
                if frame.id is not None:
                    self.durable.append(frame)
                yield frame
            if time.monotonic() > self._deadline:
                raise TimeoutError(f"the stream went on for more than {STREAM_SECONDS:g} s")
            chunk = next(self._chunks, None)
            if chunk is None:
                rest = bytes(self.raw[self._read :])
                assert not rest, f"the stream was cut inside a frame: {rest[-200:]!r}"
                return
            self.raw += chunk

    def read_until(self, wanted: str | Callable[[Frame], bool]) -> list[Frame]:
        """The frames up to the first that is wanted (an event's name, or a condition), which is the last of them."""
        found: list[Frame] = []
        for frame in self:
            found.append(frame)
            if frame.event == wanted if isinstance(wanted, str) else wanted(frame):
                return found
        raise AssertionError(f"the stream closed before {wanted}; it had {[frame.event for frame in found]}")

    def read_all(self) -> list[Frame]:
        """All frames until the server closes."""
        return list(self)


def parse_frame(block: bytes) -> Frame:
    """A block of lines, without the empty line that ends it, as a frame. AssertionError says which rule it breaks."""
    assert b"\r" not in block, f"a carriage return in {block[:200]!r}"
    assert b"\0" not in block, f"a NUL in {block[:200]!r}"
    assert not block.startswith(b"\xef\xbb\xbf"), "a byte order mark"
    fields: dict[str, str] = {}
    for line in block.decode("utf-8").split("\n"):
        name, colon, value = line.partition(": ")
        assert name in ("id", "event", "data", "retry"), f"unexpected line {line!r}"
        assert colon, f"no colon and space in {line!r}"
        assert name not in fields, f"a second {name} in one frame: {block[:200]!r}"
        fields[name] = value
    event, event_id, retry = fields.get("event"), fields.get("id"), fields.get("retry")
    if event is None:
        assert set(fields) == {"retry"}, f"a frame without a name: {block[:200]!r}"
    else:
        assert event in DURABLE | CONTROL, f"an event that is not in the contract: {event!r}"
        assert (event_id is not None) == (event in DURABLE), f"{event} with the id {event_id!r}"
        assert "data" in fields, f"{event} without data"
    assert event_id is None or _ID.fullmatch(event_id), f"not an id: {event_id!r}"
    assert retry is None or _DIGITS.fullmatch(retry), f"not a delay: {retry!r}"
    data = json.loads(fields["data"], parse_constant=_refuse_constant) if "data" in fields else None
    assert data is None or isinstance(data, dict), f"{event}: data is not an object"
    return Frame(event, data, event_id, int(retry) if retry else None)


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
