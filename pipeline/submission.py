"""A new job: what it consists of, and the change that stores it whole or not at all."""

from dataclasses import dataclass
from typing import Any

from infra.clock import rfc3339
from infra.database.draft import Draft, Needs
from infra.database.state import JobState
from infra.database.status import JobStatus, RowStatus, StageStatus
from infra.errors import IdempotencyMismatch, NotFound
from infra.ids import new_epoch, new_id
from infra.providers.base import Kind
from pipeline.events import JobAccepted
from pipeline.registry import KINDS


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
    """Where an accepted job is. `state` is None when an earlier request with the same key made it."""

    job_id: str
    epoch: str | None = None
    state: JobState | None = None


@dataclass(frozen=True, slots=True)
class Submit:
    """Store a job with its stages and rows, and its first event. Raises NotFound (session), IdempotencyMismatch."""

    job: NewJob
    session_id: str | None
    key: IdempotencyKey | None
    attempts: int

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
        state = self._insert(draft, session_id)
        if self.key is not None:
            row = {"scope": self.key.scope, "key": self.key.key, "fingerprint": self.key.fingerprint}
            draft.insert("idempotency", {**row, "job_id": state.id, "created_at": draft.now})
        accepted = JobAccepted(state.id, rfc3339(draft.now), self.job.kind, self.job.title, len(self.job.rows))
        draft.emit(session_id, accepted)
        return Accepted(state.id, epoch, state)

    def _insert(self, draft: Draft, session_id: str) -> JobState:
        job, kind = self.job, KINDS[self.job.kind]
        state = JobState(new_id(), session_id, job.kind, JobStatus.QUEUED, 1, len(kind.stages))
        draft.insert(
            "job",
            {
                "id": state.id,
                "session_id": session_id,
                "kind": job.kind,
                "status": state.status,
                "run": state.run,
                "remaining": state.remaining,
                "title": job.title,
                "source_language": job.source_language,
                "target_language": job.target_language,
                "first_seq": 0,
                "last_seq": 0,
                "created_at": draft.now,
                "started_at": None,
                "finished_at": None,
            },
        )
        for position, name in enumerate(kind.stages):
            draft.insert("stage", self._stage_row(state.id, name, position, draft.now))
        for position, row in enumerate(job.rows):
            fixed = {"id": new_id(), "session_id": session_id, "job_id": state.id, "position": position}
            times = {"created_at": draft.now, "updated_at": draft.now}
            draft.insert(kind.table, {**row, **fixed, **times, "processing_status": RowStatus.PENDING})
        draft.create_job(state)
        return state

    def _stage_row(self, job_id: str, name: str, position: int, now: int) -> dict[str, Any]:
        return {
            "job_id": job_id,
            "name": name,
            "position": position,
            "status": StageStatus.QUEUED,
            "attempt": 0,
            "attempt_limit": self.attempts,
            "done": 0,
            "total": len(self.job.rows),
            "updated_at": now,
        }
