"""A live session in this process: the head of its log and the hot tail as ready-made frames.

Events are appended strictly in order. A hole is never bridged: what follows it is dropped, and one read of the log for
the whole channel brings the rest, however many browsers listen.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from gateway.streaming.frames import TERMINAL_TYPES, event_frame
from infra.bus.base import Entry, Message
from infra.database.log import LogPage, LogPosition

PAGE_EVENTS = 500
MOST_SHARED_BATCHES = 64
# Events may have a megabyte each; what the ring lets go is read from the log.
MOST_RING_BYTES = 4_194_304

log = structlog.stdlib.get_logger(__name__)


class LogReader(Protocol):
    """What a channel asks of the log."""

    async def page(self, session_id: str, after: int, limit: int, job_id: str | None = None) -> LogPage | None: ...


class Batch(msgspec.Struct, frozen=True):
    """Frames to write in one go. `last_seq` is where the cursor stands after them (filtered events count as passed).

    `last_event` is the number of the last event in it (0: none) and `terminal` the job's status if that one ended a
    run. `committed_at_us` is the first event's commit time, 0 for a replay.
    """

    frames: bytes
    count: int
    last_seq: int
    last_event: int = 0
    terminal: str | None = None
    committed_at_us: int = 0


class _Kept(msgspec.Struct, frozen=True):
    seq: int
    job_id: str
    terminal: str | None
    frame: bytes
    committed_at_us: int


class Channel:
    """The head and the ring of one session. The ring holds the numbers base+1..head without a hole."""

    def __init__(
        self,
        session_id: str,
        position: LogPosition,
        log_reader: LogReader,
        ring_events: int,
        count_repair: Callable[[str], None],
    ) -> None:
        self.session_id = session_id
        self.epoch = position.epoch
        self.head = self.base = position.head
        self.trimmed = position.trimmed
        self.lost = False
        self.readers: set[Callable[[], None]] = set()
        self._log = log_reader
        self._ring: deque[_Kept] = deque()
        self._ring_events = ring_events
        self._ring_bytes = 0
        self._count_repair = count_repair
        self._joined: dict[tuple[int, str | None], Batch] = {}
        self._pages: dict[tuple[int, str | None], asyncio.Task[LogPage | None]] = {}
        self._target = self.head
        self._repair: asyncio.Task[None] | None = None

    def receive(self, message: Message) -> None:
        """Take a message from the bus: append what is new, notice a hole, ignore what is known."""
        if message.epoch != self.epoch:
            # A straggler of an earlier life of the log, or the first word of a new one: the log itself decides.
            self.expect(self.head + 1, "epoch")
            return
        last = message.first_seq + len(message.entries) - 1
        if message.first_seq > self.head + 1:
            self.expect(last, "hole")
            return
        new = message.entries[self.head + 1 - message.first_seq :]
        if new:
            self._append(new, message.committed_at_us)

    def note(self, position: LogPosition) -> None:
        """Compare with where the log really stands, as a sweep found it."""
        if position.epoch != self.epoch:
            self.lose()
            return
        self.trimmed = max(self.trimmed, position.trimmed)
        if position.head > self.head:
            self.expect(position.head, "sweep")

    def expect(self, seq: int, cause: str) -> None:
        """Bring the channel up to `seq` from the log; calls during a running repair only move its target."""
        self._target = max(self._target, seq)
        if self._repair is None and not self.lost:
            self._count_repair(cause)
            self._repair = asyncio.create_task(self._read_missing(), name=f"repair {self.session_id}")
            self._repair.add_done_callback(self._repaired)

    async def _read_missing(self) -> None:
        while self.head < self._target:
            before = self.head
            page = await self._log.page(self.session_id, before, PAGE_EVENTS)
            if page is None or page.position.epoch != self.epoch:
                self.lose()
                return
            if page.position.trimmed > self.head:
                self._skip_to(page.position.trimmed)
            # The bus may have brought some of them in the meantime.
            new = [entry for seq, entry in page.events if seq > self.head]
            if new:
                self._append(tuple(new), 0)
            elif self.head == before:
                return  # the log does not have it (yet): the next sweep asks again

    def _repaired(self, task: asyncio.Task[None]) -> None:
        self._repair = None
        if task.cancelled():
            return
        if task.exception() is not None:  # the next sweep starts another one
            log.warning("repair_failed", session_id=self.session_id, error=str(task.exception())[:200])

    def _append(self, entries: tuple[Entry, ...], committed_at_us: int) -> None:
        for entry in entries:
            self.head += 1
            frame = event_frame(self.epoch, self.head, entry)
            self._ring.append(_Kept(self.head, entry.job_id, TERMINAL_TYPES.get(entry.type), frame, committed_at_us))
            self._ring_bytes += len(frame)
        while len(self._ring) > self._ring_events or (self._ring_bytes > MOST_RING_BYTES and len(self._ring) > 1):
            oldest = self._ring.popleft()
            self.base = oldest.seq
            self._ring_bytes -= len(oldest.frame)
        self._joined.clear()
        self._wake()

    def _skip_to(self, trimmed: int) -> None:
        # Retention overtook the channel. Cursors before that number find out when they read the log.
        self.head = self.base = self.trimmed = trimmed
        self._ring.clear()
        self._ring_bytes = 0
        self._joined.clear()
        self._wake()

    def lose(self) -> None:
        """Give up: this is no longer the log that it was, and every cursor has to start from a snapshot."""
        self.lost = True
        self._wake()

    def _wake(self) -> None:
        for wake in tuple(self.readers):
            wake()

    def tail(self, after: int, job_id: str | None) -> Batch:
        """All frames after a number that the ring still covers; cursors at the same place share the same bytes."""
        key = (after, job_id)
        batch = self._joined.get(key)
        if batch is None:
            if len(self._joined) >= MOST_SHARED_BATCHES:
                self._joined.clear()  # many stragglers, each at a place of its own: sharing saves nothing then
            newest = [self._ring[index] for index in range(len(self._ring) - (self.head - after), len(self._ring))]
            kept = [one for one in newest if job_id is None or one.job_id == job_id]
            batch = self._joined[key] = Batch(
                b"".join([one.frame for one in kept]),
                len(kept),
                self.head,
                kept[-1].seq if kept else 0,
                kept[-1].terminal if kept else None,
                kept[0].committed_at_us if kept else 0,
            )
        return batch

    async def page(self, after: int, job_id: str | None) -> LogPage | None:
        """A page of the log; readers of the same page at the same time share one query."""
        key = (after, job_id)
        task = self._pages.get(key)
        if task is None:
            task = asyncio.create_task(self._log.page(self.session_id, after, PAGE_EVENTS, job_id))
            self._pages[key] = task
            task.add_done_callback(lambda _done: self._pages.pop(key, None))
        # Shielded: one browser that leaves must not cancel the read of the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what still reads; the last browser has left."""
        running = [task for task in (self._repair, *self._pages.values()) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
