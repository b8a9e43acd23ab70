"""Splits the bytes of a response into server-sent events: the rules of the HTML standard, within bounds.

httpx-sse is not used, because it
1. keeps a line that never ends, and an event that never ends, without a bound (one bad proxy could fill the memory);
2. decodes by the charset of the response, where the standard says UTF-8 always;
3. takes a byte order mark for a part of the first field, and `-5` or `1_000` for a `retry`;
4. reads through the decoders of httpx, so that a few compressed bytes could become gigabytes.
"""

from collections.abc import Iterator

import msgspec

# A session's snapshot holds up to about 2,000 rows; an event has at most 1 MiB unless the operator wants it otherwise.
MOST_FRAME_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
# 11 days in milliseconds; whatever has more digits is no pause.
_MOST_RETRY_DIGITS = 9


class FrameTooLarge(Exception):
    """An event was larger than what is kept in memory for one."""


class Frame(msgspec.Struct, frozen=True):
    """One block of a stream. `id` is the frame's own, None when it has none; `event` and `data` may be empty."""

    event: str
    data: str
    id: str | None
    retry: int | None


class FrameDecoder:
    """Bytes in, whole frames out. What has not got its blank line yet is never given out."""

    def __init__(self, most_bytes: int = MOST_FRAME_BYTES) -> None:
        self._most = most_bytes
        self._line: list[bytes] = []
        self._size = 0
        self._first_line = True
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that this chunk completes. Iterate to the end before the next one. Raises FrameTooLarge."""
        if not chunk:
            return
        after_cr, self._after_cr = self._after_cr, chunk.endswith(b"\r")
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF that was split
        for part in chunk.splitlines(keepends=True):  # of bytes: at CR, LF and CR LF only
            self._line.append(part)
            self._size += len(part)
            if self._size > self._most:
                raise FrameTooLarge(f"an event of more than {self._most} bytes")
            if part.endswith((b"\n", b"\r")):
                line = b"".join(self._line).rstrip(b"\r\n")
                self._line.clear()
                if frame := self._end_line(line):
                    yield frame

    def _end_line(self, line: bytes) -> Frame | None:
        if self._first_line:
            line, self._first_line = line.removeprefix(_BOM), False
        if line:
            name, _, value = line.partition(b":")
            self._set(name, value.removeprefix(b" "))
            return None
        frame = Frame(self._event, "\n".join(self._data), self._id, self._retry)
        self._clear()
        return frame if frame.event or frame.data or frame.id is not None or frame.retry is not None else None

    def _set(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value.decode(errors="replace"))
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MOST_RETRY_DIGITS:
            self._retry = int(value)

    def _clear(self) -> None:
        self._event = ""
        self._data.clear()
        self._id = self._retry = None
        self._size = 0
