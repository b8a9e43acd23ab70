"""Viewers freeze, are cut off inside a frame, or get little or nothing over their link: others notice nothing."""

import random

import pytest

from tests.faults.harness.faults.viewer import ViewerDropped, ViewerLinkHalfOpen, ViewerPaused, ViewerSlow
from tests.faults.harness.scene import Scene
from tests.faults.harness.world import SQLITE_ALONE
from tests.faults.scenario import SEED, account, at_work, eventually, strike

pytestmark = pytest.mark.timeout(120)
MANY_EVENTS = 40


async def log_goes_on(scene: Scene) -> None:
    """Wait until much more has been committed to each standing session, so that the viewer has something to miss."""
    before = await scene.ledger.wait_for_heads()
    wanted = {viewer.history.session_id for viewer in scene.world.viewers if viewer.history.job_id is None}

    async def moved() -> bool:
        heads = await scene.ledger.heads() or {}
        return all(heads.get(session_id, 0) >= before[session_id] + MANY_EVENTS for session_id in wanted)

    await eventually(moved, "more is committed")


async def nothing(scene: Scene) -> None:
    """It is over at once."""


async def test_every_viewer_ends_with_everything_whatever_its_link_does() -> None:
    chance = random.Random(SEED)
    async with at_work(SQLITE_ALONE) as scene:
        await strike(scene, ViewerDropped(chance), nothing)
        await strike(scene, ViewerSlow(chance), log_goes_on)
        await strike(scene, ViewerLinkHalfOpen(chance), log_goes_on)
        await strike(scene, ViewerPaused(chance), log_goes_on)
        outcome, _ = await account(scene)
        assert outcome.total("connections") > len(outcome.verdicts), "no viewer had to come back"
        assert set(outcome.answers) == {"202"}, "submitters notice nothing"
