"""Frames on their way from a log to a socket: single events as they are kept, and what one write takes of them."""

from collections.abc import Iterable

import msgspec

from gateway.streaming.frames import TERMINAL_TYPES, event_frame
from infra.bus.base import Entry

# What one connection holds of the log at most, one event more at the most: a browser that stops reading keeps this and
# its socket's buffer, whatever the log holds for it.
MOST_BATCH_BYTES = 262_144


# gc=False: none of these can be part of a cycle, and rings hold them by the ten thousand for the collector to look at.
class Kept(msgspec.Struct, frozen=True, gc=False):
    """One event, ready to be written. `terminal`: the job's status if it ended a run; commit time in unix µs, or 0."""

    seq: int
    job_id: str
    terminal: str | None
    frame: bytes
    committed_at_us: int


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Frames to write in one go, as a chunk of an HTTP/1.1 body that all who get them share.

    `last_seq` is where the cursor stands after them (filtered events count as passed), `last_event` the number of the
    last event in it (0: none) and `terminal` the job's status if that one ended a run. `committed_at_us` is the first
    event's commit time, 0 for a replay.
    """

    chunk: bytes
    count: int
    last_seq: int
    last_event: int = 0
    terminal: str | None = None
    committed_at_us: int = 0

    @property
    def frames(self) -> bytes:
        """The frames by themselves: a copy."""
        return unchunked(self.chunk)


def chunked(frames: bytes) -> bytes:
    """Frames as one chunk of an HTTP/1.1 body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(frames), frames)


def unchunked(chunk: bytes) -> bytes:
    """The frames in a chunk: a copy."""
    return chunk[chunk.index(b"\n") + 1 : -2] if chunk else b""


def keep(epoch: str, seq: int, entry: Entry, committed_at_us: int = 0) -> Kept:
    """An event of the log with its frame."""
    frame = event_frame(epoch, seq, entry)
    return Kept(seq, entry.job_id, TERMINAL_TYPES.get(entry.type), frame, committed_at_us)


def gather(events: Iterable[Kept], reached: int, job_id: str | None) -> Batch:
    """The frames of one job (None: of all), in order, as many as fit; the rest is for the next batch."""
    parts = [b""]  # the chunk's length, once it is known
    size = 0
    first = last = None
    for one in events:
        if job_id is not None and one.job_id != job_id:
            continue
        length = len(one.frame)
        if size and size + length > MOST_BATCH_BYTES:
            reached = one.seq - 1
            break
        size += length
        parts.append(one.frame)
        first, last = first or one, one
    if first is None or last is None:
        return Batch(b"", 0, reached)
    parts[0] = b"%x\r\n" % size
    parts.append(b"\r\n")
    return Batch(b"".join(parts), len(parts) - 2, reached, last.seq, last.terminal, first.committed_at_us)
