"""Follows the stream of a job or a session, through whatever happens to the connection.

The rules are those of docs/protocol.md, "What a client must do"; `gateway.client.tracker` knows what the frames mean,
this module opens the connections, watches them, and waits between them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import ClassVar, Generic, TypeVar

import httpx

from gateway.client.address import JobAddress, SessionAddress
from gateway.client.api import bearer, new_client
from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError, Refused, reason_of, refused
from gateway.client.events import Event, EventId, Link, Snapshot
from gateway.client.frames import MOST_FRAME_BYTES, FrameDecoder, FrameTooLarge
from gateway.client.tracker import Interrupted, JobTracker, SessionTracker, Tracker

__all__ = ["Event", "EventId", "JobStream", "Link", "SessionStream", "Snapshot"]

# The heartbeat comes every 15 s: a link on which three in a row are missing is dead.
SILENCE_SECONDS = 45.0
MOST_SILENCE_SECONDS = 3600.0
CONNECT_SECONDS = 10.0
# Bytes that never make a whole event are no sign of life. A slow link needs a while for a large snapshot, though.
FRAME_SECONDS = 300.0
# What is read of an answer that is no stream, to say what was wrong.
REFUSAL_BYTES = 65_536


class _Renewed(Interrupted):
    """The server closed between two events after a proof that nothing is missing, as it does with old connections."""


_Address = TypeVar("_Address", bound=JobAddress | SessionAddress)


class _Stream(Generic[_Address]):
    """What both streams do. It never gives up on a connection: put a timeout around it for that.

    `silence_seconds` without a byte, `frame_seconds` without a whole event, end a connection; an event of more than
    `most_frame_bytes` ends the stream. `on_link` hears how the connection is. Raises Refused for what a new try can't
    mend (404: there is nothing here for this token) and ProtocolError for what is no stream.
    """

    _tracking: ClassVar[type[Tracker]]

    def __init__(
        self,
        address: _Address,
        *,
        position: EventId | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        frame_seconds: float = FRAME_SECONDS,
        most_frame_bytes: int = MOST_FRAME_BYTES,
        backoff: Backoff | None = None,
        on_link: Callable[[Link], None] | None = None,
    ) -> None:
        if not 0 < silence_seconds <= MOST_SILENCE_SECONDS:
            raise ValueError(f"silence_seconds must be above 0 and at most {MOST_SILENCE_SECONDS:g}")
        self._address = address
        self._tracker = self._tracking(position)
        self._silence_seconds = silence_seconds
        self._frame_seconds = frame_seconds
        self._most_frame_bytes = most_frame_bytes
        self._backoff = backoff or Backoff()
        self._on_link = on_link or (lambda link: None)

    @property
    def position(self) -> EventId | None:
        """The id of the last event (or snapshot) that was handed out: begin another stream with it to go on."""
        return self._tracker.position

    @property
    def head(self) -> EventId | None:
        """The newest event that the server has spoken of."""
        return self._tracker.head

    @property
    def complete(self) -> bool:
        """Whether we hold everything up to `head`; of a job, that it has ended, too."""
        return self._tracker.complete

    @property
    def gapless(self) -> bool:
        """Whether the events were numbered without a hole from the start, as they are when a session has one job."""
        return self._tracker.gapless

    @property
    def received(self) -> int:
        """Events that were handed out."""
        return self._tracker.received

    @property
    def since_snapshot(self) -> int:
        """Events that were handed out since the last snapshot, or since the start when there was none."""
        return self._tracker.since_snapshot

    @property
    def repeated(self) -> int:
        """Events that came once more and were dropped."""
        return self._tracker.repeated

    @property
    def connections(self) -> int:
        """Connections that the server opened with `stream.open`."""
        return self._tracker.connections

    @property
    def gaps(self) -> int:
        """How often something was missing or broken, and was asked for again."""
        return self._tracker.gaps

    @property
    def snapshots(self) -> int:
        """Snapshots that were handed out."""
        return self._tracker.snapshots

    async def events(self) -> AsyncIterator[Event | Snapshot]:
        """What follows `position`. A Snapshot comes instead of events that are not to be had.

        Whoever stops early may call it again, also after an error: it goes on after the last item that was handed out.
        """
        timeout = httpx.Timeout(CONNECT_SECONDS, read=self._silence_seconds)
        async with new_client(self._address.base, timeout) as client:
            while not self._tracker.ended:
                try:
                    async with aclosing(self._connection(client)) as items:
                        async for item in items:
                            yield item
                    continue
                except httpx.TransportError as error:
                    link = Link("waiting", reason_of(error), self._backoff.next_seconds())
                except _Renewed as error:
                    link = Link("renewing", str(error), self._backoff.renewal_seconds())
                except Interrupted as error:
                    self._backoff.ask(error.asked_ms)
                    link = Link("waiting", str(error), self._backoff.next_seconds())
                self._on_link(link)
                await asyncio.sleep(link.seconds)

    async def _connection(self, client: httpx.AsyncClient) -> AsyncGenerator[Event | Snapshot, None]:
        """One connection, up to the end of the stream. Raises Interrupted and httpx.TransportError before that."""
        tracker = self._tracker
        tracker.begin()
        response = await self._ask(client)
        try:
            if response.status_code == 204 and tracker.finish():
                return
            await self._check(response)
            async with aclosing(self._items(response)) as items:
                async for item in items:
                    yield item
        finally:
            await response.aclose()
        if not tracker.ended:
            if tracker.proven:
                raise _Renewed("the server renews the connection")
            raise Interrupted("the server closed the connection")

    async def _ask(self, client: httpx.AsyncClient) -> httpx.Response:
        # Nothing that would have to be unpacked: a stream is never compressed.
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        headers |= bearer(self._address.token)
        query = {}
        if self._tracker.from_snapshot:
            query["from"] = "snapshot"
        elif self._tracker.position is not None:
            headers["Last-Event-ID"] = str(self._tracker.position)
        request = client.build_request("GET", self._address.events_url, headers=headers, params=query)
        try:
            # httpx's own deadlines begin anew with each byte of the answer's head.
            async with asyncio.timeout(CONNECT_SECONDS + self._silence_seconds):
                return await client.send(request, stream=True)
        except TimeoutError as error:
            raise Interrupted("no answer in time") from error

    async def _check(self, response: httpx.Response) -> None:
        """Raises Refused, ProtocolError, or Interrupted for what may pass."""
        if response.status_code == 200:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream" or response.headers.get("content-encoding", "identity") != "identity":
                raise ProtocolError(
                    f"{self._address.events_url} is not a stream, but {kind[:64] or 'of no known kind'}"
                )
            return
        if response.is_success:
            raise ProtocolError(f"{self._address.events_url} is not a stream: status {response.status_code}")
        error = await self._refusal(response)
        if not error.may_pass:
            raise error
        raise Interrupted(str(error), error.retry_after_seconds * 1000)

    async def _refusal(self, response: httpx.Response) -> Refused:
        body = b""
        try:
            async with asyncio.timeout(CONNECT_SECONDS), aclosing(_chunks(response)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > REFUSAL_BYTES:
                        break
        except (TimeoutError, httpx.TransportError):
            pass  # the status has said enough
        return refused(response.status_code, response.headers, body)

    async def _items(self, response: httpx.Response) -> AsyncGenerator[Event | Snapshot, None]:
        decoder = FrameDecoder(self._most_frame_bytes)
        whole_at = time.monotonic()
        try:
            async with aclosing(_chunks(response)) as chunks:
                async for chunk in chunks:
                    for frame in decoder.feed(chunk):
                        whole_at = time.monotonic()
                        if frame.retry is not None:
                            self._backoff.start_at(frame.retry)
                        item = self._tracker.take(frame)
                        if frame.event == "stream.open":
                            self._on_link(Link("live"))
                        if self._tracker.proven or isinstance(item, Event):
                            self._backoff.succeed()
                        if item is not None:
                            yield item
                            whole_at = time.monotonic()  # the caller's time is not the link's
                        if self._tracker.ended:
                            return
                    if time.monotonic() - whole_at > self._frame_seconds:
                        raise Interrupted("no whole event came for too long")
        except FrameTooLarge as error:
            raise ProtocolError(f"{self._address.events_url} sent {error}") from error


class JobStream(_Stream[JobAddress]):
    """The events of one job: each once, in order, until the job's last. Then `complete` says that it has all."""

    _tracking = JobTracker

    @property
    def status(self) -> str | None:
        """How the job ended, from its last event, its end or a snapshot; None before that.

        It stays None for whoever began at the job's last event: the server answers 204, which says no more than that
        the job has ended.
        """
        return self._tracker.status


class SessionStream(_Stream[SessionAddress]):
    """The events of all jobs of a session: each once, in order, 1, 2, 3 and so on. It has no end of its own.

    `complete` says that everything is here that the server had when it last spoke of its head.
    """

    _tracking = SessionTracker


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for chunk in response.aiter_raw():
        yield chunk
