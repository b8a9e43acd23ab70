"""What travels from the process that commits to every process with browsers: whole runs of a session's events.

The bus is transport only. It may lose, repeat or reorder messages; channels notice by the sequence numbers and read the
log instead.
"""

import struct
from collections.abc import Sequence
from typing import Protocol

import msgspec


# gc=False: neither can be part of a cycle, and the collector need not look at thousands of them.
class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event as the log stores it: whose job, its wire name, and its JSON."""

    job_id: str
    type: str
    data: bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """Consecutive events of one session, numbered from `first_seq`.

    `committed_at_us` is when their transaction numbered them, just before its COMMIT, in unix microseconds; or 0.
    """

    session_id: str
    epoch: str
    first_seq: int
    entries: tuple[Entry, ...]
    committed_at_us: int = 0


class BusListener(Protocol):
    """What a hub offers to its bus. Both are called from the event loop and must not block."""

    def receive(self, message: Message) -> None:
        """A message arrived for a subscribed session."""
        ...

    def gap_possible(self) -> None:
        """Messages may have been lost without a trace (the transport was away and is back)."""
        ...


class Bus(Protocol):
    """Publish to and subscribe to sessions.

    Publishing never raises for a transport that is away: it drops and counts.
    """

    async def start(self, listener: BusListener) -> None: ...

    def publish(self, messages: Sequence[Message]) -> None: ...

    async def subscribe(self, session_id: str) -> None:
        """Return once messages published from now on will arrive, or, with the transport away, after a bounded wait."""
        ...

    async def unsubscribe(self, session_id: str) -> None: ...

    async def ping(self) -> bool:
        """Whether the transport works right now."""
        ...

    async def close(self) -> None: ...


_HEADER = struct.Struct("!B8s8sQQI")
_ORIGIN = slice(1, 9)
_ENTRY = struct.Struct("!26sBI")
_VERSION = 2
NOBODY = bytes(8)


def origin_of(payload: bytes) -> bytes:
    """Which process encoded a message: the eight bytes that it chose for itself."""
    return payload[_ORIGIN]


def encode_message(message: Message, origin: bytes = NOBODY) -> bytes:
    """Bytes of a message: version, origin, epoch, first seq, commit time, count; then for each event job id, name
    length, data length; then the names and data. The session is the channel's name and is not repeated."""
    epoch, count = message.epoch.encode(), len(message.entries)
    head = [_HEADER.pack(_VERSION, origin, epoch, message.first_seq, message.committed_at_us, count)]
    body: list[bytes] = []
    for entry in message.entries:
        name = entry.type.encode()
        head.append(_ENTRY.pack(entry.job_id.encode(), len(name), len(entry.data)))
        body += (name, entry.data)
    return b"".join(head + body)


def decode_message(session_id: str, payload: bytes) -> Message:
    """The message back from its bytes. Raises ValueError when they are not one."""
    try:
        version, _origin, epoch, first_seq, committed_at_us, count = _HEADER.unpack_from(payload)
        if version != _VERSION:
            raise ValueError(f"bus message of version {version}, this process speaks {_VERSION}")
        at = _HEADER.size + count * _ENTRY.size
        if at > len(payload):
            raise ValueError("bus message is cut short")
        entries = []
        for job_id, name_length, length in _ENTRY.iter_unpack(payload[_HEADER.size : at]):
            data_at = at + name_length
            end = data_at + length
            entries.append(Entry(job_id.decode(), payload[at:data_at].decode(), payload[data_at:end]))
            at = end
        if at != len(payload):
            raise ValueError("bus message has the wrong length")
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a bus message: {error}") from error
    return Message(session_id, epoch.decode(), first_seq, tuple(entries), committed_at_us)
