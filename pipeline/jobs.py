"""The service behind the API: submit, cancel and retry jobs."""

import asyncio
from contextlib import suppress

import structlog

from infra.database.committer import Committer
from infra.database.repositories.snapshots import Snapshots
from infra.dispatch.local import LocalDispatcher, Places
from infra.errors import DuplicateRow, NotFound, StagecastError
from infra.providers.base import Provider
from infra.telemetry.metrics import Metrics
from pipeline.registry import KINDS
from pipeline.runner import Runner
from pipeline.submission import Accepted, IdempotencyKey, NewJob, Submit
from pipeline.transitions import Cancel, Retry

log = structlog.stdlib.get_logger(__name__)


class Submitted:
    """A job that is stored: its ids, and the id of the last event (`<epoch>.<seq>`) that its status includes."""

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
        runner: Runner,
        provider: Provider,
        attempts: int,
        metrics: Metrics,
    ) -> None:
        self._committer = committer
        self._snapshots = snapshots
        self._dispatcher = dispatcher
        self._runner = runner
        self._provider = provider
        self._attempts = attempts
        self._metrics = metrics

    def detect_language(self, texts: list[str]) -> str | None:
        """The language of the texts, as far as the provider can tell."""
        return self._provider.detect_language(texts)

    async def submit(self, job: NewJob, session_id: str | None, key: IdempotencyKey | None) -> Submitted:
        """Store a job and start its stages. Raises NotFound (session), IdempotencyMismatch, DatabaseUnavailable."""
        stages = KINDS[job.kind].stages
        with self._dispatcher.reserve(len(stages)) as places:
            lease_ms = self._runner.lease_ms if places.count else None
            change = Submit(job, session_id, key, self._attempts, lease_ms)
            accepted = await self._store_and_begin(change, places)
        state = accepted.state
        if state is None:
            return await self._existing(accepted)
        if not accepted.leases:
            for stage in stages:
                self._dispatcher.dispatch(state.id, stage)
        self._metrics.jobs.labels(kind=job.kind).inc()
        log.info("job_accepted", job_id=state.id, session_id=state.session_id, kind=job.kind, rows=len(job.rows))
        return Submitted(state.id, state.session_id, "queued", f"{accepted.epoch}.{state.first_seq}")

    async def _store_and_begin(self, change: Submit, places: Places) -> Accepted:
        storing = asyncio.ensure_future(self._store(change))
        try:
            accepted = await asyncio.shield(storing)
        except asyncio.CancelledError:
            # Stored all the same, and claimed for this process: nobody else would run it before the leases expire.
            with suppress(StagecastError):
                await self._begin(await storing, places)
            raise
        await self._begin(accepted, places)
        return accepted

    async def _store(self, change: Submit) -> Accepted:
        try:
            return await self._committer.commit(change)
        except DuplicateRow:
            if change.key is None:
                raise
            # Another request with the same key won the race a moment ago: now its job is there to be found.
            return await self._committer.commit(change)

    async def _begin(self, accepted: Accepted, places: Places) -> None:
        if accepted.input is None:
            return
        self._runner.expect(accepted.job_id, accepted.input, accepted.leases)
        unwanted = [lease for lease in accepted.leases if not places.begin(lease.job_id, lease.stage)]
        await self._runner.hand_back(unwanted)

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
