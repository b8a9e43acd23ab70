"""What a stage gets to work on: the rows of its job that it has not answered yet."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from infra.database.repositories.inputs import JobInput, JobInputs
from infra.errors import LeaseLost
from infra.providers.base import Dish, PromptText, StageCall, StoredPrompt, TestCase
from pipeline.registry import KINDS
from pipeline.stages import Stage
from pipeline.transitions import Lease

# Eight stages ask for the same rows; only a first attempt may take remembered ones, and with the last one they are
# forgotten. A row takes a kilobyte. With 64 jobs instead, 500 submissions at once cost a third more for each result.
MOST_REMEMBERED_ROWS = 20_000


@dataclass(slots=True)
class _Remembered:
    job: asyncio.Future[JobInput]
    rows: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class StageInput:
    """The rows that a stage still has to answer, by id, and the call that its provider gets."""

    stage: Stage
    rows: dict[str, Mapping[str, Any]]
    call: StageCall


class Inputs:
    """Turns stored rows into the calls of stages; reads once for all eight of a job where that is safe."""

    def __init__(self, jobs: JobInputs) -> None:
        self._jobs = jobs
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._rows = 0

    async def of_stage(self, lease: Lease) -> StageInput:
        """The unanswered rows for the attempt that holds the lease. Raises DatabaseUnavailable, LeaseLost."""
        job = await (self._shared(lease.job_id) if lease.attempt == 1 else self._read(lease.job_id))
        kind = KINDS[job.kind]
        stage = kind.stages[lease.stage]
        # A row that has just been submitted has no columns but its inputs.
        open_rows = [row for row in job.rows if row.get(stage.fills[0]) is None]
        items: Any = tuple(_dish(row) if kind.name == "menu" else _prompt(row) for row in open_rows)
        stored: tuple[StoredPrompt, ...] = ()
        if stage.kind == "prompt" and stage.name == "embedding":
            stored = await self._stored_prompts(lease.session_id, job.rows[0]["id"])
        call = StageCall(kind.name, stage.name, items, job.target_language, job.source_language, stored)
        return StageInput(stage, {row["id"]: row for row in open_rows}, call)

    def remember(self, job_id: str, job: JobInput) -> None:
        """Take the rows of a job as they were just submitted: its first attempts need not read them."""
        done: asyncio.Future[JobInput] = asyncio.get_running_loop().create_future()
        done.set_result(job)
        self._remembered[job_id] = known = _Remembered(done)
        self._count(known, job)

    def _count(self, known: _Remembered, job: JobInput) -> None:
        known.rows = max(1, len(job.rows))
        self._rows += known.rows
        while self._rows > MOST_REMEMBERED_ROWS and self._remembered:
            self._forget(next(iter(self._remembered)))

    async def _read(self, job_id: str) -> JobInput:
        job = await self._jobs.of_job(job_id)
        if job is None:
            raise LeaseLost
        return job

    async def _shared(self, job_id: str) -> JobInput:
        known = self._remembered.get(job_id)
        if known is None:
            known = self._remembered[job_id] = _Remembered(asyncio.ensure_future(self._read(job_id)))
            known.job.add_done_callback(partial(self._note_read, job_id, known))
        known.taken += 1
        # Shielded: one stage that is cancelled must not cancel the read of the other seven.
        job = await asyncio.shield(known.job)
        if self._remembered.get(job_id) is known and known.taken >= len(KINDS[job.kind].stages):
            self._forget(job_id)
        return job

    def _note_read(self, job_id: str, known: _Remembered, read: asyncio.Future[JobInput]) -> None:
        # Here, because all who asked for it may have been cancelled by now.
        if read.cancelled() or read.exception() is not None:
            if self._remembered.get(job_id) is known:
                self._forget(job_id)
        elif self._remembered.get(job_id) is known:
            self._count(known, read.result())

    def _forget(self, job_id: str) -> None:
        known = self._remembered.pop(job_id, None)
        if known is not None:
            self._rows -= known.rows

    async def _stored_prompts(self, session_id: str, own_id: str) -> tuple[StoredPrompt, ...]:
        found = await self._jobs.stored_prompts(session_id, own_id)
        return tuple(
            StoredPrompt(prompt_id, title, version, value["result"]["vector"])
            for prompt_id, title, version, value in found
            if (value.get("result") or {}).get("vector")
        )


def _dish(row: Mapping[str, Any]) -> Dish:
    return Dish(row["id"], row["position"], row["name"], row["input_price"], row["input_category"])


def _prompt(row: Mapping[str, Any]) -> PromptText:
    cases = tuple(msgspec.convert(case, TestCase) for case in row["test_cases"])
    return PromptText(row["id"], row["title"], row["content"], row["position"], cases)
