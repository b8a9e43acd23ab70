"""A live session in this process: the head of its log and the hot tail as ready-made frames.

Events are appended strictly in order. A hole is never bridged: what follows it is dropped, and one read of the log for
the whole channel brings the rest, however many browsers listen.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

import structlog

from gateway.streaming.batch import Batch, Kept, gather, keep
from gateway.streaming.budget import Budget
from gateway.streaming.crowd import Crowd, Member
from gateway.streaming.flusher import Flusher
from gateway.streaming.pages import Page, Pages
from infra.bus.base import Entry, Message
from infra.database.log import LogPosition

MOST_SHARED_BATCHES = 64
MOST_SHARED_BYTES = 1_048_576
# Events may have a megabyte each; what the ring lets go is read from the log.
MOST_RING_BYTES = 4_194_304
# What a ring keeps when all of them together are too large: 200 small events.
SCARCE_RING_BYTES = 65_536

# A snapshot or another gateway's client may be ahead of the bus by so much; then the log is asked, for so long at most.
BUS_SECONDS = 0.02
REACH_SECONDS = 1.0
NOT_REACHED_SECONDS = 0.5

log = structlog.stdlib.get_logger(__name__)


class Channel:
    """The head and the ring of one session. The ring holds the numbers base+1..head without a hole.

    `set_back` is called when the log is seen to hold other events under known numbers, or fewer than were known.
    `flusher` has `flush` called when the time for it has come; without one that is at once.
    """

    __slots__ = (
        "_count_repair",
        "_flushed",
        "_flusher",
        "_joined",
        "_joined_bytes",
        "_pages",
        "_repair",
        "_ring",
        "_ring_bytes",
        "_ring_events",
        "_rings",
        "_set_back",
        "_target",
        "_warming",
        "base",
        "crowds",
        "epoch",
        "head",
        "lost",
        "oldest_us",
        "session_id",
        "trimmed",
    )

    def __init__(
        self,
        session_id: str,
        position: LogPosition,
        pages: Pages,
        rings: Budget,
        ring_events: int,
        count_repair: Callable[[str], None],
        set_back: Callable[["Channel"], None],
        flusher: Flusher | None = None,
    ) -> None:
        self.session_id = session_id
        self.epoch = position.epoch
        self.head = self.base = position.head
        self.trimmed = position.trimmed
        self.lost = False
        self.crowds: dict[str | None, Crowd] = {}
        self.oldest_us = 0
        self._flushed = self.head
        self._pages = pages
        self._rings = rings
        self._ring: deque[Kept] = deque()
        self._ring_events = ring_events
        self._ring_bytes = 0
        self._count_repair = count_repair
        self._set_back = set_back
        self._flusher = flusher
        self._joined: dict[tuple[int, str | None], Batch] = {}
        self._joined_bytes = 0
        self._target = self.head
        self._repair: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None

    def receive(self, message: Message) -> None:
        """Take a message from the bus: append what is new, notice a hole, ignore what is known."""
        if self.lost:
            return
        if message.epoch != self.epoch:
            # A straggler of an earlier life of the log, or the first word of a new one: the log itself decides.
            self.expect(self.head + 1, "epoch")
            return
        last = message.first_seq + len(message.entries) - 1
        if message.first_seq > self.head + 1:
            self.expect(last, "hole")
            return
        known = self.head + 1 - message.first_seq
        if known and self._differs(message.first_seq, message.entries[:known]):
            self._set_back(self)
            return
        if new := message.entries[known:]:
            self._append(new, message.committed_at_us)

    def _differs(self, first_seq: int, entries: tuple[Entry, ...]) -> bool:
        """Whether the ring has other events under these numbers: the database was set back and goes on from there."""
        for seq, entry in enumerate(entries, first_seq):
            at = seq - self.base - 1
            if 0 <= at < len(self._ring) and self._ring[at].frame != keep(self.epoch, seq, entry).frame:
                return True
        return False

    def note(self, position: LogPosition, known_head: int = 0) -> None:
        """Compare with where the log really stands, as a look at it found. `known_head`: our head before that look."""
        if position.epoch != self.epoch:
            self.lose()
            return
        if position.head < known_head:
            self._set_back(self)
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

    async def reach(self, seq: int) -> None:
        """Give the bus a moment to bring what the log or a client has already, then ask the log; a bounded wait."""
        await asyncio.sleep(BUS_SECONDS)
        if self.head < seq:
            self.expect(seq, "ahead")
            if self._repair is not None:
                await asyncio.wait({self._repair}, timeout=REACH_SECONDS)
            if self.head < seq:
                await asyncio.sleep(NOT_REACHED_SECONDS)  # the log can't be read, or does not have it

    async def _read_missing(self) -> None:
        while self.head < self._target:
            before = self.head
            page = await self._pages.read(self.session_id, before)
            if self.lost:
                return
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
        seq, size = self.head, 0
        for entry in entries:
            seq += 1
            kept = keep(self.epoch, seq, entry, committed_at_us)
            self._ring.append(kept)
            size += len(kept.frame)
        self.head = seq
        self._hold(size)
        self._unshare()
        if self.crowds:
            self.oldest_us = self.oldest_us or committed_at_us
        if len(self._ring) > self._ring_events or self._ring_bytes > SCARCE_RING_BYTES:
            self._shrink()
        self._tell_crowds()

    def _shrink(self) -> None:
        most = SCARCE_RING_BYTES if self._rings.scarce else MOST_RING_BYTES
        while len(self._ring) > self._ring_events or (self._ring_bytes > most and len(self._ring) > 1):
            if self._ring[0].seq > self._flushed:
                self._flush_now()  # the live browsers never need the log for what the ring still has
                if self.lost:
                    return  # that has failed, and nothing is left
            oldest = self._ring.popleft()
            self.base = oldest.seq
            self._hold(-len(oldest.frame))
        self._unshare()

    def _tell_crowds(self) -> None:
        if not self.crowds:
            self._flushed = self.head
        elif self._flushed < self.head:
            if self._flusher is None:
                self.flush()
            else:
                self._flusher.want(self)

    def _flush_now(self) -> None:
        if self._flusher is None:
            self.flush()
        else:
            self._flusher.flush(self)

    def flush(self) -> int:
        """Write everything up to the head to all live browsers; returns how many events that were over all of them."""
        self._flushed = self.head
        self.oldest_us = delivered = 0
        for crowd in tuple(self.crowds.values()):
            while crowd.seq < self.head and crowd.members:
                delivered += crowd.take(self._newest(crowd.seq, crowd.job_id))
            if crowd.ended is not None:
                for member in tuple(crowd.members):
                    member.finish(crowd.ended)
        return delivered

    def join(self, member: Member, job_id: str | None) -> Crowd:
        """Let a browser that has everything up to the head be one of the live ones."""
        if self._flushed < self.head:
            self._flush_now()
        crowd = self.crowds.get(job_id)
        if crowd is None:
            crowd = self.crowds[job_id] = Crowd(job_id, self.head)
        crowd.members[member] = member.take
        return crowd

    def leave(self, member: Member, crowd: Crowd) -> None:
        """It is not one of the live browsers any more; `crowd.seq` is where it stands."""
        crowd.members.pop(member, None)
        if not crowd.members and self.crowds.get(crowd.job_id) is crowd:
            del self.crowds[crowd.job_id]

    def _hold(self, size: int) -> None:
        self._ring_bytes += size
        self._rings.used += size

    def _unshare(self) -> None:
        if self._joined:
            self._joined.clear()
            self._joined_bytes = 0

    def _skip_to(self, trimmed: int) -> None:
        # Retention overtook the channel. Cursors before that number find out when they read the log.
        self._flush_now()  # what the ring still has
        self.head = self.trimmed = trimmed
        self._clear()
        self._flushed = self.head
        self._send_away()

    def _clear(self) -> None:
        self._ring.clear()
        self.base = self.head
        self._hold(-self._ring_bytes)
        self._unshare()

    def lose(self) -> None:
        """Give up: this is no longer the log that it was, and every cursor has to start from a snapshot."""
        self.lost = True
        self._clear()
        self._send_away()

    def _send_away(self) -> None:
        for crowd in tuple(self.crowds.values()):
            for member in tuple(crowd.members):
                member.lose()

    def tail(self, after: int, job_id: str | None) -> Batch:
        """Frames after a number that the ring still covers; cursors at the same place share the same bytes."""
        key = (after, job_id)
        batch = self._joined.get(key)
        if batch is None:
            batch = self._newest(after, job_id)
            self._joined_bytes += len(batch.chunk)
            if len(self._joined) >= MOST_SHARED_BATCHES or self._joined_bytes > MOST_SHARED_BYTES:
                self._unshare()  # many stragglers, each at a place of its own: sharing saves nothing then
            self._joined[key] = batch
        return batch

    def _newest(self, after: int, job_id: str | None) -> Batch:
        ring, lacking = self._ring, self.head - after
        if lacking == 1:
            return gather((ring[-1],), self.head, job_id)
        # A deque is quick at its ends: for a few events its beginning must not be walked through.
        few = lacking <= len(ring) // 2
        newest = [ring[at] for at in range(-lacking, 0)] if few else islice(ring, len(ring) - lacking, None)
        return gather(newest, self.head, job_id)

    async def warm(self, seq: int) -> bool:
        """Whether the ring covers what follows `seq`; a channel that is new reads its tail from the log for that, once.

        Browsers that come back together after a restart are a few events behind, each at a place of its own: one read
        serves them all.
        """
        if seq < self.base and self.head - seq <= self._ring_events:
            if self._warming is None:
                self._warming = asyncio.create_task(self._read_tail(), name=f"warm {self.session_id}")
            # Shielded: one browser that leaves must not cancel the read of the others.
            await asyncio.shield(self._warming)
        return seq >= self.base

    async def _read_tail(self) -> None:
        base = self.base
        start = max(self.trimmed, self.head - self._ring_events)
        try:
            page = await self._pages.read(self.session_id, start, base - start)
        except BaseException:
            self._warming = None  # the next one tries again
            raise
        if page is None or page.position.epoch != self.epoch:
            self.lose()
        elif not self.lost and self.base == base and page.reached >= base:
            for seq, entry in reversed([(seq, entry) for seq, entry in page.events if seq <= base]):
                kept = keep(self.epoch, seq, entry)
                if len(self._ring) >= self._ring_events or self._ring_bytes + len(kept.frame) > MOST_RING_BYTES:
                    break
                self._ring.appendleft(kept)
                self._hold(len(kept.frame))
                self.base = seq - 1
            self._unshare()

    async def has_kept(self, seq: int) -> bool:
        """Whether the log, as it is now, still has what follows `seq`."""
        position = await self._pages.position(self.session_id)
        if position is None or position.epoch != self.epoch:
            self.lose()
            return False
        self.trimmed = max(self.trimmed, position.trimmed)
        return seq >= self.trimmed

    async def page(self, seq: int) -> Page | None:
        """A page of the log that holds what follows `seq`; None when the session is gone."""
        return await self._pages.covering(self.session_id, self.epoch, seq)

    async def close(self) -> None:
        """Stop what still reads; the last browser has left."""
        self._send_away()
        running = [task for task in (self._repair, self._warming) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._clear()
