"""After the clock was set back, what was written before lies ahead: nobody waits for it, and no lease is stolen."""

from typing import Any

import pytest
from sqlalchemy import update

from infra.clock import now_ms
from infra.database.leases import Leases, farthest_ms
from infra.database.models import Stage
from infra.errors import NotClaimable
from pipeline.transitions import Claim
from tests.contract.jobs import claim, submit
from tests.database import Store

LEASE_MS = 12_000
HOURS_MS = 3 * 3600 * 1000
STAGE = "translation"

# How a stage stands in the database when the clock was three hours ahead until a moment ago.
LEFT_BEHIND: dict[str, dict[str, Any]] = {
    "its run died": {"status": "running", "lease_token": "dead", "lease_until": HOURS_MS + LEASE_MS, "attempt": 1},
    "it waits for its next attempt": {"status": "retry_wait", "retry_at": HOURS_MS + 500, "attempt": 1},
    "nobody has begun it": {"status": "queued", "updated_at": HOURS_MS},
}
# What an honest clock may have written: another process may have longer leases than this one.
HONEST: dict[str, dict[str, Any]] = {
    "it runs": {"status": "running", "lease_token": "alive", "lease_until": 9 * LEASE_MS, "attempt": 1},
    "it waits for its next attempt": {"status": "retry_wait", "retry_at": 60_000, "attempt": 1},
}


async def leave(store: Store, job_id: str, columns: dict[str, Any]) -> None:
    """Write a stage's row as it is; times are given from now on."""
    times = {name: now_ms() + value for name, value in columns.items() if name in ("lease_until", "retry_at")}
    updated = now_ms() + columns.get("updated_at", 0)
    async with store.database.write() as connection:
        row = update(Stage).where(Stage.job_id == job_id, Stage.name == STAGE)
        await connection.execute(row.values({**columns, **times, "updated_at": updated}))


async def is_found(store: Store, job_id: str) -> bool:
    return (job_id, STAGE) in await Leases(store.database).claimable(2000, 100, LEASE_MS)


@pytest.mark.parametrize("left", LEFT_BEHIND.values(), ids=LEFT_BEHIND)
async def test_a_stage_whose_times_lie_hours_ahead_is_found_and_claimed(store: Store, left: dict[str, Any]) -> None:
    job = await submit(store.committer)
    await leave(store, job.id, left)
    assert await is_found(store, job.id)
    lease = await claim(store.committer, job.id, STAGE, LEASE_MS)
    assert lease.attempt == left.get("attempt", 0) + 1
    assert not await is_found(store, job.id), "claimed by the right clock, it is somebody's"


@pytest.mark.parametrize("left", HONEST.values(), ids=HONEST)
async def test_a_time_that_a_right_clock_can_have_written_is_kept(store: Store, left: dict[str, Any]) -> None:
    job = await submit(store.committer)
    await leave(store, job.id, left)
    assert not await is_found(store, job.id)
    with pytest.raises(NotClaimable):
        await store.committer.commit(Claim(job.id, STAGE, LEASE_MS))


def test_the_longest_honest_wait_is_bounded_for_the_shortest_leases_too() -> None:
    assert farthest_ms(300) == 120_000
    assert farthest_ms(60_000) == 600_000
