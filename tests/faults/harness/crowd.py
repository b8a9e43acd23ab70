"""The people of a scene: submitters who order, and viewers who watch what becomes of it."""

import asyncio
import random
from collections.abc import Sequence

from gateway.client.api import Accepted
from tests.faults.harness.history import Order
from tests.faults.harness.proxy import TcpProxy
from tests.faults.harness.submitters import Submitter
from tests.faults.harness.viewers import AnyViewer, ProcessViewer, Viewer
from tests.faults.harness.world import World

MOST_JOB_VIEWERS = 16
# Of the orders so many are for standing sessions, and of those so many jobs have a viewer of their own besides.
STANDING_SHARE = 0.6
WATCHED_SHARE = 0.3
LATE_SECONDS = (0.2, 2.0)


class Crowd:
    """So many submitters, and viewers of all that they order.

    `standing` sessions live as long as the scene, each with a viewer on every gateway, the first of them also with one
    in a process of its own when `in_process`; the other orders make sessions of their own. Each submitter pauses for
    about `pace_seconds` after an order. All that chance decides comes from `rng`.
    """

    def __init__(
        self,
        world: World,
        rng: random.Random,
        *,
        standing: int = 3,
        submitters: int = 2,
        pace_seconds: float = 0.8,
        in_process: bool = True,
    ) -> None:
        self._world = world
        self._rng = rng
        self._standing_count = standing
        self._submitter_count = submitters
        self._pace_seconds = pace_seconds
        self._in_process = in_process
        self._standing: list[Accepted] = []
        self._submitters: list[Submitter] = []
        self._ordering: list[asyncio.Task[None]] = []
        self._coming: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._job_viewer_count = 0

    @property
    def viewers(self) -> Sequence[AnyViewer]:
        """All viewers that there ever were."""
        return [*self._world.viewers, *self._world.process_viewers]

    @property
    def orders(self) -> list[Order]:
        """All orders that have come to an end."""
        return [order for submitter in self._submitters for order in submitter.orders]

    async def gather(self) -> None:
        """Open the standing sessions and start their viewers."""
        for number in range(1, self._submitter_count + 1):
            submitter = Submitter(f"submitter {number}", await self._all_doors(), random.Random(self._rng.random()))
            self._submitters.append(submitter)
        for number in range(1, self._standing_count + 1):
            accepted = await self._submitters[0].order()
            assert accepted is not None, f"the first orders are refused: {self._submitters[0].orders[-1]}"
            self._standing.append(accepted)
            for site in range(len(self._world.sites)):
                await self._watch(accepted, site, f"session {number} at gateway {site + 1}")
        if self._in_process:
            await self._watch_in_process(self._standing[0])

    def work(self) -> None:
        """Let the submitters order until they are told to stop."""
        self._ordering = [asyncio.create_task(self._order(one), name=one.name) for one in self._submitters]

    def check(self) -> None:
        """Raise what broke a submitter."""
        for task in self._ordering:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def stop_orders(self) -> None:
        """Let what is being ordered come to its end, and order no more."""
        self._stopped = True
        await asyncio.gather(*self._ordering, *self._coming)

    async def close_doors(self) -> None:
        """Give back the doors of viewers that have gone: a long run has thousands of viewers of jobs."""
        for viewer in self._world.viewers:
            if not viewer.is_following:
                await viewer.door.close()

    async def leave(self) -> None:
        """End everybody."""
        tasks = [*self._ordering, *self._coming]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(viewer.stop() for viewer in self.viewers))
        for submitter in self._submitters:
            await submitter.close()

    async def _all_doors(self) -> list[TcpProxy]:
        doors = [await self._world.open_door(number) for number in range(len(self._world.sites))]
        self._world.submitter_doors += doors
        return doors

    async def _order(self, submitter: Submitter) -> None:
        rng = random.Random(self._rng.random())
        while not self._stopped:
            in_standing = rng.random() < STANDING_SHARE
            accepted = await submitter.order(rng.choice(self._standing) if in_standing else None)
            wanted = not in_standing or rng.random() < WATCHED_SHARE
            if accepted is not None and wanted and self._job_viewers() < MOST_JOB_VIEWERS:
                # Some come late: they have to be told what has been, and then what comes.
                delay = rng.choice((0.0, 0.0, rng.uniform(*LATE_SECONDS)))
                site = rng.randrange(len(self._world.sites))
                task = asyncio.create_task(self._watch_job(accepted, site, delay))
                self._coming.add(task)
                task.add_done_callback(self._coming.discard)
            await asyncio.sleep(self._pace_seconds * rng.uniform(0.5, 1.5))

    def _job_viewers(self) -> int:
        return sum(viewer.is_following and viewer.history.job_id is not None for viewer in self._world.viewers)

    async def _watch_job(self, accepted: Accepted, site: int, delay: float) -> None:
        await asyncio.sleep(delay)
        self._job_viewer_count += 1
        await self._watch(accepted, site, f"job {self._job_viewer_count} at gateway {site + 1}", accepted.job_id)

    async def _watch(self, accepted: Accepted, site: int, name: str, job_id: str | None = None) -> None:
        door = await self._world.open_door(site)
        viewer = Viewer(name, door, accepted.session_id, accepted.session_token, job_id)
        self._world.viewers.append(viewer)
        await viewer.start()

    async def _watch_in_process(self, accepted: Accepted) -> None:
        door = await self._world.open_door(0)
        name, directory = "session 1 in a process", self._world.directory
        viewer = ProcessViewer(name, door, accepted.session_id, accepted.session_token, directory)
        self._world.process_viewers.append(viewer)
        await viewer.start()
