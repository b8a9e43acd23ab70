"""Server-sent events as they stand on the wire. Unlike a browser it hides nothing: an id is that of its own frame."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

# A stream that a test waits for longer than this waits for something that will not come; heartbeats don't extend it.
STREAM_SECONDS = 30.0


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
        self._chunks = response.iter_raw()
        self._rest = b""
        self._deadline = time.monotonic() + STREAM_SECONDS

    def __iter__(self) -> Iterator[Frame]:
        while True:
            while b"\n\n" in self._rest:
                block, _, self._rest = self._rest.partition(b"\n\n")
                frame = parse_frame(block.decode())
                if frame.id is not None:
                    self.durable.append(frame)
                yield frame
            if time.monotonic() > self._deadline:
                raise TimeoutError(f"the stream went on for more than {STREAM_SECONDS:g} s")
            chunk = next(self._chunks, None)
            if chunk is None:
                assert not self._rest, f"the stream was cut inside a frame: {self._rest[-200:]!r}"
                return
            self._rest += chunk

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


def parse_frame(block: str) -> Frame:
    """A block of lines as a frame. Anything but the four fields of the format fails, and so does a comment."""
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        assert name in ("id", "event", "data", "retry"), f"unexpected line {line!r}"
        assert name not in fields, f"a second {name} in one frame: {block[:200]!r}"
        fields[name] = value
    data = json.loads(fields["data"]) if "data" in fields else None
    retry = int(fields["retry"]) if "retry" in fields else None
    return Frame(fields.get("event"), data, fields.get("id"), retry)
