"""Follows one stream by the project's own Python client, and remembers everything that it was handed."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.client.address import JobAddress, SessionAddress
from gateway.client.backoff import Backoff
from gateway.client.errors import ClientError
from gateway.client.stream import Event, JobStream, Link, SessionStream, Snapshot
from tests.faults.harness.history import History, Replaced, Seen

# Three heartbeats of a world.
SILENCE_SECONDS = 3.0
# A browser's pauses grow to a quarter of a minute; here they stay short, so that the recovery is the server's.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0


class Record(msgspec.Struct, frozen=True):
    """What happened to a viewer (neither: only its connection changed), and its counters then."""

    seen: Seen | None
    replaced: Replaced | None
    live: bool
    connections: int
    repeated: int
    gaps: int
    complete: bool


class Recorder:
    """Follows one stream and writes down what comes; `take` gets every record at once, for whoever keeps it outside."""

    def __init__(self, history: History, take: Callable[[Record], None] | None = None) -> None:
        self.history = history
        self.live = False
        self._take = take or (lambda record: None)
        self._stream: JobStream | SessionStream | None = None

    async def follow(self, base: str, token: str) -> None:
        """Until the stream ends (a job's), or for ever (a session's). A final refusal is written down as a failure."""
        history = self.history
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        options: dict[str, Any] = {"silence_seconds": SILENCE_SECONDS, "backoff": backoff, "on_link": self._link}
        stream: JobStream | SessionStream
        if history.job_id is not None:
            stream = JobStream(JobAddress(base, history.job_id, token), **options)
        else:
            stream = SessionStream(SessionAddress(base, history.session_id, token), **options)
        self._stream = stream
        history.opened_at = time.monotonic()
        try:
            async for item in stream.events():
                self._add(item)
        except ClientError as error:
            history.failure = f"{type(error).__name__}: {error}"
        finally:
            self.live = False
            self.settle()

    def settle(self) -> None:
        """Bring the client's own counters into the history."""
        if self._stream is not None:
            self.history.repeated = self._stream.repeated
            self.history.gaps = self._stream.gaps
            self.history.complete = self._stream.complete
        self.history.closed_at = time.monotonic()

    def _link(self, link: Link) -> None:
        self.live = link.state == "live"
        if self.live:
            self.history.connections += 1
        self.report()

    def _add(self, item: Event | Snapshot) -> None:
        now = time.monotonic()
        if isinstance(item, Snapshot):
            replaced = Replaced(now, item.position.epoch, item.position.seq, len(self.history.seen))
            self.history.replaced.append(replaced)
            self.report(replaced=replaced)
        else:
            seen = Seen(now, item.id.epoch, item.id.seq, item.type, item.data)
            self.history.add(seen)
            self.report(seen)

    def report(self, seen: Seen | None = None, replaced: Replaced | None = None) -> None:
        """Hand out a record; without an event it tells the counters."""
        if self._stream is not None:
            told = (self._stream.repeated, self._stream.gaps, self._stream.complete)
            self._take(Record(seen, replaced, self.live, self.history.connections, *told))
