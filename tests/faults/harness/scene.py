"""A world at work: the crowd orders and watches, faults strike, and at the end everything is accounted for."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from tests.faults.harness.accounts import draw_up
from tests.faults.harness.crowd import Crowd
from tests.faults.harness.fault import Fault
from tests.faults.harness.outcome import Outcome, Sample, Stroke
from tests.faults.harness.truth import Ledger
from tests.faults.harness.viewers import AnyViewer
from tests.faults.harness.world import World

SAMPLE_SECONDS = 0.5
POLL_SECONDS = 0.02
START_SECONDS = 30.0
# Waits after each fault and at the end. What takes longer is reported as never.
RECOVERY_SECONDS = 60.0
JOBS_SECONDS = 90.0
VIEWERS_SECONDS = 45.0
# A job is under way after so many events, and it has several times as many.
UNDER_WAY_EVENTS = 20


class Scene:
    """Entered, the crowd is at work; `options` are the Crowd's."""

    def __init__(self, world: World, rng: random.Random, **options: Any) -> None:
        self.world = world
        self.crowd = Crowd(world, rng, **options)
        self.ledger = Ledger(world.database_url)
        self.strokes: list[Stroke] = []
        self._faults: list[Fault] = []
        self._samples: list[Sample] = []
        self._sampling: asyncio.Task[None] | None = None
        self._began = time.monotonic()

    async def __aenter__(self) -> Self:
        try:
            await self.crowd.gather()
            self._sampling = asyncio.create_task(self._sample(), name="samples")
            await self.until(self._all_live, START_SECONDS, "all viewers are live")
            self.crowd.work()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)
        await self.crowd.leave()

    async def _sample(self) -> None:
        while True:
            heads = await self.ledger.heads()
            self._samples.append(Sample(time.monotonic(), sum(heads.values()) if heads is not None else None))
            await self.crowd.close_doors()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something. Raises AssertionError with what it was, and at once what broke a part of the scene."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.crowd.check()
            if self._sampling is not None and self._sampling.done():
                await self._sampling
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            await asyncio.sleep(POLL_SECONDS)

    def _all_live(self) -> bool:
        return all(viewer.is_live for viewer in self.crowd.viewers)

    async def work_is_under_way(self) -> None:
        """Wait until a viewer has had events since now, of a job that is not over."""
        before = {viewer.name: viewer.position for viewer in self.world.viewers}

        def moving() -> bool:
            return any(
                viewer.position >= before.get(viewer.name, 0) + UNDER_WAY_EVENTS and viewer.history.under_way
                for viewer in self.world.viewers
            )

        await self.until(moving, START_SECONDS, "jobs are under way")

    async def hit(self, fault: Fault, seconds: float) -> Stroke:
        """Strike, wait, heal, and see how long it takes until all are live at the head again."""
        stroke = Stroke(fault.name, fault.part, time.monotonic())
        self.strokes.append(stroke)
        self._faults.append(fault)
        try:
            await fault.strike(self.world)
            await asyncio.sleep(seconds)
        except AssertionError as error:
            stroke.failure = f"it did not strike: {error}"
        finally:
            try:
                await fault.heal(self.world)
            except AssertionError as error:
                stroke.failure = stroke.failure or f"it did not heal as expected: {error}"
            finally:
                stroke.healed_at = time.monotonic()
        if await self._all_recover():
            now = time.monotonic()
            # What another fault broke until later does not count for this one.
            whole_since = max(other.healed_at for other in self.strokes if other.healed_at <= now)
            stroke.recovered_seconds = now - max(whole_since, stroke.healed_at)
        return stroke

    async def _all_recover(self) -> bool:
        """Wait until whoever watches now is live and has what is committed now; False when that takes too long."""
        viewers = [viewer for viewer in self.crowd.viewers if viewer.is_following]
        deadline = time.monotonic() + RECOVERY_SECONDS
        while (heads := await self.ledger.heads()) is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        while any(self._is_behind(viewer, heads) for viewer in viewers):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _is_behind(self, viewer: AnyViewer, heads: dict[str, int]) -> bool:
        if not viewer.is_following:
            return False
        # A job's stream need not reach the head of a session that others order in, too.
        target = heads.get(viewer.history.session_id, 0) if viewer.history.job_id is None else 0
        return not viewer.is_live or viewer.position < target

    async def finish(self) -> Outcome:
        """End the orders, wait for every job and viewer, and compare all that was seen with all that is stored."""
        findings: list[str] = []
        await self.crowd.stop_orders()
        for wait in (self._jobs_end, self._viewers_end):
            await _note(wait(), findings)
        findings += [f"{site.name} is down" for site in self.world.sites if not site.gateway.is_running]
        ended = time.monotonic()
        await self._close()
        for fault, stroke in zip(self._faults, self.strokes, strict=True):
            try:
                stroke.evidence = fault.evidence()
            except AssertionError as error:
                stroke.failure = stroke.failure or f"nothing shows that it happened: {error}"
        return await draw_up(self.world, self.crowd, self.strokes, self._samples, findings, (self._began, ended))

    async def _jobs_end(self) -> None:
        deadline = time.monotonic() + JOBS_SECONDS
        while (left := await self.ledger.unfinished()) != 0:
            assert time.monotonic() < deadline, f"{left} jobs have not ended {JOBS_SECONDS:g} s after the last order"
            await asyncio.sleep(0.1)

    async def _viewers_end(self) -> None:
        heads = await self.ledger.wait_for_heads()

        def waiting() -> list[str]:
            return [viewer.name for viewer in self.crowd.viewers if _is_unfinished(viewer, heads)]

        try:
            await self.until(lambda: not waiting(), VIEWERS_SECONDS, "all viewers have everything")
        except AssertionError as error:
            raise AssertionError(f"{error}: {waiting()[:5]}") from None


def _is_unfinished(viewer: AnyViewer, heads: dict[str, int]) -> bool:
    if not viewer.is_following:
        return False
    if viewer.history.job_id is not None:
        return True
    viewer.collect()
    return viewer.position < heads[viewer.history.session_id] or not viewer.history.complete


async def _note(waiting: Awaitable[None], findings: list[str]) -> None:
    try:
        await waiting
    except AssertionError as error:
        findings.append(str(error))
