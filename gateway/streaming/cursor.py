"""A browser's place in a session's log, and the one way forward: advance.

Replay after a reconnect, the live tail, the repair of a gap and a slow reader are all this: take what follows the
cursor from the channel's ring, or from the log where the ring does not (or no longer) reach.
"""

import asyncio

from gateway.streaming.batch import Batch, gather
from gateway.streaming.channel import Channel
from gateway.streaming.pages import Page
from gateway.streaming.position import Position

# The log does not have what the channel knows of: a database that was set back. The next sweep finds out.
NO_PROGRESS_SECONDS = 0.1


class CursorLost(Exception):
    """The log no longer has what follows the cursor; the client must start again from a snapshot."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Cursor:
    """Follows a session, or one job of it.

    `known_head` is the number of the last event that the followed stream was known to have when the cursor was made;
    `ended` is the status of the followed job once it has ended and all of it has passed.
    """

    __slots__ = ("_last_event", "channel", "ended", "job_id", "seq")

    def __init__(
        self, channel: Channel, seq: int, job_id: str | None = None, known_head: int = 0, ended: str | None = None
    ) -> None:
        self.channel = channel
        self.seq = seq
        self.job_id = job_id
        self.ended = ended
        self._last_event = known_head

    @property
    def head(self) -> Position:
        """The id of the last event of what is followed: of the job on a job's stream, else of the session."""
        newest = self._last_event if self.job_id is not None else max(self.channel.head, self.seq)
        return Position(self.channel.epoch, newest)

    def move_to(self, seq: int, last_event: int, ended: str | None) -> None:
        """Stand where a crowd stands that this cursor was part of; `last_event` is 0 where the crowd saw none."""
        self.seq = seq
        if last_event:
            self._last_event = max(self._last_event, last_event)
            self.ended = ended

    async def is_served(self) -> bool:
        """Whether the log still has what follows; what has to be read for that is what `advance` needs first.

        When it does not, the channel knows by now, so that another opening resets the client. Raises
        DatabaseUnavailable.
        """
        channel = self.channel
        if self.seq >= channel.head or await channel.warm(self.seq):
            return not channel.lost
        try:
            page = await self._page()
        except CursorLost:
            return False
        # A kept page may be older than the last trim, and end before the ring begins: a part must not be all there is.
        return page.reached >= channel.base or await channel.has_kept(self.seq)

    async def advance(self) -> Batch | None:
        """The next frames, or None at the head. Raises CursorLost, DatabaseUnavailable."""
        channel = self.channel
        if channel.lost:
            raise CursorLost("epoch_changed")
        if self.seq >= channel.head:
            return None
        warm = self.seq >= channel.base or await channel.warm(self.seq)
        if channel.lost:  # while the tail was being read
            raise CursorLost("epoch_changed")
        batch = channel.tail(self.seq, self.job_id) if warm else await self._replay()
        self.seq = batch.last_seq
        if batch.count:
            self._last_event = max(self._last_event, batch.last_event)
            self.ended = batch.terminal if self.job_id is not None else None
        return batch

    @property
    def behind(self) -> bool:
        """Whether what follows must be read from the log."""
        return self.seq < self.channel.base

    async def _page(self) -> Page:
        channel = self.channel
        page = await channel.page(self.seq)
        if page is None or page.epoch != channel.epoch:
            channel.lose()
            raise CursorLost("epoch_changed")
        if page.trimmed > self.seq:
            channel.trimmed = max(channel.trimmed, page.trimmed)  # so that whoever reconnects is reset at once
            raise CursorLost("behind_retention")
        return page

    async def _replay(self) -> Batch:
        page = await self._page()
        if page.reached <= self.seq:
            await asyncio.sleep(NO_PROGRESS_SECONDS)
            return Batch(b"", 0, self.seq)
        return gather(page.after(self.seq), page.reached, self.job_id)
