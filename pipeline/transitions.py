"""Every way a stage and its job can change, in one place: pure decisions over a locked job, no I/O.

Each class is one change for the committer. All of them check first and write after, so that a refused change leaves no
trace. The job's `remaining` counts its unfinished stages: counting the rows of the other stages instead lost 57 of 60
jobs under READ COMMITTED.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from infra.clock import rfc3339
from infra.database.draft import Draft, Needs
from infra.database.leases import FARTHEST_MS
from infra.database.state import JobState, StageState
from infra.database.status import JOB_TERMINAL, STAGE_ACTIVE, JobStatus, StageStatus
from infra.database.writer import Encoded
from infra.errors import JobFinished, LeaseLost, NotClaimable, NotFound, StageNotFailed
from infra.ids import new_token
from pipeline import events
from pipeline.registry import KINDS


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a stage's results, until somebody else takes it."""

    session_id: str
    job_id: str
    stage: str
    attempt: int
    token: str


class Result(msgspec.Struct, frozen=True):
    """One item's value, encoded for the row's columns and for the event."""

    item_id: str
    position: int
    columns: dict[str, Encoded]
    value: bytes
    rows: tuple[tuple[str, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class _OfJob:
    job_id: str

    @property
    def needs(self) -> Needs:
        return Needs(job_id=self.job_id)

    @property
    def weight(self) -> int:
        return 1

    def _job(self, draft: Draft) -> JobState:
        job = draft.job(self.job_id)
        if job is None:
            raise NotFound
        return job


@dataclass(frozen=True, slots=True)
class Claim(_OfJob):
    """Take a stage that is queued, due again, or abandoned by a run whose lease expired. The claim is the fence.

    A time that is farther ahead than any lease allows was written before the clock was set back: it counts as past.

    Raises NotClaimable. An abandoned stage without attempts left is failed instead, and None returned.
    """

    stage: str
    lease_ms: int

    def decide(self, draft: Draft) -> Lease | None:
        job = self._job(draft)
        stage = job.stages[self.stage]
        abandoned = stage.status is StageStatus.RUNNING and _passed(stage.lease_until, draft.now)
        due = stage.status is StageStatus.RETRY_WAIT and _passed(stage.retry_at, draft.now)
        if not (stage.status is StageStatus.QUEUED or due or abandoned):
            raise NotClaimable
        if abandoned and stage.attempt >= stage.attempt_limit:
            _fail(draft, job, stage, {"type": "lease_expired", "message": "The run of the stage died."})
            return None
        at = rfc3339(draft.now)
        if job.status is JobStatus.QUEUED:
            job.status = JobStatus.RUNNING
            job.started_at = job.started_at or draft.now
            draft.emit(job.session_id, events.JobStarted(job.id, at, job.run))
            draft.begin_rows(KINDS[job.kind].table, job.id)
        stage.status = StageStatus.RUNNING
        stage.attempt += 1
        stage.lease_token = new_token()
        stage.lease_until = draft.now + self.lease_ms
        stage.retry_at = None
        stage.error = None
        if abandoned:
            draft.emit(job.session_id, events.StageRecovering(job.id, at, stage.name, stage.attempt, "lease_expired"))
        draft.emit(job.session_id, events.StageStarted(job.id, at, stage.name, stage.attempt, stage.total))
        draft.touch(job, stage)
        return Lease(job.session_id, job.id, stage.name, stage.attempt, stage.lease_token)


@dataclass(frozen=True, slots=True)
class _OfLease:
    lease: Lease

    @property
    def needs(self) -> Needs:
        return Needs(job_id=self.lease.job_id)

    @property
    def weight(self) -> int:
        return 1

    def _held(self, draft: Draft) -> tuple[JobState, StageState]:
        job = draft.job(self.lease.job_id)
        if job is None:
            raise LeaseLost
        stage = job.stages[self.lease.stage]
        if stage.lease_token != self.lease.token:
            raise LeaseLost
        return job, stage


@dataclass(frozen=True, slots=True)
class Record(_OfLease):
    """Write results of the attempt that holds the lease; with `finish`, the stage is complete. Raises LeaseLost."""

    results: tuple[Result, ...]
    lease_ms: int
    finish: bool = False

    @property
    def weight(self) -> int:
        return 1 + len(self.results)

    def decide(self, draft: Draft) -> None:
        job, stage = self._held(draft)
        at = rfc3339(draft.now)
        table = KINDS[job.kind].table
        for result in self.results:
            draft.update(table, job.session_id, result.item_id, {**result.columns, "updated_at": draft.now})
            for name, row in result.rows:
                draft.insert(name, row)
            value = msgspec.Raw(result.value)
            draft.emit(
                job.session_id,
                events.ItemUpdated(job.id, at, result.item_id, result.position, stage.name, value, stage.attempt),
            )
        stage.done += len(self.results)
        stage.lease_until = draft.now + self.lease_ms  # a result is a sign of life
        draft.touch(stage)
        if self.finish:
            stage.status = StageStatus.COMPLETED
            stage.lease_token = stage.lease_until = None
            draft.emit(job.session_id, events.StageCompleted(job.id, at, stage.name, stage.done, stage.total))
            _finish_one(draft, job)


@dataclass(frozen=True, slots=True)
class GiveUp(_OfLease):
    """End an attempt that failed: wait for the next one, or fail the stage when none is left. Raises LeaseLost.

    Returns the delay in milliseconds until the next attempt, or None when the stage has failed.
    """

    error: dict[str, str]
    retryable: bool
    delay_ms: int

    def decide(self, draft: Draft) -> int | None:
        job, stage = self._held(draft)
        if not self.retryable or stage.attempt >= stage.attempt_limit:
            _fail(draft, job, stage, self.error)
            return None
        stage.status = StageStatus.RETRY_WAIT
        stage.lease_token = stage.lease_until = None
        stage.retry_at = draft.now + self.delay_ms
        stage.error = self.error
        at = rfc3339(draft.now)
        draft.emit(
            job.session_id, events.StageRetrying(job.id, at, stage.name, stage.attempt, self.delay_ms, self.error)
        )
        draft.touch(stage)
        return self.delay_ms


@dataclass(frozen=True, slots=True)
class Release(_OfLease):
    """Hand the stage back unfinished, because this process stops: due again at once. Raises LeaseLost."""

    def decide(self, draft: Draft) -> None:
        job, stage = self._held(draft)
        stage.status = StageStatus.RETRY_WAIT
        stage.attempt_limit += 1  # stopping a process is not the stage's failure
        stage.lease_token = stage.lease_until = None
        stage.retry_at = draft.now
        stage.error = {"type": "handed_back", "message": "The process that ran the stage stopped."}
        at = rfc3339(draft.now)
        draft.emit(job.session_id, events.StageRetrying(job.id, at, stage.name, stage.attempt, 0, stage.error))
        draft.touch(stage)


@dataclass(frozen=True, slots=True)
class Cancel(_OfJob):
    """End the job now. Whoever still runs one of its stages loses the lease. Raises NotFound, JobFinished."""

    def decide(self, draft: Draft) -> None:
        job = self._job(draft)
        if job.status in JOB_TERMINAL:
            raise JobFinished
        at = rfc3339(draft.now)
        for stage in job.stages.values():
            if stage.status in STAGE_ACTIVE:
                stage.status = StageStatus.CANCELLED
                stage.lease_token = stage.lease_until = stage.retry_at = None
                draft.emit(job.session_id, events.StageCancelled(job.id, at, stage.name))
                draft.touch(stage)
        job.remaining = 0
        _end(draft, job, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Retry(_OfJob):
    """Let a failed stage run again with fresh attempts; if the job had ended, a new run of it begins.

    Raises NotFound when the job has no such stage, StageNotFailed, JobFinished for a cancelled job.
    """

    stage: str
    attempts: int

    def decide(self, draft: Draft) -> None:
        job = self._job(draft)
        stage = job.stages.get(self.stage)
        if stage is None:
            raise NotFound
        if job.status is JobStatus.CANCELLED:
            raise JobFinished("The job was cancelled; submit it again instead.")
        if stage.status is not StageStatus.FAILED:
            raise StageNotFailed(f"The stage {stage.name} is {stage.status}; only a failed stage can be retried.")
        if job.status in JOB_TERMINAL:
            job.status = JobStatus.QUEUED
            job.run += 1
            job.finished_at = None
        job.remaining += 1
        stage.status = StageStatus.RETRY_WAIT
        stage.attempt_limit = stage.attempt + self.attempts
        stage.retry_at = draft.now
        at = rfc3339(draft.now)
        draft.emit(job.session_id, events.StageRetrying(job.id, at, stage.name, stage.attempt, 0, stage.error))
        draft.touch(job, stage)


def _passed(time: int | None, now: int) -> bool:
    return time is None or time <= now or time > now + FARTHEST_MS


def _fail(draft: Draft, job: JobState, stage: StageState, error: dict[str, str]) -> None:
    stage.status = StageStatus.FAILED
    stage.lease_token = stage.lease_until = stage.retry_at = None
    stage.error = error
    at = rfc3339(draft.now)
    draft.emit(job.session_id, events.StageFailed(job.id, at, stage.name, error, stage.done, stage.total))
    draft.touch(stage)
    _finish_one(draft, job)


def _finish_one(draft: Draft, job: JobState) -> None:
    job.remaining -= 1
    draft.touch(job)
    if job.remaining == 0:
        _end(draft, job, ending_of(job))


def ending_of(job: JobState) -> JobStatus:
    """How a job whose stages are all terminal ended: partial as soon as anything was found in spite of a failure."""
    statuses = {stage.status for stage in job.stages.values()}
    if statuses == {StageStatus.COMPLETED}:
        return JobStatus.COMPLETED
    found_any = StageStatus.COMPLETED in statuses or any(stage.done for stage in job.stages.values())
    return JobStatus.COMPLETED_PARTIAL if found_any else JobStatus.FAILED


def _end(draft: Draft, job: JobState, status: JobStatus) -> None:
    job.status = status
    job.finished_at = draft.now
    stages = {stage.name: stage.status.value for stage in job.stages.values()}
    draft.settle_rows(KINDS[job.kind].table, job.id, KINDS[job.kind].first_columns)
    draft.emit(job.session_id, events.ENDINGS[status.value](job.id, rfc3339(draft.now), stages))
    draft.touch(job)
