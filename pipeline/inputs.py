"""What a stage gets to work on: the rows of its job that it has not answered yet."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.database.repositories.inputs import JobInput, JobInputs
from infra.errors import LeaseLost
from infra.providers.base import Dish, PromptText, StageCall, StoredPrompt, TestCase
from pipeline.registry import KINDS
from pipeline.stages import Stage
from pipeline.transitions import Lease

# Eight stages ask for the same rows within milliseconds; only a first attempt may take remembered ones.
MOST_REMEMBERED_JOBS = 64


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
        self._remembered: OrderedDict[str, asyncio.Future[JobInput]] = OrderedDict()

    async def of_stage(self, lease: Lease) -> StageInput:
        """The unanswered rows for the attempt that holds the lease. Raises DatabaseUnavailable, LeaseLost."""
        job = await (self._shared(lease.job_id) if lease.attempt == 1 else self._read(lease.job_id))
        kind = KINDS[job.kind]
        stage = kind.stages[lease.stage]
        open_rows = [row for row in job.rows if row[stage.fills[0]] is None]
        items: Any = tuple(_dish(row) if kind.name == "menu" else _prompt(row) for row in open_rows)
        stored: tuple[StoredPrompt, ...] = ()
        if stage.kind == "prompt" and stage.name == "embedding":
            stored = await self._stored_prompts(lease.session_id, job.rows[0]["id"])
        call = StageCall(kind.name, stage.name, items, job.target_language, job.source_language, stored)
        return StageInput(stage, {row["id"]: row for row in open_rows}, call)

    async def _read(self, job_id: str) -> JobInput:
        job = await self._jobs.of_job(job_id)
        if job is None:
            raise LeaseLost
        return job

    async def _shared(self, job_id: str) -> JobInput:
        reading = self._remembered.get(job_id)
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            reading = self._remembered[job_id] = asyncio.ensure_future(self._read(job_id))
            while len(self._remembered) > MOST_REMEMBERED_JOBS:
                self._remembered.popitem(last=False)
        # Shielded: one stage that is cancelled must not cancel the read of the other seven.
        return await asyncio.shield(reading)

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
