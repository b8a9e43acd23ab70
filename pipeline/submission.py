"""A new job: what it consists of, and the change that stores it whole or not at all."""

from dataclasses import dataclass
from typing import Any

from infra.clock import rfc3339
from infra.database.draft import Draft, Needs
from infra.database.repositories.inputs import JobInput
from infra.database.state import JobState, StageState
from infra.database.status import JobStatus, RowStatus, StageStatus
from infra.errors import IdempotencyMismatch, NotFound
from infra.ids import new_epoch, new_id
from infra.providers.base import Kind
from pipeline.events import JobAccepted
from pipeline.registry import KINDS
from pipeline.transitions import Claim, Lease


@dataclass(frozen=True, slots=True)
class NewJob:
    """A validated submission. `rows` are the inputs of its menu items, or the one prompt, in order."""

    kind: Kind
    title: str | None
    source_language: str | None
    target_language: str
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key, in the scope of the session that it named (empty: a new one), with the hash of the request."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where an accepted job is. `state` is None when an earlier request with the same key made it.

    `input` is what first attempts work on; `leases` are those of all stages, if they were claimed.
    """

    job_id: str
    epoch: str | None = None
    state: JobState | None = None
    input: JobInput | None = None
    leases: tuple[Lease, ...] = ()


@dataclass(frozen=True, slots=True)
class Submit:
    """Store a job with its stages and rows, and its first event. Raises NotFound (session), IdempotencyMismatch.

    With `lease_ms` its stages are claimed in the same transaction, for this process, which has room to run them now:
    the first result is one transaction sooner. If the process dies the leases expire, as those of any other run.
    """

    job: NewJob
    session_id: str | None
    key: IdempotencyKey | None
    attempts: int
    lease_ms: int | None = None

    @property
    def needs(self) -> Needs:
        return Needs(session_id=self.session_id, key=(self.key.scope, self.key.key) if self.key else None)

    @property
    def weight(self) -> int:
        return len(KINDS[self.job.kind].stages) + len(self.job.rows)

    def decide(self, draft: Draft) -> Accepted:
        if self.key is not None and (known := draft.known_key(self.key.scope, self.key.key)):
            if known.fingerprint != self.key.fingerprint:
                raise IdempotencyMismatch
            return Accepted(known.job_id)
        if self.session_id is None:
            session_id, epoch = new_id(), new_epoch()
            draft.create_session(session_id, epoch)
        else:
            session_id, found = self.session_id, draft.epoch(self.session_id)
            if found is None:
                raise NotFound
            epoch = found
        state = self._create(draft, session_id)
        accepted = JobAccepted(state.id, rfc3339(draft.now), self.job.kind, self.job.title, len(self.job.rows))
        draft.emit(session_id, accepted)
        leases = self._claim(draft, state)
        rows = self._insert(draft, state)
        if self.key is not None:
            row = {"scope": self.key.scope, "key": self.key.key, "fingerprint": self.key.fingerprint}
            draft.insert("idempotency", {**row, "job_id": state.id, "created_at": draft.now})
        taken = JobInput(self.job.kind, self.job.source_language, self.job.target_language, rows)
        return Accepted(state.id, epoch, state, taken, leases)

    def _create(self, draft: Draft, session_id: str) -> JobState:
        stages = KINDS[self.job.kind].stages
        state = JobState(new_id(), session_id, self.job.kind, JobStatus.QUEUED, 1, len(stages))
        for position, name in enumerate(stages):
            state.stages[name] = StageState(
                state.id, name, position, StageStatus.QUEUED, 0, self.attempts, 0, len(self.job.rows)
            )
        draft.create_job(state)
        return state

    def _claim(self, draft: Draft, state: JobState) -> tuple[Lease, ...]:
        if self.lease_ms is None:
            return ()
        leases = (Claim(state.id, stage, self.lease_ms).decide(draft) for stage in state.stages)
        return tuple(lease for lease in leases if lease is not None)

    def _insert(self, draft: Draft, state: JobState) -> tuple[dict[str, Any], ...]:
        job, now = self.job, draft.now
        draft.insert(
            "job",
            {
                "id": state.id,
                "session_id": state.session_id,
                "kind": job.kind,
                "status": state.status,
                "run": state.run,
                "remaining": state.remaining,
                "title": job.title,
                "source_language": job.source_language,
                "target_language": job.target_language,
                "first_seq": 0,
                "last_seq": 0,
                "created_at": now,
                "started_at": state.started_at,
                "finished_at": None,
            },
        )
        for stage in state.stages.values():
            draft.insert("stage", _stage_row(stage, now))
        status = RowStatus.PENDING if state.status is JobStatus.QUEUED else RowStatus.PROCESSING
        owner = {"session_id": state.session_id, "job_id": state.id}
        fixed = {**owner, "created_at": now, "updated_at": now, "processing_status": status}
        rows = tuple({**row, "id": new_id(), "position": position, **fixed} for position, row in enumerate(job.rows))
        for row in rows:
            draft.insert(KINDS[job.kind].table, row)
        return rows


def _stage_row(stage: StageState, now: int) -> dict[str, Any]:
    return {
        "job_id": stage.job_id,
        "name": stage.name,
        "position": stage.position,
        "status": stage.status,
        "attempt": stage.attempt,
        "attempt_limit": stage.attempt_limit,
        "done": stage.done,
        "total": stage.total,
        "lease_token": stage.lease_token,
        "lease_until": stage.lease_until,
        "updated_at": now,
    }
