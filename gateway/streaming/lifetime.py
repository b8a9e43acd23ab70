"""When a stream beats, and when it has to leave: of age, or because the process stops."""

import asyncio
import random

from gateway.streaming.hub import Hub
from infra.settings import SseSettings


class Lifetime:
    """The clock of one stream. Every moment is drawn at random, so that streams opened together do not act together."""

    __slots__ = ("_end", "_heartbeat", "_heartbeat_seconds", "_hub", "_now", "_turn")

    def __init__(self, settings: SseSettings, hub: Hub) -> None:
        self._now = asyncio.get_running_loop().time
        self._hub = hub
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._heartbeat = self._now() + settings.heartbeat_seconds * random.uniform(0.8, 1.0)
        # 80 to 100 %, as mercure does it: whatever brought the streams here together, they come back one by one.
        self._end = self._now() + settings.max_age_seconds * random.uniform(0.8, 1.0)
        self._turn = random.random()

    @property
    def next_moment(self) -> float:
        """When something is due if nothing else happens, in the event loop's time."""
        return min(self._heartbeat, self._end, self._leaving_at())

    def _leaving_at(self) -> float:
        leaving = self._hub.leaving
        return self._end if leaving is None else leaving.began + self._turn * leaving.seconds

    def beats(self) -> bool:
        """Whether a heartbeat is due; if so the next one is one interval from now."""
        due = self._now() >= self._heartbeat
        if due:
            self._heartbeat = self._now() + self._heartbeat_seconds
        return due

    def over(self) -> str | None:
        """Why the stream has to leave now: `drained`, `aged`, or None."""
        now = self._now()
        if self._hub.draining and now >= self._leaving_at():
            return "drained"
        return "aged" if now >= self._end else None
