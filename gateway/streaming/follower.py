"""One browser on an open stream, from its first frame to its last: brought up to the head, then one of the crowd.

While it is live it has no task, no timer and no queue: the channel writes to it, a timetable tells it the time. A task
of its own brings it up again when it has fallen behind, that is when its client takes less than it is sent.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from gateway.streaming.admission import Place
from gateway.streaming.batch import Batch
from gateway.streaming.budget import NoRoom
from gateway.streaming.context import StreamContext
from gateway.streaming.crowd import Crowd
from gateway.streaming.cursor import Cursor, CursorLost
from gateway.streaming.frames import control_frame, retry_frame
from gateway.streaming.hub import Seat
from gateway.streaming.lifetime import Lifetime
from gateway.streaming.outlet import Outlet
from gateway.streaming.position import Position
from infra.errors import DatabaseUnavailable, Overloaded

SLICE_BYTES = 65_536
# The clock asks again so much later when a stream is just being brought up: its task looks at the time itself.
BUSY_SECONDS = 1.0

log = structlog.stdlib.get_logger(__name__)


class Follower:
    """Writes one stream to one outlet, and gives back its seat and its place at the end, whatever ends it."""

    __slots__ = ("_context", "_crowd", "_cursor", "_lifetime", "_outlet", "_place", "_seat", "_task", "entry")

    def __init__(self, context: StreamContext, place: Place, seat: Seat, cursor: Cursor, outlet: Outlet) -> None:
        self._context = context
        self._place = place
        self._seat: Seat | None = seat
        self._cursor = cursor
        self._outlet = outlet
        self._lifetime = Lifetime(context.settings, context.hub)
        self._crowd: Crowd | None = None
        self._task: asyncio.Task[None] | None = None
        self.entry: list[Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return self._seat is None

    async def open(self, first: list[bytes]) -> None:
        """Write the first frames, which the list gives up: a snapshot in them has megabytes perhaps."""
        self._outlet.follow(self)
        with self._ending_on_errors():
            frames = retry_frame(self._context.retry_ms()) + first.pop()
            with self._context.openings.share(len(frames)):
                await self._write(frames)

    async def bring_up(self) -> None:
        """Write everything that follows the cursor; returns when the stream is live, or over."""
        with self._ending_on_errors():
            await self._catch_up()

    @contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        try:
            yield
        except CursorLost as lost:
            self._send_back(lost.reason)
        except NoRoom:
            self._refuse("opening", "refused")
        except (DatabaseUnavailable, Overloaded):
            self._refuse("database", "database")
        except (TimeoutError, OSError) as error:
            log.info("stream_cut", session_id=self._cursor.channel.session_id, error=type(error).__name__)
            self._cut()
        except BaseException:
            self._cut()
            raise

    def _refuse(self, reason: str, closed: str) -> None:
        self._context.metrics.refused.labels(reason=reason).inc()
        self._end(closed, self._context.busy_frames())

    async def _catch_up(self) -> None:
        cursor, metrics = self._cursor, self._context.metrics
        while not self.is_over:
            batch = await cursor.advance()
            if batch is not None and batch.count:
                await self._deliver(batch)
                metrics.delivered.inc(batch.count)
            if cursor.ended is not None and (batch is None or await self._has_ended()):
                self.finish(cursor.ended)
            elif reason := self._lifetime.over():
                self._end(reason, self._farewell(reason, caught_up=batch is None))
            elif batch is None and cursor.seq > cursor.channel.head:
                if self._lifetime.beats():
                    await self._write(self._head_frame())
                await cursor.channel.reach(cursor.seq)
            elif batch is None:
                self._go_live()
                return

    async def _has_ended(self) -> bool:
        """Whether the job's end that was just replayed is still its last word, so that reading on would find nothing.

        Events of the session's other jobs may follow by the thousand. A retry would have begun another run.
        """
        cursor = self._cursor
        if not cursor.behind or cursor.job_id is None:
            return False
        place = await self._context.snapshots.place(cursor.job_id)
        return place is not None and place.ended is not None and place.last_seq == cursor.head.seq

    async def _deliver(self, batch: Batch) -> None:
        if len(batch.chunk) > SLICE_BYTES:
            await self._write(batch.frames)
            return
        self._outlet.take(batch.chunk)
        await self._have_taken()

    async def _write(self, frames: bytes) -> None:
        # The deadline ends a reader that takes nothing. A slow one gets it anew for each slice, else a large snapshot
        # could never reach it, up to a stream's age in all.
        if len(frames) > SLICE_BYTES:
            async with asyncio.timeout(self._context.settings.max_age_seconds):
                for start in range(0, len(frames), SLICE_BYTES):
                    self._outlet.write(frames[start : start + SLICE_BYTES])
                    await self._have_taken()
                    if self.is_over:
                        return
        elif frames:
            self._outlet.write(frames)
            await self._have_taken()

    async def _have_taken(self) -> None:
        outlet = self._outlet
        if not outlet.is_blocked:
            return
        waiting = outlet.waiting_bytes
        while outlet.is_blocked:
            try:
                async with asyncio.timeout(self._context.settings.send_timeout_seconds):
                    await outlet.drain()
            except TimeoutError:
                # A slow reader is not a dead one, until its stream is too old for anybody.
                before, waiting = waiting, outlet.waiting_bytes
                if waiting >= before or self._lifetime.over():
                    raise

    def _go_live(self) -> None:
        if self.is_over:
            return
        channel = self._cursor.channel
        self._crowd = channel.join(self, self._cursor.job_id)
        if channel.lost:  # to join writes to the others first, and that has failed
            self.lose()
        elif self.entry is None:
            self._context.hub.timetable.put(self)

    def _step_out(self) -> None:
        crowd, self._crowd = self._crowd, None
        if crowd is not None:
            self._cursor.move_to(crowd.seq, crowd.last_event, crowd.ended)
            self._cursor.channel.leave(self, crowd)

    @property
    def take(self) -> Callable[[bytes], None]:
        """How the crowd writes a chunk: straight to the outlet."""
        return self._outlet.take

    def finish(self, status: str) -> None:
        """The followed job has ended with this status, and all of it has been written."""
        self._step_out()
        end = {"job_id": self._cursor.job_id, "status": status, "head": str(self._cursor.head)}
        self._end("ended", control_frame("stream.end", end))

    def lose(self) -> None:
        """From the channel: the log is not what it was."""
        self._send_back("epoch_changed")

    def _send_back(self, reason: str) -> None:
        # Closed between two events: the browser comes back with its last id, and the opening resets it.
        log.info("cursor_lost", session_id=self._cursor.channel.session_id, reason=reason)
        self._end("lost", b"")

    def blocked(self) -> None:
        """From the outlet: the client takes less than it is sent. It is brought up again once it does."""
        if self._crowd is None:
            return  # whoever writes looks at the outlet itself
        self._step_out()
        self._task = asyncio.create_task(self._recover(), name=f"recover {self._cursor.channel.session_id}")

    async def _recover(self) -> None:
        try:
            with self._ending_on_errors():
                await self._have_taken()
                await self._catch_up()
        except Exception:
            log.exception("stream_broke", session_id=self._cursor.channel.session_id)

    def gone(self) -> None:
        """From the outlet: the connection is over."""
        self._close("gone")

    @property
    def next_moment(self) -> float:
        """When something is due if nothing else happens, in the event loop's time."""
        return self._lifetime.next_moment

    def due(self) -> float | None:
        """From the timetable: beat, or leave of age or because the process stops."""
        if self.is_over:
            return None
        if self._crowd is None:
            return asyncio.get_running_loop().time() + BUSY_SECONDS
        if reason := self._lifetime.over():
            self._end(reason, self._farewell(reason, caught_up=True))
            return None
        if self._lifetime.beats():
            self._outlet.write(self._crowd.head_frame(self._head(self._crowd)))
        return self._lifetime.next_moment

    def _head(self, crowd: Crowd | None) -> Position:
        cursor = self._cursor
        if crowd is None:
            return cursor.head
        last = max(cursor.head.seq, crowd.last_event) if cursor.job_id is not None else crowd.seq
        return Position(cursor.channel.epoch, last)

    def _farewell(self, reason: str, caught_up: bool) -> bytes:
        if reason == "drained":
            retry_ms = self._context.retry_ms()
            return retry_frame(retry_ms) + control_frame("stream.drain", {"retry_ms": retry_ms})
        if not caught_up:
            return b""
        return self._head_frame()  # to who has everything, the proof of it

    def _head_frame(self) -> bytes:
        head = self._head(self._crowd)
        return control_frame("stream.head", {"epoch": head.epoch, "head": str(head)})

    def _end(self, reason: str, frames: bytes) -> None:
        if not self.is_over:
            self._outlet.finish(frames)
            self._close(reason)

    def _cut(self) -> None:
        if not self.is_over:
            self._outlet.abort()
            self._close("cut")

    def _close(self, reason: str) -> None:
        seat, self._seat = self._seat, None
        if seat is None:
            return
        self._step_out()
        self._context.hub.timetable.take_out(self)
        seat.leave()
        self._place.leave()
        self._context.metrics.closed.labels(reason=reason).inc()
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
