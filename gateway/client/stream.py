"""Follows the stream of a job to its proven end, through whatever happens to the connection.

The rules are those of the wire protocol: the durable events have ids `<epoch>.<seq>`, a new connection resumes with
Last-Event-ID, `stream.head` and `stream.end` say what the last id is. A client that holds that id holds everything,
because the server sends a job's events in order and TCP loses nothing in the middle.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Literal

import httpx
import msgspec
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse

from gateway.client.address import JobAddress
from gateway.client.api import bearer, new_client
from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError, reason_of, refusal

# The heartbeat comes every 15 s: a link on which two in a row are missing is dead.
SILENCE_SECONDS = 40.0
CONNECT_SECONDS = 10.0

_ID = re.compile(r"([a-z0-9]{8})\.(0|[1-9][0-9]{0,17})")


class EventId(msgspec.Struct, frozen=True):
    """The id of a durable event: a number in one life of a session's log."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class Event(msgspec.Struct, frozen=True):
    """A durable event; `data` is its JSON object, as the protocol describes it for each type."""

    id: EventId
    type: str
    data: dict[str, Any]


class Snapshot(msgspec.Struct, frozen=True):
    """The whole job at `position`, in place of events that the log no longer has: forget what you knew."""

    position: EventId
    body: dict[str, Any]


class Link(msgspec.Struct, frozen=True):
    """The connection: live, or waiting `seconds` before the next try, for a reason in words."""

    state: Literal["live", "waiting"]
    reason: str = ""
    seconds: float = 0.0


class _Interrupted(Exception):
    """The connection ended before the stream did; the next one goes on."""


class JobStream:
    """The events of one job: each once, in order, until the job's last.

    `position` is the id of the last event that was given out, `head` the newest that the server has spoken of, `status`
    the job's once its stream has ended. It never gives up on a connection (put a timeout around it for that); it raises
    Refused for what a new try can't mend (404: no such job for this token) and ProtocolError for what is no stream.
    """

    def __init__(
        self,
        address: JobAddress,
        *,
        position: EventId | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        backoff: Backoff | None = None,
        on_link: Callable[[Link], None] | None = None,
    ) -> None:
        self.position = position
        self.head: EventId | None = None
        self.status: str | None = None
        self.received = 0
        self.repeated = 0
        self.snapshots = 0
        self._start = position.seq if position else 0
        self._address = address
        self._timeout = httpx.Timeout(CONNECT_SECONDS, read=silence_seconds)
        self._backoff = backoff or Backoff()
        self._on_link = on_link or (lambda link: None)
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether the stream has ended and its head is what we hold: nothing is missing."""
        return self._ended and self.position is not None and self.position == self.head

    @property
    def gapless(self) -> bool:
        """Whether the events were numbered without a hole from the start, as they are when a session has one job."""
        return not self.snapshots and self.position is not None and self.position.seq - self._start == self.received

    async def events(self) -> AsyncIterator[Event | Snapshot]:
        """What follows `position`, to the end. A Snapshot comes instead of events that the log no longer has."""
        async with new_client(self._address.base, self._timeout) as client:
            while not self._ended:
                try:
                    async with aclosing(self._connection(client)) as items:
                        async for item in items:
                            yield item
                except httpx.TransportError as error:
                    reason = reason_of(error)
                except _Interrupted as error:
                    reason = str(error)
                if not self._ended:
                    seconds = self._backoff.next_seconds()
                    self._on_link(Link("waiting", reason, seconds))
                    await asyncio.sleep(seconds)

    async def _connection(self, client: httpx.AsyncClient) -> AsyncGenerator[Event | Snapshot, None]:
        headers = bearer(self._address.token)
        if self.position is not None:
            headers["Last-Event-ID"] = str(self.position)
        async with aconnect_sse(client, "GET", self._address.events_url, headers=headers) as source:
            if source.response.status_code == 204:  # finished, and we have all of it
                self.head, self._ended = self.position, True
                return
            if source.response.status_code != 200:
                await source.response.aread()
                refused = refusal(source.response)
                if not refused.may_pass:
                    raise refused
                self._backoff.ask(refused.retry_after_seconds * 1000)
                raise _Interrupted(str(refused))
            try:
                async with aclosing(source.aiter_sse()) as frames:
                    async for frame in frames:
                        item = self._take(frame)
                        if item is not None:
                            yield item
                        if self._ended:
                            return
            except SSEError as error:
                raise ProtocolError(f"{self._address.events_url} is not a stream: {error}") from error
        raise _Interrupted("the server closed the connection")

    def _take(self, frame: ServerSentEvent) -> Event | Snapshot | None:
        if frame.retry is not None:
            self._backoff.first_seconds = max(frame.retry, 1) / 1000
        if not frame.data:
            return None
        try:
            data = msgspec.json.decode(frame.data, type=dict[str, Any])
            if frame.event.startswith("stream."):
                return self._control(frame.event, data)
            return self._durable(Event(_parse_id(frame.id), frame.event, data))
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            raise _Interrupted(f"a frame could not be read ({frame.event or 'message'}: {error})") from error

    def _durable(self, event: Event) -> Event | None:
        last = self.position
        if self.head is None or any(place.epoch != event.id.epoch for place in (self.head, last) if place):
            raise _Interrupted("an event of another log came without a reset")
        if last is not None and event.id.seq <= last.seq:
            self.repeated += 1
            return None
        self.position = event.id
        self.received += 1
        if event.id.seq > self.head.seq:
            self.head = event.id
        self._backoff.succeed()
        return event

    def _control(self, name: str, data: dict[str, Any]) -> Snapshot | None:
        match name:
            case "stream.open" | "stream.reset":
                # After a reset the position stays until the snapshot is here: without it, the next try asks again.
                self.head = _parse_id(data["head"])
                if name == "stream.open":
                    self._on_link(Link("live"))
            case "stream.head":
                self.head = _parse_id(data["head"])
                if self.head.seq and self.position != self.head:
                    raise _Interrupted(f"the server has sent {self.head}, and we are at {self.position}")
                self._backoff.succeed()
            case "stream.snapshot":
                self.position = self.head = _parse_id(data["head"])
                self.snapshots += 1
                self.received = 0
                self._backoff.succeed()
                return Snapshot(self.position, data)
            case "stream.end":
                self.head = _parse_id(data["head"])
                if self.position != self.head:
                    raise _Interrupted(f"the stream ended at {self.head}, and we are at {self.position}")
                self.status, self._ended = str(data["status"]), True
            case "stream.busy":
                self._backoff.ask(float(data["retry_ms"]))
                raise _Interrupted("the server is busy")
            case "stream.drain":
                self._backoff.ask(float(data["retry_ms"]))
                raise _Interrupted("the server is stopping")
        return None


def _parse_id(text: str) -> EventId:
    found = _ID.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is not the id of an event")
    return EventId(found[1], int(found[2]))
