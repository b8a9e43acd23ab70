"""The rules of the wire protocol for whoever follows a stream: what a frame means, given what is held already.

No input or output in here: `gateway.client.stream` brings the frames and keeps the connection.
"""

from abc import ABC, abstractmethod
from typing import Any

import msgspec

from gateway.client.events import Event, EventId, Snapshot, parse_id
from gateway.client.frames import Frame

# A hole that is still there after as many new connections is not healed by one more: a snapshot is.
MOST_REPAIRS = 3


class Interrupted(Exception):
    """The connection is of no more use, and the stream has not ended: the next connection goes on.

    `asked_ms` is how long the server wants us to stay away, at least.
    """

    def __init__(self, reason: str, asked_ms: float = 0.0) -> None:
        self.asked_ms = asked_ms
        super().__init__(reason)


class Tracker(ABC):
    """Where a follower stands. `take` every frame of a connection, after a `begin` for each connection.

    `position` is the last event that was handed out and `head` the newest that the server has spoken of. `proven` is
    true while nothing came after a head that named exactly what we hold. `from_snapshot`: the position is of no use,
    the next connection has to ask for a snapshot.
    """

    def __init__(self, position: EventId | None) -> None:
        self.position = position
        self.head: EventId | None = None
        self.status: str | None = None
        self.ended = False
        self.proven = False
        self.from_snapshot = False
        self.received = 0
        self.repeated = 0
        self.connections = 0
        self.gaps = 0
        self.snapshots = 0
        self.since_snapshot = 0
        self.start = position
        self._opened = False
        self._wants_snapshot = False
        self._repairs = 0

    @property
    def complete(self) -> bool:
        """Whether we hold all that the server has spoken of."""
        known = self.head is not None and not self.from_snapshot and not self._wants_snapshot
        return known and self.holds(self.head)

    @property
    def gapless(self) -> bool:
        """Whether the events were numbered without a hole from where they began, without help of a snapshot."""
        start = self.start.seq if self.start else 0
        return not self.snapshots and self.position is not None and self.position.seq - start == self.received

    def holds(self, head: EventId | None) -> bool:
        """Whether nothing is missing up to this head."""
        if head is None or self.position is None:
            return head is not None and head.seq == 0
        return self.position == head

    def begin(self) -> None:
        """A new connection: nothing that the last one left open is valid any more."""
        self._opened = self.proven = False
        self._wants_snapshot = self.from_snapshot

    def take(self, frame: Frame) -> Event | Snapshot | None:
        """What the frame brings for the caller. Raises Interrupted."""
        self.proven = False
        try:
            # Frames of no known kind are for newer clients: those without an id would not be missed.
            if not frame.data or (frame.id is None and not frame.event.startswith("stream.")):
                return None
            data = msgspec.json.decode(frame.data, type=dict[str, Any])
            if frame.event.startswith("stream."):
                return self._control(frame.event, data)
            return self._durable(Event(parse_id(frame.id or ""), frame.event, data))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._gap(f"a frame could not be read ({frame.event[:64] or 'message'}: {error})") from error

    @abstractmethod
    def check_order(self, event: Event) -> None:
        """Raise Interrupted when this new event can't be the next one."""

    def _durable(self, event: Event) -> Event | None:
        if not self._opened or self._wants_snapshot:
            raise self._lost("an event came where a snapshot was due" if self._opened else "an event came unannounced")
        last = self.position
        if any(place.epoch != event.id.epoch for place in (self.head, last) if place):
            raise self._lost("an event of another log came without a reset")
        if last is not None and event.id.seq <= last.seq:
            self.repeated += 1
            return None
        self.check_order(event)
        self.position = event.id
        self.received += 1
        self.since_snapshot += 1
        self._repairs = 0
        if self.head is None or event.id.seq > self.head.seq:
            self.head = event.id
        self.status = _ENDINGS.get(event.type)
        return event

    def _control(self, name: str, data: dict[str, Any]) -> Snapshot | None:
        match name:
            case "stream.open":
                self.head, self._opened = parse_id(data["head"]), True
                self.connections += 1
                if data["outcome"] != "reset" and not self._wants_snapshot:
                    self._check_epoch()
            case "stream.reset":
                # The position stays until the snapshot is here: without it, the next connection asks again.
                self.head, self._wants_snapshot = parse_id(data["head"]), True
            case "stream.head":
                self._prove(data)
                self.proven = True
            case "stream.snapshot":
                self.position = self.head = parse_id(data["head"])
                self.snapshots += 1
                self.since_snapshot = self._repairs = 0
                self.from_snapshot = self._wants_snapshot = False
                self.status = _ENDINGS.get(f"job.{data.get('status')}")
                return Snapshot(self.position, data)
            case "stream.end":
                self.end(data)
            case "stream.busy":
                raise Interrupted("the server is busy", float(data["retry_ms"]))
            case "stream.drain":
                raise Interrupted("the server is stopping", float(data["retry_ms"]))
        return None

    @abstractmethod
    def end(self, data: dict[str, Any]) -> None:
        """Take the frame `stream.end`. Raises Interrupted when something is missing before it."""

    def finish(self) -> bool:
        """The answer 204: there is nothing more. Gives whether that can be."""
        return False

    def _prove(self, data: dict[str, Any]) -> None:
        if not self._opened or self._wants_snapshot:
            raise self._lost("a head came where a snapshot was due" if self._opened else "a head came unannounced")
        self.head = parse_id(data["head"])
        self._check_epoch()
        if not self.holds(self.head):
            raise self._gap(f"the server has sent {self.head}, and we are at {self.position or 'the start'}")

    def _check_epoch(self) -> None:
        if self.position and self.head and self.position.epoch != self.head.epoch:
            raise self._lost("the stream goes on in another log without a reset")

    def _gap(self, reason: str) -> Interrupted:
        self.gaps += 1
        self._repairs += 1
        if self._repairs > MOST_REPAIRS:
            self.from_snapshot = True
        return Interrupted(reason)

    def _lost(self, reason: str) -> Interrupted:
        self.from_snapshot = True
        return Interrupted(reason)


