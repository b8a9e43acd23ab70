"""A whole run: draw a schedule, start the world, strike, and account for everything."""

import math
import random
from collections.abc import Sequence

from tests.faults.harness.fault import FaultMaker
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.scene import Scene
from tests.faults.harness.schedule import draw
from tests.faults.harness.world import Stack, World


async def play(
    stack: Stack, makers: Sequence[FaultMaker], seed: int, seconds: float, *, longest_seconds: float = math.inf
) -> Outcome:
    """Faults for `seconds` on a new world of this stack; the end and the accounting take some seconds more."""
    world = World(stack)
    schedule = draw(seed, makers, world, seconds, longest_seconds=longest_seconds)
    async with world, Scene(world, random.Random(seed)) as scene:
        await scene.work_is_under_way()
        await schedule.run(scene, seconds)
        return await scene.finish()
