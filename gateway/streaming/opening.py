"""How a stream begins: from where the client stands to a cursor and the first frames."""

from dataclasses import dataclass

import orjson

from gateway.streaming.channel import Channel
from gateway.streaming.cursor import Cursor
from gateway.streaming.frames import control_frame
from gateway.streaming.position import Position
from infra.database.log import EventLog
from infra.database.repositories.snapshots import JobPlace, Snapshots
from infra.errors import NotFound


@dataclass(frozen=True, slots=True)
class Opened:
    """The first frames of a stream, and the cursor to go on from."""

    frames: bytes
    cursor: Cursor


class Opener:
    """What one request asked for: a session, or one job of it, from a position, from a snapshot, or from the start.

    `job` is where the followed job stood when the request came; None on a session's stream.
    """

    def __init__(
        self,
        session_id: str,
        job_id: str | None,
        job: JobPlace | None,
        position: Position | None,
        from_snapshot: bool,
        event_log: EventLog,
        snapshots: Snapshots,
    ) -> None:
        self.session_id = session_id
        self.job_id = job_id
        self._job = job
        self._position = position
        self._from_snapshot = from_snapshot
        self._log = event_log
        self._snapshots = snapshots

    @property
    def resuming(self) -> bool:
        """Whether the client names a position."""
        return self._position is not None

    async def open(self, channel: Channel) -> Opened | None:
        """The beginning of the stream; None when the client has everything of a job that has ended (204)."""
        await self._compare(channel)
        position, ended = self._position, self._job.ended if self._job else None
        last = self._job.last_seq if self._job else channel.head
        if position is None:
            trimmed_away = ended is not None and last <= channel.trimmed
            if self._from_snapshot or trimmed_away:
                return await self._from_current_state(channel, "new", b"")
            seq = max(channel.trimmed, self._job.first_seq - 1 if self._job else 0)
            return self._opened(channel, "new", Cursor(channel, seq, self.job_id, last), b"")
        reason = await self._why_lost(channel, position)
        if reason == "behind_retention" and ended is not None and position.seq >= last:
            return None  # what was trimmed is what the client has
        if reason is not None:
            head = Position(channel.epoch, last)
            reset = control_frame("stream.reset", {"reason": reason, "epoch": channel.epoch, "head": str(head)})
            return await self._from_current_state(channel, "reset", reset)
        if ended is not None and position.seq >= last:
            return None
        return self._opened(channel, "resumed", Cursor(channel, position.seq, self.job_id, last), b"")

    async def _compare(self, channel: Channel) -> None:
        """Tell the channel what the look at the job has shown; it was before the channel joined, perhaps."""
        if self._job is None:
            return
        if self._job.log.epoch == channel.epoch:
            channel.note(self._job.log)
        elif (log := await self._log.position(self.session_id)) is not None:
            channel.note(log)

    async def _why_lost(self, channel: Channel, position: Position) -> str | None:
        if position.epoch != channel.epoch:
            return "epoch_changed"
        if position.seq > channel.head:
            # Perhaps another gateway was faster than our bus: only the log knows.
            log = await self._log.position(self.session_id)
            if log is None:
                raise NotFound
            channel.note(log)
            if position.seq > log.head:
                return "ahead_of_head"
        return "behind_retention" if position.seq < channel.trimmed else None

    async def _from_current_state(self, channel: Channel, outcome: str, reset: bytes) -> Opened:
        if self.job_id is None:
            state = await self._snapshots.session(self.session_id)
        else:
            state = await self._snapshots.job(self.job_id)
        if state is None:
            raise NotFound
        if state.body["epoch"] != channel.epoch:
            channel.lose()
        known = int(state.body["head"].rpartition(".")[2])
        cursor = Cursor(channel, state.seq, self.job_id, known, state.ended)
        return self._opened(
            channel, outcome, cursor, reset + control_frame("stream.snapshot", orjson.dumps(state.body))
        )

    def _opened(self, channel: Channel, outcome: str, cursor: Cursor, then: bytes) -> Opened:
        opening = {"outcome": outcome, "epoch": channel.epoch, "head": str(cursor.head)}
        return Opened(control_frame("stream.open", opening) + then, cursor)
