"""The response of a stream: sse-starlette's headers and semantics, with a loop of our own around a cursor.

What differs from `EventSourceResponse`, and why:

1. Two tasks per connection instead of four: the ASGI task itself writes, one more waits for the disconnect. Heartbeats
   are the timeout of the same wait, not a task with a timer.
2. No per-event generator step, queue or encoding: one wake-up writes everything that follows the cursor in one `send`.
3. The heartbeat is the named event `stream.head`, because a comment is invisible to a page and could not prove
   anything.
4. The end of the process is announced by the hub (`stream.drain`) instead of the library's half-second poll.

Kept: media type, `X-Accel-Buffering`, `no-store`, HEAD answered with headers only, a deadline on every write.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import structlog
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from gateway.problems import problem
from gateway.streaming.admission import Admission, Refused
from gateway.streaming.batch import Batch
from gateway.streaming.budget import Budget, NoRoom
from gateway.streaming.channel import Channel
from gateway.streaming.cursor import Cursor, CursorLost
from gateway.streaming.frames import control_frame, retry_frame
from gateway.streaming.hub import Hub
from gateway.streaming.lifetime import Lifetime
from gateway.streaming.opening import Opened, Opener
from infra.database.log import EventLog
from infra.database.repositories.snapshots import Snapshots
from infra.errors import DatabaseUnavailable, NotFound, Overloaded
from infra.settings import SseSettings
from infra.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)

SLICE_BYTES = 65_536
OPENING_TRIES = 3
# First frames, which may hold a snapshot, that are on their way to all browsers at once.
MOST_OPENING_BYTES = 268_435_456
HEADERS = {"Cache-Control": "no-store, no-transform", "Referrer-Policy": "no-referrer"}


async def _no_content() -> AsyncIterator[bytes]:
    """The base class wants an iterator; this one is never advanced."""
    yield b""


class StreamContext:
    """What every stream of a process shares."""

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        event_log: EventLog,
        snapshots: Snapshots,
        settings: SseSettings,
        metrics: Metrics,
    ) -> None:
        self.hub = hub
        self.admission = admission
        self.log = event_log
        self.snapshots = snapshots
        self.settings = settings
        self.metrics = metrics
        self.openings = Budget(MOST_OPENING_BYTES)

    def retry_ms(self) -> int:
        """The base delay, 50 to 150 %: browsers that were cut off together must not come back together."""
        return round(self.settings.retry_ms * random.uniform(0.5, 1.5))


class EventStream(EventSourceResponse):
    """Streams one session or job to one browser, from where it says it stands."""

    def __init__(self, context: StreamContext, opener: Opener) -> None:
        super().__init__(_no_content(), headers=HEADERS, ping=0, send_timeout=context.settings.send_timeout_seconds)
        self._context = context
        self._opener = opener
        self._wait: asyncio.Future[None] | None = None
        self._woken = False
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the ASGI request. A refusal that the browser should retry is a 200 that says so and closes."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if self._context.hub.draining:
            await self._refuse(send, "draining")
            return
        client = scope.get("client")
        try:
            with self._context.admission.place(self._opener.session_id, client[0] if client else None):
                await self._hold(receive, send)
        except Refused as refused:
            await self._refuse(send, refused.reason)

    async def _hold(self, receive: Receive, send: Send) -> None:
        listener = asyncio.create_task(self._listen(receive))
        reason = "cut"
        try:
            reason = await self._serve(send)
        except (TimeoutError, OSError) as error:
            log.info("stream_cut", session_id=self._opener.session_id, error=type(error).__name__)
        except Refused:
            reason = "refused"
            raise
        finally:
            listener.cancel()
            self._context.metrics.closed.labels(reason=reason).inc()

    async def _serve(self, send: Send) -> str:
        """The whole stream; returns why it is over."""
        context, started = self._context, False
        try:
            async with AsyncExitStack() as stack:
                async with context.admission.opening(self._opener.resuming):
                    channel, opened = await self._open(stack)
                if opened is None:
                    await _answer(send, 204, b"")
                    return "ended"
                channel.readers.add(self._wake)
                stack.callback(channel.readers.discard, self._wake)
                cursor, frames = opened.cursor, opened.frames
                del opened  # or its snapshot, megabytes perhaps, would stay for as long as the stream
                with context.openings.share(len(frames)):
                    await self._start(send)
                    started = True
                    await self._write(send, retry_frame(context.retry_ms()))
                    await self._write(send, frames)
                del frames
                return await self._follow(send, cursor)
        except NotFound as error:
            await _answer(send, 404, problem(error))
            return "not_found"
        except NoRoom:
            raise Refused("opening") from None
        except (DatabaseUnavailable, Overloaded):
            await self._refuse(send, "database", started)
            return "database"
        except CursorLost as lost:
            # Closed between two events: the browser comes back with its last id, and the opening resets it.
            log.info("cursor_lost", session_id=self._opener.session_id, reason=lost.reason)
            await self._finish(send, b"")
            return "lost"

    async def _open(self, stack: AsyncExitStack) -> tuple[Channel, Opened | None]:
        """A channel, held by the stack, and the beginning of the stream. Raises Refused, NotFound, DatabaseUnavailable.

        The opening itself may be what finds out that the channel's log is of a former life; then it begins anew.
        """
        for _ in range(OPENING_TRIES):
            async with AsyncExitStack() as trial:
                channel = await trial.enter_async_context(self._context.hub.open(self._opener.session_id))
                opened = await self._opener.open(channel)
                if not channel.lost:
                    stack.push_async_callback(trial.pop_all().aclose)
                    return channel, opened
        raise Refused("opening")

    async def _follow(self, send: Send, cursor: Cursor) -> str:
        lifetime = Lifetime(self._context.settings, self._context.hub)
        waited = False
        while not self._gone:
            batch = await cursor.advance()
            if batch is not None and batch.count:
                await self._write(send, batch.frames)
                self._measure(batch, waited)
            if cursor.ended is not None and (batch is None or await self._is_over(cursor)):
                end = {"job_id": cursor.job_id, "status": cursor.ended, "head": str(cursor.head)}
                await self._finish(send, control_frame("stream.end", end))
                return "ended"
            if reason := lifetime.over():
                await self._finish(send, self._farewell(reason, cursor, caught_up=batch is None))
                return reason
            if batch is None:
                if lifetime.beats():
                    await self._write(send, _head_frame(cursor))
                else:
                    waited = await self._woken_before(lifetime.next_moment)
        return "gone"

    async def _is_over(self, cursor: Cursor) -> bool:
        """Whether the job's end that was just replayed is still its last word, so that reading on would find nothing.

        Events of the session's other jobs may follow by the thousand. A retry would have begun another run.
        """
        if not cursor.behind or cursor.job_id is None:
            return False
        place = await self._context.snapshots.place(cursor.job_id)
        return place is not None and place.ended is not None and place.last_seq == cursor.head.seq

    def _farewell(self, reason: str, cursor: Cursor, caught_up: bool) -> bytes:
        if reason == "drained":
            retry_ms = self._context.retry_ms()
            return retry_frame(retry_ms) + control_frame("stream.drain", {"retry_ms": retry_ms})
        return _head_frame(cursor) if caught_up else b""  # to who has everything, the proof of it

    def _wake(self) -> None:
        self._woken = True
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    async def _woken_before(self, deadline: float) -> bool:
        """Wait for news or the deadline, whichever comes first. One future and one timer, no task."""
        if not self._woken:
            loop = asyncio.get_running_loop()
            self._wait = loop.create_future()
            timer = loop.call_at(deadline, _resolve, self._wait)
            try:
                await self._wait
            finally:
                timer.cancel()
                self._wait = None
        woken, self._woken = self._woken, False
        return woken

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake()

    def _measure(self, batch: Batch, waited: bool) -> None:
        metrics = self._context.metrics
        metrics.delivered.inc(batch.count)
        if waited and batch.committed_at_us:
            metrics.commit_to_socket.observe(max(0.0, time.time() - batch.committed_at_us / 1e6))

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _write(self, send: Send, frames: bytes) -> None:
        # The deadline ends a reader that takes nothing: send() suspends only above the transport's high-water mark. A
        # slow one gets it anew for each slice, else a large snapshot could never reach it, up to a stream's age in all.
        if len(frames) > SLICE_BYTES:
            async with asyncio.timeout(self._context.settings.max_age_seconds):
                for start in range(0, len(frames), SLICE_BYTES):
                    if self._gone:
                        return
                    await self._write(send, frames[start : start + SLICE_BYTES])
            return
        async with asyncio.timeout(self.send_timeout):
            await send({"type": "http.response.body", "body": frames, "more_body": True})

    async def _finish(self, send: Send, frames: bytes) -> None:
        async with asyncio.timeout(self.send_timeout):
            await send({"type": "http.response.body", "body": frames, "more_body": False})

    async def _refuse(self, send: Send, reason: str, started: bool = False) -> None:
        """The refusal that browsers come back from: any status but 200 would be final to them."""
        self._context.metrics.refused.labels(reason=reason).inc()
        retry_ms = self._context.retry_ms()
        if not started:
            await self._start(send)
        await self._finish(send, retry_frame(retry_ms) + control_frame("stream.busy", {"retry_ms": retry_ms}))


class BusyStream(EventStream):
    """A stream that cannot be opened right now, because the database is away."""

    def __init__(self, context: StreamContext) -> None:
        super().__init__(context, Opener("", None, None, None, False, context.log, context.snapshots))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse in the form that browsers come back from."""
        await self._refuse(send, "database")


def _head_frame(cursor: Cursor) -> bytes:
    return control_frame("stream.head", {"epoch": cursor.channel.epoch, "head": str(cursor.head)})


def _resolve(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/problem+json")] if body else []
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"cache-control", b"no-store")]}
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
