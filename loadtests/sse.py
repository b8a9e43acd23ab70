"""An incremental reader of `text/event-stream`, as the HTML standard defines it.

The bytes may be cut anywhere: in a character, between CR and LF, in a field's name. An event exists only once its blank
line has come; what a broken connection leaves behind is nobody's, and its id does not count for the resume.
"""

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event. `id` is the last id seen so far on the connection, as a browser gives it to the page."""

    type: str
    data: str
    id: str


class SseReader:
    """Reads one connection; a reconnect takes a new reader with the last id of the old one.

    `last_event_id` is what a reconnect sends. `retry_ms` is what the server asked for, None as long as it did not.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self._rest = b""
        self._at_start = True
        self._ended_with_cr = False
        self._type = ""
        self._data: list[str] = []
        self._id = last_event_id

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events that they complete."""
        if not chunk:
            return []
        if self._ended_with_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CRLF whose line has been taken already
        self._ended_with_cr = False
        buffer = self._rest + chunk
        *lines, self._rest = _LINE_END.split(buffer)
        self._ended_with_cr = buffer.endswith(b"\r")
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events = []
        for line in lines:
            if line:
                self._take_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _take_field(self, line: bytes) -> None:
        name, _, raw = line.partition(b":")  # a comment has an empty name
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if "\0" not in value:
                self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> SseEvent | None:
        self.last_event_id = self._id
        event_type, data = self._type or "message", self._data
        self._type, self._data = "", []
        # The standard drops an event whose data is empty: without a `data` field, or with nothing in its only one.
        if not data or data == [""]:
            return None
        return SseEvent(event_type, "\n".join(data), self.last_event_id)
