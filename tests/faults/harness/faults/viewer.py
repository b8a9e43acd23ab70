"""A viewer freezes, is cut off in the middle of a frame, gets a few bytes a second, or nothing and is not told."""

import asyncio
import random
import time

import psutil

from tests.faults.harness.faults.blow import Blow, seen
from tests.faults.harness.viewers import ProcessViewer, Viewer
from tests.faults.harness.world import World

SETTLE_SECONDS = 10.0
QUIET_SECONDS = 0.5
# Two or three events: a cut may fall anywhere in what comes next.
MOST_BYTES_TO_CUT = 700


async def _settled(viewer: ProcessViewer) -> int:
    """Where a stopped viewer stands, once what it had written before is read as well."""
    while True:
        position = viewer.position
        await asyncio.sleep(QUIET_SECONDS)
        if viewer.position == position:
            return position


class ViewerPaused(Blow):
    """SIGSTOP: it reads nothing, its socket stays open and fills up."""

    name = "viewer SIGSTOP"
    part = "process viewer"
    seconds = (2, 8)

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._viewer: ProcessViewer | None = None
        self._position = 0

    async def strike(self, world: World) -> None:
        running = [viewer for viewer in world.process_viewers if viewer.is_following]
        assert running, "no viewer has a process of its own"
        viewer = self._viewer = self._chance.choice(running)
        viewer.pause()
        assert await seen(lambda: psutil.Process(viewer.pid).status() == psutil.STATUS_STOPPED, SETTLE_SECONDS)
        self._position = await _settled(viewer)
        self.note(f"process {viewer.pid} was stopped at event {self._position}")

    async def heal(self, world: World) -> None:
        assert self._viewer is not None
        assert self._viewer.position == self._position, "a stopped viewer went on"
        self._viewer.resume()


class _OfDoor(Blow):
    part = "client"

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._chosen: Viewer | None = None

    @property
    def viewer(self) -> Viewer:
        assert self._chosen is not None
        return self._chosen

    def choose(self, world: World) -> Viewer:
        """One that is connected, if any is."""
        following = [viewer for viewer in world.viewers if viewer.is_following]
        assert following, "nobody is watching"
        self._chosen = self._chance.choice([viewer for viewer in following if viewer.is_live] or following)
        return self._chosen


class ViewerDropped(_OfDoor):
    """The connection of a viewer is reset in the middle of a frame."""

    name = "viewer dropped mid-frame"

    async def strike(self, world: World) -> None:
        viewer = self.choose(world)
        counters = viewer.door.counters
        before = counters.cuts
        viewer.door.cut_after(self._chance.randint(1, MOST_BYTES_TO_CUT))
        # Heartbeats come every second, so that some bytes go down even when no job runs.
        assert await seen(lambda: counters.cuts > before, 3 * SETTLE_SECONDS), "nothing went down to the viewer"
        last = counters.tails[before]
        assert not last.endswith((b"\r", b"\n")), "the cut was between two frames"
        self.note(f"{viewer.name} was reset after {last[-24:]!r}")

    async def heal(self, world: World) -> None:
        """Nothing to undo: the viewer connects again."""


class ViewerSlow(_OfDoor):
    """The link to a viewer lets a few bytes a second through."""

    name = "slow link to a viewer"
    seconds = (2, 8)

    def __init__(self, chance: random.Random, bytes_per_second: int = 40) -> None:
        super().__init__(chance)
        self._bytes_per_second = bytes_per_second
        self._before, self._began = 0, 0.0

    async def strike(self, world: World) -> None:
        door = self.choose(world).door
        self._before, self._began = door.counters.bytes_down, time.monotonic()
        door.slow(self._bytes_per_second)

    async def heal(self, world: World) -> None:
        door = self.viewer.door
        passed, seconds = door.counters.bytes_down - self._before, time.monotonic() - self._began
        door.pass_on()
        # A connection made anew and a piece in hand may add a little.
        assert passed <= 4 * self._bytes_per_second * (seconds + 1) + 16_384, f"{passed} bytes passed in {seconds} s"
        self.note(f"{passed} bytes reached {self.viewer.name} in {seconds:.1f} s")


class ViewerLinkHalfOpen(_OfDoor):
    """The link to a viewer passes nothing in either direction, and tells neither side."""

    name = "link to a viewer half-open"
    seconds = (2, 8)

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._before = 0

    async def strike(self, world: World) -> None:
        door = self.choose(world).door
        door.half_open()
        await asyncio.sleep(0)
        self._before = door.counters.bytes_down

    async def heal(self, world: World) -> None:
        door = self.viewer.door
        passed = door.counters.bytes_down - self._before
        assert passed <= 16_384, f"{passed} bytes passed a link that is half-open"
        self.note(f"{passed} bytes reached {self.viewer.name} over {door.open_links} open connections")
        door.pass_on()
