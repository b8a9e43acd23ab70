"""A retried stage counts as unfinished again: the run ends with the last stage, never before it."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from infra.database.models import Event, Job
from infra.errors import JobFinished, LeaseLost, StageNotFailed
from pipeline.registry import KINDS
from pipeline.transitions import Cancel, GiveUp, Lease, Record, Retry
from pipeline.verify import verify
from tests.contract.jobs import LEASE_MS, answer, claim, item_ids, results, submit
from tests.database import Store

STAGES = tuple(KINDS["menu"].stages)
ERROR = {"type": "refused", "message": "m"}


async def job_row(store: Store, job_id: str) -> tuple[str, int, int]:
    async with store.database.read() as connection:
        row = (await connection.execute(select(Job.status, Job.run, Job.remaining).where(Job.id == job_id))).one()
    return row.status, row.run, row.remaining


async def endings(store: Store) -> list[str]:
    """The last events of runs, in order."""
    async with store.database.read() as connection:
        found = await connection.scalars(select(Event.type).where(Event.type.like("job.%")).order_by(Event.seq))
        return [name for name in found if name not in ("job.accepted", "job.started")]


async def fail(store: Store, lease: Lease) -> None:
    await store.committer.commit(GiveUp(lease, ERROR, retryable=False, delay_ms=0))


async def test_a_stage_that_is_retried_while_others_run_is_waited_for(store: Store) -> None:
    job = await submit(store.committer)
    ids = await item_ids(store, job.id)
    leases = {stage: await claim(store.committer, job.id, stage) for stage in STAGES}
    await fail(store, leases["price"])
    assert await job_row(store, job.id) == ("running", 1, 7)
    await store.committer.commit(Retry(job.id, "price", 3))
    assert await job_row(store, job.id) == ("running", 1, 8)
    for stage in STAGES[:-1]:
        await answer(store, leases[stage], ids)
    assert await job_row(store, job.id) == ("running", 1, 1), "one is not done yet"
    assert await endings(store) == []
    await answer(store, await claim(store.committer, job.id, "price"), ids)
    assert await job_row(store, job.id) == ("completed", 1, 0)
    assert await endings(store) == ["job.completed"]


async def test_stages_that_are_retried_after_the_end_make_one_new_run(store: Store) -> None:
    job = await submit(store.committer)
    ids = await item_ids(store, job.id)
    for stage in STAGES:
        await fail(store, await claim(store.committer, job.id, stage))
    assert await job_row(store, job.id) == ("failed", 1, 0)
    for count, stage in enumerate(("price", "image"), 1):
        await store.committer.commit(Retry(job.id, stage, 3))
        assert await job_row(store, job.id) == ("queued", 2, count)
    await answer(store, await claim(store.committer, job.id, "price"), ids)
    assert await job_row(store, job.id) == ("running", 2, 1)
    await fail(store, await claim(store.committer, job.id, "image"))
    assert await job_row(store, job.id) == ("completed_partial", 2, 0)
    assert await endings(store) == ["job.failed", "job.completed_partial"]
    assert (await verify(store.database)).findings == []


@pytest.mark.parametrize("first", ["retry", "cancel"])
async def test_a_retry_and_a_cancel_in_one_group_have_one_order(store: Store, first: str) -> None:
    """The group commit decides one after the other: the second sees what the first has decided."""
    job = await submit(store.committer)
    leases = [await claim(store.committer, job.id, stage) for stage in STAGES[:2]]
    await fail(store, leases[0])
    changes: dict[str, Any] = {"retry": Retry(job.id, STAGES[0], 3), "cancel": Cancel(job.id)}
    order = [first, *(name for name in changes if name != first)]
    both = [store.committer.commit(changes[name]) for name in order]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in outcomes] == [type(None), type(None) if first == "retry" else JobFinished]
    assert await endings(store) == ["job.cancelled"]
    assert (await job_row(store, job.id))[::2] == ("cancelled", 0)
    ids = await item_ids(store, job.id)
    with pytest.raises(LeaseLost):
        await store.committer.commit(Record(leases[1], results(STAGES[1], ids), LEASE_MS, finish=True))
    assert (await verify(store.database)).findings == []


async def test_a_second_retry_finds_the_stage_waiting_and_changes_nothing(store: Store) -> None:
    job = await submit(store.committer)
    await fail(store, await claim(store.committer, job.id, "price"))
    await store.committer.commit(Retry(job.id, "price", 3))
    with pytest.raises(StageNotFailed):
        await store.committer.commit(Retry(job.id, "price", 3))
    lease = await claim(store.committer, job.id, "price")
    with pytest.raises(StageNotFailed):
        await store.committer.commit(Retry(job.id, "price", 3))
    assert lease.attempt == 2
    assert await job_row(store, job.id) == ("running", 1, 8)
