"""A submission: its stages are claimed with it where there is room to run them, and whatever is claimed is run."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from infra.database.leases import Leases
from infra.database.models import Event, Job, Stage
from infra.database.repositories.inputs import JobInputs
from infra.database.repositories.snapshots import Snapshots
from infra.dispatch.local import LocalDispatcher
from infra.providers.synthetic import SyntheticProvider
from infra.settings import Settings, SyntheticSettings
from pipeline.inputs import Inputs
from pipeline.jobs import Jobs
from pipeline.registry import KINDS
from pipeline.runner import Runner
from pipeline.submission import NewJob
from pipeline.verify import verify
from tests.contract.jobs import DISH, claim
from tests.database import Store
from tests.waiting import wait_for

STAGES = tuple(KINDS["menu"].stages)


class Process:
    """What a gateway has for its jobs."""

    def __init__(self, store: Store, concurrency: int = 64) -> None:
        self.store = store
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        provider = SyntheticProvider(SyntheticSettings())
        inputs = Inputs(JobInputs(store.database))
        self.runner = Runner(provider, inputs, store.committer, Leases(store.database), settings, store.metrics)
        self.dispatcher = LocalDispatcher(self.runner.run, concurrency)
        self.jobs = Jobs(
            store.committer, Snapshots(store.database), self.dispatcher, self.runner, provider, 3, store.metrics
        )

    def submit(self, items: int = 2) -> Any:
        return self.jobs.submit(NewJob("menu", None, None, "en", (DISH,) * items), None, None)

    async def status(self) -> str | None:
        async with self.store.database.read() as connection:
            return await connection.scalar(select(Job.status))

    async def ended(self) -> bool:
        return await self.status() == "completed"

    async def attempts(self) -> list[int]:
        async with self.store.database.read() as connection:
            return list(await connection.scalars(select(Stage.attempt)))

    async def first_message(self) -> list[str]:
        """What the transaction of the submission announced."""
        return [entry.type for entry in self.store.published[0].entries]


async def begun() -> None:
    """Until a submission that has just been made waits for its commit."""
    for _ in range(2):
        await asyncio.sleep(0)


async def test_stages_that_can_run_at_once_are_claimed_with_their_job(store: Store) -> None:
    process = Process(store)
    submitted = await process.submit()
    assert (submitted.status, submitted.head.rpartition(".")[2]) == ("queued", "1")
    await wait_for(process.ended)
    assert await process.first_message() == ["job.accepted", "job.started", *["stage.started"] * 8]
    assert await process.attempts() == [1] * 8
    assert (await verify(store.database)).findings == []


async def test_a_process_without_room_for_all_stages_claims_none(store: Store) -> None:
    process = Process(store, concurrency=7)
    await process.submit()
    assert await process.first_message() == ["job.accepted"]
    await wait_for(process.ended)
    assert await process.attempts() == [1] * 8
    assert (await verify(store.database)).findings == []


async def test_a_client_that_leaves_while_its_job_is_stored_leaves_no_claim_behind(store: Store) -> None:
    process = Process(store)
    leaving = asyncio.create_task(process.submit())
    await begun()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await wait_for(process.ended)
    assert await process.attempts() == [1] * 8


async def test_claims_of_a_process_that_stops_are_handed_back(store: Store) -> None:
    process = Process(store)
    submitting = asyncio.create_task(process.submit())
    await begun()
    process.dispatcher.rest()
    await submitting
    async with store.database.read() as connection:
        rows = (await connection.execute(select(Stage.status, Stage.lease_token, Stage.attempt_limit))).all()
    assert rows == [("retry_wait", None, 4)] * 8
    await wait_for(lambda: Leases(store.database).claimable(0, 100))


async def test_a_job_whose_process_died_after_its_submission_is_run_by_another(store: Store) -> None:
    process = Process(store)
    process.runner._lease_ms = 0  # expired as soon as it is given
    process.dispatcher._begin = lambda key: None  # type: ignore[method-assign]  # it dies before the first step
    submitted = await process.submit()
    lease = await claim(store.committer, submitted.job_id)
    assert lease.attempt == 2
    async with store.database.read() as connection:
        assert "stage.recovering" in list(await connection.scalars(select(Event.type)))
    assert (await verify(store.database)).findings == []


async def test_two_submissions_at_once_do_not_share_the_same_places(store: Store) -> None:
    process = Process(store, concurrency=12)
    await asyncio.gather(process.submit(), process.submit())
    claimed = [entry.type for message in store.published[:2] for entry in message.entries].count("job.started")
    assert claimed == 1

    async def all_ended() -> bool:
        async with store.database.read() as connection:
            return set(await connection.scalars(select(Job.status))) == {"completed"}

    await wait_for(all_ended)
