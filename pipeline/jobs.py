"""The service behind the API: submit, cancel and retry jobs."""

import structlog

from infra.database.committer import Committer
from infra.database.repositories.snapshots import Snapshots
from infra.dispatch.local import LocalDispatcher
from infra.errors import DuplicateRow, NotFound
from infra.providers.base import Provider
from infra.telemetry.metrics import Metrics
from pipeline.registry import KINDS
from pipeline.submission import Accepted, IdempotencyKey, NewJob, Submit
from pipeline.transitions import Cancel, Retry

log = structlog.stdlib.get_logger(__name__)


class Submitted:
    """A job that is stored: its ids and the id of its last event (`<epoch>.<seq>`) as of the answer."""

    __slots__ = ("head", "job_id", "session_id", "status")

    def __init__(self, job_id: str, session_id: str, status: str, head: str) -> None:
        self.job_id = job_id
        self.session_id = session_id
        self.status = status
        self.head = head


class Jobs:
    """What a client can do with jobs. Access has been checked before it gets here."""

    def __init__(
        self,
        committer: Committer,
        snapshots: Snapshots,
        dispatcher: LocalDispatcher,
        provider: Provider,
        attempts: int,
        metrics: Metrics,
    ) -> None:
        self._committer = committer
        self._snapshots = snapshots
        self._dispatcher = dispatcher
        self._provider = provider
        self._attempts = attempts
        self._metrics = metrics

    def detect_language(self, texts: list[str]) -> str | None:
        """The language of the texts, as far as the provider can tell."""
        return self._provider.detect_language(texts)

    async def submit(self, job: NewJob, session_id: str | None, key: IdempotencyKey | None) -> Submitted:
        """Store a job and start its stages. Raises NotFound (session), IdempotencyMismatch, DatabaseUnavailable."""
        change = Submit(job, session_id, key, self._attempts)
        try:
            accepted = await self._committer.commit(change)
        except DuplicateRow:
            if key is None:
                raise
            # Another request with the same key won the race a moment ago: now its job is there to be found.
            accepted = await self._committer.commit(change)
        state = accepted.state
        if state is None:
            return await self._existing(accepted)
        for stage in KINDS[job.kind].stages:
            self._dispatcher.dispatch(state.id, stage)
        self._metrics.jobs.labels(kind=job.kind).inc()
        log.info("job_accepted", job_id=state.id, session_id=state.session_id, kind=job.kind, rows=len(job.rows))
        return Submitted(state.id, state.session_id, "queued", f"{accepted.epoch}.{state.last_seq}")

    async def _existing(self, accepted: Accepted) -> Submitted:
        snapshot = await self._snapshots.job(accepted.job_id)
        if snapshot is None:
            raise NotFound
        body = snapshot.body
        return Submitted(body["job_id"], body["session_id"], body["status"], body["head"])

    async def cancel(self, job_id: str) -> None:
        """End the job now. Raises JobFinished, NotFound."""
        await self._committer.commit(Cancel(job_id))
        for stage in {name for kind in KINDS.values() for name in kind.stages}:
            self._dispatcher.cancel(job_id, stage)
        log.info("job_cancelled", job_id=job_id)

    async def retry(self, job_id: str, stage: str) -> None:
        """Run a failed stage again on the same stream. Raises NotFound, StageNotFailed, JobFinished."""
        await self._committer.commit(Retry(job_id, stage, self._attempts))
        self._dispatcher.dispatch(job_id, stage)
        log.info("stage_retried", job_id=job_id, stage=stage)