class JobTracker(Tracker):
    """A job's numbers may skip: those between belong to the session's other jobs. Its head says when all is here."""

    @property
    def complete(self) -> bool:
        """Whether the stream has ended and its head is what we hold: nothing is missing."""
        return self.ended and self.position is not None and self.holds(self.head)

    def holds(self, head: EventId | None) -> bool:
        """Whether nothing is missing up to this head. The caller may have begun at a later event of another job."""
        if head is None or self.position is None or self.position != self.start:
            return super().holds(head)
        return head.epoch == self.start.epoch and head.seq <= self.start.seq

    def check_order(self, event: Event) -> None:
        """A replay whose beginning is no longer in the log can't be folded; a snapshot can."""
        if self.position is None and event.type != "job.accepted":
            raise self._lost("the log no longer has the job's beginning")

    def end(self, data: dict[str, Any]) -> None:
        """The job has ended: complete if its head is what we hold."""
        self._prove(data)
        self.status, self.ended = str(data["status"]), True

    def finish(self) -> bool:
        """The job has ended, and the server has nothing after our position."""
        if self.position is None or self.from_snapshot:
            return False
        self.head, self.ended = self.position, True
        return True


class SessionTracker(Tracker):
    """A session's numbers never skip: a hole is seen at the first event behind it."""

    def check_order(self, event: Event) -> None:
        """The next number, or a gap."""
        if self.position is None and event.id.seq != 1:
            raise self._lost("the log no longer has the session's beginning")
        if self.position is not None and event.id.seq != self.position.seq + 1:
            raise self._gap(f"{event.id} came after {self.position}")

    def end(self, data: dict[str, Any]) -> None:
        """A session has no end: whoever says so has nothing to tell us."""


_ENDINGS = {f"job.{status}": status for status in ("completed", "completed_partial", "failed", "cancelled")}
