"""The hub: which sessions have browsers in this process, one channel for each, fed by the bus and checked by sweeps.

A sweep compares the heads of all live channels with the log in one query. It runs every two seconds and whenever the
bus says that messages may be missing: a lost message is noticed by the next one, a lost *last* message only by this.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from gateway.streaming.budget import Budget
from gateway.streaming.channel import Channel
from gateway.streaming.flusher import Flusher
from gateway.streaming.pages import Pages
from gateway.streaming.timetable import Timetable
from infra.bus.base import Bus, Message
from infra.database.log import EventLog
from infra.errors import DatabaseUnavailable, NotFound
from infra.settings import SseSettings
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics

SWEEP_SECONDS = 2.0
SESSIONS_PER_QUERY = 1000
# A channel outlives its last browser this long, so that a reconnect finds the ring still warm.
LINGER_SECONDS = 5.0
MOST_EARLY_MESSAGES = 256
# The rings of all channels together; beyond that each keeps only a little.
MOST_RINGS_BYTES = 134_217_728

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Slot:
    joining: asyncio.Task[Channel] = field(init=False)
    readers: int = 0
    channel: Channel | None = None
    early: list[Message] = field(default_factory=list)
    idle_since: float | None = None

    def leave(self) -> None:
        self.readers -= 1
        if self.readers == 0:
            self.idle_since = asyncio.get_running_loop().time()


class Seat:
    """One browser's hold on a channel."""

    __slots__ = ("_slot", "channel")

    def __init__(self, slot: _Slot, channel: Channel) -> None:
        self._slot: _Slot | None = slot
        self.channel = channel

    def leave(self) -> None:
        """Let go; a second time does nothing."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.leave()


@dataclass(frozen=True, slots=True)
class Leaving:
    """Since when (the event loop's time) and over how many seconds the streams of a stopping process leave."""

    began: float
    seconds: float


# Gives a session a new epoch if it still has this one.
Renew = Callable[[str, str], Awaitable[object]]


class Hub:
    """Hands out channels and keeps them true. Listens to the bus."""

    def __init__(
        self,
        bus: Bus,
        event_log: EventLog,
        settings: SseSettings,
        supervisor: Supervisor,
        metrics: Metrics,
        renew: Renew,
    ) -> None:
        self._bus = bus
        self._log = event_log
        self._settings = settings
        self._supervisor = supervisor
        self._metrics = metrics
        self._renew = renew
        self._pages = Pages(event_log, metrics.log_reads.inc)
        self._rings = Budget(MOST_RINGS_BYTES)
        self._flusher = Flusher(settings.flush_window_ms / 1000, metrics)
        self.timetable = Timetable()
        self._slots: dict[str, _Slot] = {}
        self._set_back: dict[str, str] = {}
        self._sweep_now = asyncio.Event()
        self.leaving: Leaving | None = None

    async def start(self) -> None:
        """Begin to listen and to sweep."""
        await self._bus.start(self)
        self._supervisor.start("hub.sweep", self._keep_sweeping)

    @asynccontextmanager
    async def open(self, session_id: str) -> AsyncIterator[Channel]:
        """The session's channel for as long as the block runs; raises what `enter` raises."""
        seat = await self.enter(session_id)
        try:
            yield seat.channel
        finally:
            seat.leave()

    async def enter(self, session_id: str) -> "Seat":
        """A seat at the session's channel, to be left by its owner. Raises NotFound, DatabaseUnavailable.

        The subscription stands before the head is read: what is committed after that arrives, what was committed before
        is in the log.
        """
        slot = self._slots.get(session_id)
        if slot is not None and slot.channel is not None and slot.channel.lost:
            slot = None  # it serves nobody; whoever still reads from it is about to be told
            self._metrics.channels.dec()
        slot = slot or self._new_slot(session_id)
        slot.readers += 1
        slot.idle_since = None
        try:
            # Shielded: the browser that came first may leave while others wait for the same channel.
            return Seat(slot, await asyncio.shield(slot.joining))
        except BaseException:
            slot.leave()
            raise

    def _new_slot(self, session_id: str) -> _Slot:
        slot = self._slots[session_id] = _Slot()
        slot.joining = asyncio.create_task(self._join(session_id, slot))

        def forget_failure(joining: asyncio.Task[Channel]) -> None:
            # The next browser tries again; whoever waits now gets the error.
            if (joining.cancelled() or joining.exception()) and self._slots.get(session_id) is slot:
                del self._slots[session_id]

        slot.joining.add_done_callback(forget_failure)
        return slot

    async def _join(self, session_id: str, slot: _Slot) -> Channel:
        await self._bus.subscribe(session_id)
        try:
            position = await self._log.position(session_id)
            if position is None:
                raise NotFound
        except BaseException:
            await self._bus.unsubscribe(session_id)
            raise
        channel = Channel(
            session_id,
            position,
            self._pages,
            self._rings,
            self._settings.ring_events,
            self._count_repair,
            self._note_set_back,
            self._flusher,
        )
        slot.channel = channel
        self._metrics.channels.inc()
        for message in slot.early:
            channel.receive(message)
        slot.early.clear()
        return channel

    def receive(self, message: Message) -> None:
        """From the bus. Messages that arrive while the head is being read wait for the channel."""
        slot = self._slots.get(message.session_id)
        if slot is None:
            return
        if slot.channel is not None:
            slot.channel.receive(message)
        elif len(slot.early) < MOST_EARLY_MESSAGES:
            slot.early.append(message)

    def gap_possible(self) -> None:
        """From the bus: it was away."""
        self._sweep_now.set()

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            self._sweep_now.clear()
            await self._close_idle()
            try:
                await self._sweep()
            except DatabaseUnavailable:
                log.warning("sweep_postponed", reason="database unavailable")

    async def _sweep(self) -> None:
        # The heads as they are now: an answer that is behind them shows a log that was set back.
        live = [(slot.channel, slot.channel.head) for slot in self._slots.values() if slot.channel is not None]
        for start in range(0, len(live), SESSIONS_PER_QUERY):
            some = live[start : start + SESSIONS_PER_QUERY]
            positions = await self._log.positions([channel.session_id for channel, _ in some])
            for channel, known_head in some:
                position = positions.get(channel.session_id)
                if position is None:
                    channel.lose()
                else:
                    channel.note(position, known_head)
        await self._renew_set_back()

    def _note_set_back(self, channel: Channel) -> None:
        self._set_back[channel.session_id] = channel.epoch
        self._sweep_now.set()

    async def _renew_set_back(self) -> None:
        """The database lost events that browsers have: under the same numbers it would tell them another story."""
        for session_id, epoch in list(self._set_back.items()):
            log.error("log_set_back", session_id=session_id, epoch=epoch)
            await self._renew(session_id, epoch)
            del self._set_back[session_id]
            slot = self._slots.get(session_id)
            if slot is not None and slot.channel is not None and slot.channel.epoch == epoch:
                slot.channel.lose()

    async def _close_idle(self) -> None:
        horizon = asyncio.get_running_loop().time() - LINGER_SECONDS
        for session_id, slot in list(self._slots.items()):
            # While another one was being closed, a browser may have come and found a channel that was lost: then
            # another slot stands here.
            if slot.readers or slot.channel is None or self._slots.get(session_id) is not slot:
                continue
            if slot.channel.lost or (slot.idle_since is not None and slot.idle_since <= horizon):
                del self._slots[session_id]
                self._metrics.channels.dec()
                await self._bus.unsubscribe(session_id)
                await slot.channel.close()
                self._pages.forget(session_id)

    @property
    def draining(self) -> bool:
        """Whether the process is stopping."""
        return self.leaving is not None

    def drain(self, over_seconds: float = 0.0) -> None:
        """Have every stream say goodbye, spread over so many seconds; new ones are told to come back."""
        self.leaving = Leaving(asyncio.get_running_loop().time(), over_seconds)
        self.timetable.ask_all()

    async def close(self) -> None:
        """Close all channels."""
        slots = list(self._slots.values())
        self._slots.clear()
        for slot in slots:
            slot.joining.cancel()
            if slot.channel is not None:
                await slot.channel.close()
        self.timetable.close()
        await self._pages.close()

    def _count_repair(self, cause: str) -> None:
        self._metrics.gap_repairs.labels(cause=cause).inc()
