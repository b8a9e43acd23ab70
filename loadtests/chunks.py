"""HTTP/1.1's chunked bodies, as far as clients of our own gateway need them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunks:
    """What a buffer held: the whole chunks in it, the bytes after them, and whether the body's last chunk was there."""

    parts: list[bytes]
    rest: bytes
    ended: bool


def take_chunks(buffer: bytes) -> Chunks:
    """Cut off all chunks that have come whole. Raises ValueError for a size that is no number."""
    parts, place = [], 0
    while (line_end := buffer.find(b"\r\n", place)) >= 0:
        size = int(buffer[place:line_end], 16)
        if len(buffer) < line_end + size + 4:
            break
        parts.append(buffer[line_end + 2 : line_end + 2 + size])
        place = line_end + size + 4
        if size == 0:
            return Chunks(parts, buffer[place:], True)
    return Chunks(parts, buffer[place:], False)
