"""What a first attempt works on is read once or not at all, and is not kept for longer than it is of use."""

from typing import Any

import pytest
from sqlalchemy import event

from infra.database.repositories.inputs import JobInput, JobInputs
from pipeline import inputs
from pipeline.inputs import Inputs
from pipeline.registry import KINDS
from pipeline.transitions import Lease
from tests.contract.jobs import DISH, claim, submit
from tests.database import Store

STAGES = tuple(KINDS["menu"].stages)


def count_reads(store: Store) -> list[str]:
    """The statements that read rows back from now on."""
    asked: list[str] = []

    @event.listens_for(store.database._reader.sync_engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM menu_item" in statement:
            asked.append(statement)

    return asked


def lease_of(job_id: str, stage: str) -> Lease:
    return Lease("s", job_id, stage, 1, "token")


async def test_eight_first_attempts_read_the_rows_once_and_then_they_are_forgotten(store: Store) -> None:
    made = Inputs(JobInputs(store.database))
    job = await submit(store.committer, items=3)
    asked = count_reads(store)
    for stage in STAGES:
        assert len((await made.of_stage(await claim(store.committer, job.id, stage))).rows) == 3
    assert len(asked) == 1
    assert (made._remembered, made._rows) == ({}, 0)


async def test_rows_that_were_just_submitted_are_not_read_back(store: Store) -> None:
    made = Inputs(JobInputs(store.database))
    asked = count_reads(store)
    rows = tuple({**DISH, "id": f"{number:026}", "position": number} for number in range(2))
    made.remember("job", JobInput("menu", None, "en", rows))
    work = await made.of_stage(lease_of("job", "price"))
    assert [item.position for item in work.call.items] == [0, 1]
    assert asked == []


async def test_no_more_rows_are_remembered_than_the_bound_allows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_REMEMBERED_ROWS", 10)
    made = Inputs(JobInputs(store.database))
    rows = tuple({**DISH, "id": f"{number:026}", "position": number} for number in range(4))
    for number in range(5):
        made.remember(f"job {number}", JobInput("menu", None, "en", rows))
    for _ in range(3):
        job = await submit(store.committer, items=4)
        await made.of_stage(lease_of(job.id, "price"))
    assert made._rows == sum(known.rows for known in made._remembered.values()) <= 10
