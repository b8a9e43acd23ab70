"""A short run of random faults on both stacks. The long one is `make faults`, and docs/faults.md is its report."""

import os

import pytest

from tests.faults.harness.faults.catalogue import FAULTS
from tests.faults.harness.play import play
from tests.faults.harness.world import SQLITE_ALONE, TWO_GATEWAYS, Stack

SECONDS = 20.0
# So that several faults fit in; one that needs more time takes it.
LONGEST_SECONDS = 2.0
FEWEST_FAULTS = 2
# Its first faults are of many kinds on both stacks. FAULTS_SEED=n draws others; the long run always does.
SEED = int(os.environ.get("FAULTS_SEED", "4"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stack", [SQLITE_ALONE, TWO_GATEWAYS], ids=lambda stack: stack.name)
async def test_nothing_is_lost_or_doubled_whatever_dies_in_between(stack: Stack) -> None:
    print(f"FAULTS_SEED={SEED} repeats this schedule")
    outcome = await play(stack, FAULTS, SEED, SECONDS, longest_seconds=LONGEST_SECONDS)
    print(outcome.text())
    outcome.check()
    damage = {name: outcome.total(name) for name in ("lost", "doubled", "reordered", "altered", "phantom")}
    assert damage == dict.fromkeys(damage, 0)
    assert len(outcome.strokes) >= FEWEST_FAULTS
    assert all(stroke.evidence for stroke in outcome.strokes)
    assert outcome.total("delivered") >= outcome.committed > 0
