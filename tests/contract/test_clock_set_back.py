"""After the clock was set back, what was written before lies ahead: nobody waits for it, and no lease is stolen."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from infra.clock import now_ms
from infra.database.leases import FARTHEST_MS, Leases
from infra.database.models import Stage
from infra.errors import NotClaimable
from infra.settings import ProcessingSettings
from pipeline.runner import LONGEST_RETRY_DELAY_SECONDS
from pipeline.transitions import Claim
from tests.contract.jobs import answer, claim, item_ids, submit
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
# What an honest clock may have written: another process may have the longest leases that there are.
LONGEST_LEASE_MS = 3_600_000
HONEST: dict[str, dict[str, Any]] = {
    "it runs": {"status": "running", "lease_token": "alive", "lease_until": LONGEST_LEASE_MS, "attempt": 1},
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
    return (job_id, STAGE) in await Leases(store.database).claimable(2000, 100)


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


async def test_a_new_lease_setting_that_is_rolled_out_takes_no_stage_from_those_that_have_it(store: Store) -> None:
    job = await submit(store.committer)
    lease = await claim(store.committer, job.id, STAGE, LONGEST_LEASE_MS)
    assert not await is_found(store, job.id)
    with pytest.raises(NotClaimable):
        await store.committer.commit(Claim(job.id, STAGE, LEASE_MS))
    await answer(store, lease, await item_ids(store, job.id))


def test_no_setting_allows_a_lease_that_would_count_as_written_by_a_wrong_clock() -> None:
    assert ProcessingSettings(lease_seconds=LONGEST_LEASE_MS / 1000).lease_seconds * 1000 < FARTHEST_MS
    with pytest.raises(ValidationError):
        ProcessingSettings(lease_seconds=LONGEST_LEASE_MS / 1000 + 1)
    assert LONGEST_RETRY_DELAY_SECONDS * 1000 < FARTHEST_MS
