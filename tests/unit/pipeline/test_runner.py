"""The runner: what a provider gives is kept, what it leaves out is asked again, and no lease is held for nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from infra.bus.base import Entry
from infra.database.leases import Leases
from infra.database.models import Event, Job, MenuItem, Stage
from infra.database.repositories.inputs import JobInputs
from infra.database.state import JobState
from infra.providers.base import Answer, Failure, ProviderError, ProviderRejected, StageCall
from infra.settings import ProcessingSettings, Settings
from pipeline import recorder
from pipeline.inputs import Inputs
from pipeline.runner import Runner
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Cancel
from tests.database import Store
from tests.waiting import wait_for

Script = Callable[[StageCall], AsyncIterator[Answer | Failure]]
STAGE = "translation"


class ScriptedProvider:
    """Answers each call by the next script; `calls` are the positions that it was asked for."""

    name = "scripted"

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.calls: list[list[int]] = []

    def detect_language(self, texts: Sequence[str]) -> str | None:
        return None

    def answer(self, call: StageCall) -> AsyncIterator[Answer | Failure]:
        self.calls.append([item.position for item in call.items])
        return self.scripts.pop(0)(call)


class Run:
    """A job, a provider and a runner over a real database."""

    def __init__(self, store: Store, provider: ScriptedProvider, **processing: Any) -> None:
        self.store, self.provider = store, provider
        fast = {"retry_delay_seconds": 0.0, "max_attempts": 2, **processing}
        settings = Settings(_env_file=None, processing=ProcessingSettings(**fast))  # type: ignore[call-arg]
        inputs = Inputs(JobInputs(store.database))
        self.runner = Runner(provider, inputs, store.committer, Leases(store.database), settings, store.metrics)
        self.job: JobState

    async def submit(self, items: int = 4) -> "Run":
        dish: dict[str, Any] = {"name": "親子丼", "input_price": None, "input_category": None}
        new = NewJob("menu", None, None, "en", (dish,) * items)
        accepted = await self.store.committer.commit(Submit(new, None, None, 2))
        assert accepted.state is not None
        self.job = accepted.state
        return self

    async def attempt(self) -> float | None:
        return await self.runner.run(self.job.id, STAGE)

    async def stage(self) -> Any:
        async with self.store.database.read() as connection:
            return (await connection.execute(select(Stage.__table__).where(Stage.name == STAGE))).one()

    async def filled(self) -> list[int]:
        """The positions that have a translation."""
        async with self.store.database.read() as connection:
            wanted = select(MenuItem.position).where(MenuItem.translation.is_not(None)).order_by(MenuItem.position)
            return list(await connection.scalars(wanted))

    async def events(self) -> list[str]:
        async with self.store.database.read() as connection:
            found = await connection.scalars(select(Event.type).where(Event.seq > 2).order_by(Event.seq))
            return [name.removeprefix("stage.") for name in found]


def updates(store: Store) -> list[Entry]:
    """The results that were announced."""
    return [entry for message in store.published for entry in message.entries if entry.type == "item.updated"]


async def all_of_it(call: StageCall) -> AsyncIterator[Answer | Failure]:
    for item in call.items:
        yield Answer(item.item_id, "rice bowl", 1.0)


def only(*positions: int, then: BaseException | None = None) -> Script:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        for item in call.items:
            if item.position in positions:
                yield Answer(item.item_id, "rice bowl", 1.0)
        if then is not None:
            raise then

    return script


def failing(position: int, error: ProviderError) -> Script:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        for item in call.items:
            yield Failure(item.item_id, error) if item.position == position else Answer(item.item_id, "x", 1.0)

    return script


async def test_a_stage_that_is_answered_completes(store: Store) -> None:
    run = await Run(store, ScriptedProvider(all_of_it)).submit()
    assert await run.attempt() is None
    stage = await run.stage()
    assert (stage.status, stage.done, stage.attempt, stage.lease_token) == ("completed", 4, 1, None)
    assert await run.filled() == [0, 1, 2, 3]
    assert await run.events() == ["started", *["item.updated"] * 4, "completed"]


@pytest.mark.parametrize(
    "first",
    [
        only(0, 2),
        only(0, 2, then=ProviderError("busy")),
        only(0, 2, then=ConnectionResetError("gone")),
        only(0, 2, then=RuntimeError("a bug")),
        only(0, 2, then=TimeoutError("its own deadline")),
    ],
    ids=["leaves items out", "provider error", "connection", "bug", "its own time-out"],
)
async def test_partial_results_are_kept_and_only_the_missing_are_asked_again(store: Store, first: Script) -> None:
    run = await Run(store, ScriptedProvider(first, all_of_it)).submit()
    assert await run.attempt() == 0.0
    stage = await run.stage()
    assert (stage.status, stage.done) == ("retry_wait", 2)
    assert await run.filled() == [0, 2]
    assert "longer than" not in stage.error["message"]
    assert await run.attempt() is None
    assert run.provider.calls == [[0, 1, 2, 3], [1, 3]]
    assert (await run.stage()).status == "completed"
    updated = ["item.updated", "item.updated"]
    assert await run.events() == ["started", *updated, "retrying", "started", *updated, "completed"]


async def test_one_failed_item_does_not_stop_the_others(store: Store) -> None:
    run = await Run(store, ScriptedProvider(failing(1, ProviderError("busy")), all_of_it)).submit()
    assert await run.attempt() == 0.0
    assert await run.filled() == [0, 2, 3]
    assert await run.attempt() is None
    assert run.provider.calls[1] == [1]


async def test_a_refused_item_fails_the_stage_without_another_attempt(store: Store) -> None:
    run = await Run(store, ScriptedProvider(failing(1, ProviderRejected("no such dish")))).submit()
    assert await run.attempt() is None
    stage = await run.stage()
    assert (stage.status, stage.done, stage.attempt) == ("failed", 3, 1)
    assert stage.error == {"type": "provider_rejected", "message": "no such dish"}


async def test_a_malformed_answer_is_the_failure_of_its_item_alone(store: Store) -> None:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        for item in call.items:
            yield Answer(item.item_id, 42 if item.position == 0 else "rice bowl", 1.0)

    run = await Run(store, ScriptedProvider(script)).submit()
    assert await run.attempt() is None
    stage = await run.stage()
    assert await run.filled() == [1, 2, 3]
    assert (stage.status, stage.error["type"]) == ("failed", "provider_rejected")


async def test_a_stage_without_attempts_left_fails_and_keeps_what_it_has(store: Store) -> None:
    run = await Run(store, ScriptedProvider(only(0), only(1))).submit()
    assert await run.attempt() == 0.0
    assert await run.attempt() is None
    stage = await run.stage()
    assert (stage.status, stage.done, stage.attempt) == ("failed", 2, 2)
    assert await run.filled() == [0, 1]
    assert (await run.events())[-1] == "failed"


async def test_answers_for_foreign_items_and_second_answers_are_ignored(store: Store) -> None:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        yield Answer("?" * 26, "foreign", 1.0)
        for item in call.items:
            yield Answer(item.item_id, "first", 1.0)
            yield Answer(item.item_id, "second", 1.0)

    run = await Run(store, ScriptedProvider(script)).submit(2)
    assert await run.attempt() is None
    async with store.database.read() as connection:
        values = list(await connection.scalars(select(MenuItem.translation)))
    assert [value["result"] for value in values] == ["first", "first"]  # type: ignore[index]
    assert (await run.stage()).done == 2


async def test_a_stage_that_takes_too_long_keeps_what_it_has(store: Store) -> None:
    async def slow(call: StageCall) -> AsyncIterator[Answer | Failure]:
        yield Answer(call.items[0].item_id, "rice bowl", 1.0)
        await asyncio.sleep(30)

    run = await Run(store, ScriptedProvider(slow), stage_timeout_seconds=1.5).submit()
    assert await run.attempt() == 0.0
    stage = await run.stage()
    assert (stage.status, stage.done) == ("retry_wait", 1)
    assert stage.error == {"type": "timeout_error", "message": "The stage took longer than 1.5 s."}
    assert await run.filled() == [0]


async def test_items_are_asked_in_batches(store: Store) -> None:
    run = await Run(store, ScriptedProvider(all_of_it, all_of_it, all_of_it), batch_size=2).submit(5)
    assert await run.attempt() is None
    assert run.provider.calls == [[0, 1], [2, 3], [4]]
    assert await run.filled() == [0, 1, 2, 3, 4]


def hanging(begun: asyncio.Event) -> Script:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        yield Answer(call.items[0].item_id, "rice bowl", 1.0)
        begun.set()
        await asyncio.sleep(30)

    return script


async def test_a_cancelled_run_hands_its_lease_back_and_the_next_one_goes_on(store: Store) -> None:
    begun = asyncio.Event()
    run = await Run(store, ScriptedProvider(hanging(begun), all_of_it)).submit()
    running = asyncio.create_task(run.attempt())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stage = await run.stage()
    assert (stage.status, stage.lease_token, stage.error["type"]) == ("retry_wait", None, "handed_back")
    assert await run.attempt() is None
    assert (await run.stage()).status == "completed"
    assert len(run.provider.calls[1]) in (3, 4), "what was committed is not asked again"


async def test_a_run_that_is_cancelled_while_it_claims_leaves_no_lease(store: Store) -> None:
    run = await Run(store, ScriptedProvider(all_of_it)).submit()
    running = asyncio.create_task(run.attempt())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await run.stage()).lease_token is None
    assert await run.attempt() is None
    assert (await run.stage()).status == "completed"


async def test_a_run_whose_job_is_cancelled_writes_nothing_more(store: Store) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        begun.set()
        await go.wait()
        for item in call.items:
            yield Answer(item.item_id, "too late", 1.0)

    run = await Run(store, ScriptedProvider(script)).submit()
    running = asyncio.create_task(run.attempt())
    await begun.wait()
    await store.committer.commit(Cancel(run.job.id))
    go.set()
    assert await running is None
    assert await run.filled() == []
    assert (await run.stage()).status == "cancelled"
    async with store.database.read() as connection:
        assert await connection.scalar(select(Job.status)) == "cancelled"


async def test_a_lease_is_kept_while_the_provider_thinks_and_its_loss_stops_the_run(store: Store) -> None:
    begun = asyncio.Event()
    run = await Run(store, ScriptedProvider(hanging(begun)), lease_seconds=0.3).submit()
    running = asyncio.create_task(run.attempt())
    stopped: list[tuple[str, str]] = []

    def stop(job_id: str, stage: str) -> None:
        stopped.append((job_id, stage))
        running.cancel()

    keeping = asyncio.create_task(run.runner.keep_leases(stop))
    await begun.wait()
    await wait_for(lambda: bool(updates(store)))  # the first answer's commit is the last that the run itself makes
    first = (await run.stage()).lease_until

    async def is_extended() -> bool:
        """Whether the lease goes beyond its first length, and is alive."""
        until: int = (await run.stage()).lease_until
        return until >= first + 300 and await Leases(store.database).claimable(60_000, 100) == []

    await wait_for(is_extended)
    async with store.database.write() as connection:
        taken = update(Stage).where(Stage.name == STAGE).values(lease_token="another", lease_until=2**60)
        await connection.execute(taken)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)
    keeping.cancel()
    assert stopped == [(run.job.id, STAGE)]
    assert (await run.stage()).lease_token == "another", "the other run keeps its lease"


async def test_a_finished_stage_is_not_run_again(store: Store) -> None:
    run = await Run(store, ScriptedProvider(all_of_it)).submit()
    await run.attempt()
    assert await run.attempt() is None
    assert len(run.provider.calls) == 1


async def test_a_stage_need_not_wait_for_the_database(store: Store) -> None:
    """While another process holds the write lock, the provider's answers are taken all the same."""
    taken = asyncio.Event()
    held: list[sqlite3.Connection] = []

    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        yield Answer(call.items[0].item_id, "first", 1.0)
        await wait_for(lambda: bool(updates(store)))  # its commit has ended
        other = sqlite3.connect(str(store.database.url.database), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        held.append(other)
        for item in call.items[1:]:
            yield Answer(item.item_id, "rest", 1.0)
        taken.set()

    run = await Run(store, ScriptedProvider(script)).submit()
    running = asyncio.create_task(run.attempt())
    await asyncio.wait_for(taken.wait(), 20)
    held[0].execute("COMMIT")
    held[0].close()
    assert await running is None
    assert await run.filled() == [0, 1, 2, 3]


async def test_a_result_too_large_for_an_event_is_in_the_row_and_referred_to(store: Store) -> None:
    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        yield Answer(call.items[0].item_id, "大" * 2_000_000, 0.75)

    run = await Run(store, ScriptedProvider(script)).submit(1)
    assert await run.attempt() is None
    async with store.database.read() as connection:
        value: Any = await connection.scalar(select(MenuItem.translation))
        data = await connection.scalar(select(Event.data).where(Event.type == "item.updated"))
    assert value["result"] == "大" * 2_000_000
    sent = orjson.loads(data or b"")["value"]
    assert sent["confidence"] == 0.75
    assert "result" not in sent
    assert sent["reference"]["url"] == f"/v1/jobs/{run.job.id}"


async def test_the_first_answer_is_announced_before_the_provider_looks_for_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FIRST_ANSWER_SECONDS", 20.0)  # however slow this machine's disk is now
    announced: list[int] = []

    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        for item in call.items:
            yield Answer(item.item_id, "rice bowl", 1.0)
            announced.append(len(updates(store)))

    run = await Run(store, ScriptedProvider(script)).submit()
    assert await run.attempt() is None
    assert announced[0] == 1
    assert await run.filled() == [0, 1, 2, 3]


async def test_a_provider_that_never_waits_lets_everybody_else_have_a_turn(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.pace.LONGEST_BURST_SECONDS", 0.0)
    items, turns = 100, 0
    seen: list[int] = []

    async def script(call: StageCall) -> AsyncIterator[Answer | Failure]:
        async for answer in all_of_it(call):
            yield answer
            seen.append(turns)

    async def take_turns() -> None:
        nonlocal turns
        while len(seen) < items:
            turns += 1
            await asyncio.sleep(0)

    run = await Run(store, ScriptedProvider(script)).submit(items)
    turning = asyncio.create_task(take_turns())
    assert await run.attempt() is None
    await turning
    assert seen[-1] - seen[1] >= items - 2, "one turn at least between two answers"
