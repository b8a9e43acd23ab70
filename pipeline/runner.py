"""Runs one stage: takes the lease, asks the provider, records what comes, ends the attempt one way or another."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from infra.database.committer import Committer
from infra.database.leases import Leases
from infra.database.repositories.inputs import JobInput
from infra.errors import DatabaseUnavailable, LeaseLost, NotClaimable, Overloaded
from infra.providers.base import Failure, Provider, ProviderError, ProviderRejected
from infra.settings import Settings
from infra.telemetry.metrics import Metrics
from pipeline.inputs import Inputs, StageInput
from pipeline.pace import Pace
from pipeline.recorder import Recorder
from pipeline.transitions import Claim, GiveUp, Lease, Release

LONGEST_RETRY_DELAY_SECONDS = 60.0
RELEASE_SECONDS = 3.0

log = structlog.stdlib.get_logger(__name__)


class AttemptFailed(Exception):
    """An attempt of a stage ended without all its answers."""

    def __init__(self, error: BaseException, retryable: bool) -> None:
        self.error = error
        self.retryable = retryable
        super().__init__(str(error))


class Runner:
    """Runs stages for a dispatcher and keeps the leases of all running ones alive."""

    def __init__(
        self,
        provider: Provider,
        inputs: Inputs,
        committer: Committer,
        leases: Leases,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._provider = provider
        self._inputs = inputs
        self._committer = committer
        self._leases = leases
        self._settings = settings.processing
        self._max_event_bytes = settings.sse.max_event_bytes
        self._lease_ms = round(settings.processing.lease_seconds * 1000)
        self._metrics = metrics
        self._held: dict[str, Lease] = {}
        self._claimed: dict[tuple[str, str], Lease] = {}
        self._pace = Pace(self._held)

    @property
    def lease_ms(self) -> int:
        """How long a lease lasts when nobody extends it."""
        return self._lease_ms

    def expect(self, job_id: str, job: JobInput, leases: Sequence[Lease]) -> None:
        """Take what a new job consists of, so that nobody need read it back, and the leases that were claimed with it.

        The next `run` of each such stage begins with its own lease.
        """
        self._inputs.remember(job_id, job)
        for lease in leases:
            self._claimed[lease.job_id, lease.stage] = self._held[lease.token] = lease

    async def hand_back(self, leases: Sequence[Lease]) -> None:
        """Release leases that were expected and will not be run here."""
        for lease in leases:  # all of them before the first wait: whose release is cancelled expires at least
            self._forget(lease)
        for lease in leases:
            await self._release(lease)

    def _forget(self, lease: Lease) -> None:
        self._claimed.pop((lease.job_id, lease.stage), None)
        self._held.pop(lease.token, None)

    async def run(self, job_id: str, stage: str) -> float | None:
        """Run one attempt of the stage, if it can be claimed. Returns the seconds until it should run again, if ever.

        Never raises for what a provider or the database does; a cancellation hands the lease back first.
        """
        try:
            lease = self._claimed.pop((job_id, stage), None) or await self._claim(job_id, stage)
        except (NotClaimable, DatabaseUnavailable, Overloaded) as error:
            log.debug("stage_not_claimed", job_id=job_id, stage=stage, reason=type(error).__name__)
            return None
        if lease is None:
            return None
        self._held[lease.token] = lease
        try:
            return await self._attempt(lease)
        finally:
            self._held.pop(lease.token, None)

    async def _claim(self, job_id: str, stage: str) -> Lease | None:
        claiming = asyncio.ensure_future(self._committer.commit(Claim(job_id, stage, self._lease_ms)))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The claim is written all the same: unreleased, the stage would wait for the lease to expire.
            await self._release_claimed(claiming)
            raise

    async def _release_claimed(self, claiming: asyncio.Future[Lease | None]) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = await claiming
        except (NotClaimable, DatabaseUnavailable, Overloaded, TimeoutError):
            return
        if lease is not None:
            await self._release(lease)

    async def _attempt(self, lease: Lease) -> float | None:
        about = {"job_id": lease.job_id, "session_id": lease.session_id, "stage": lease.stage, "attempt": lease.attempt}
        began, kind, outcome = time.perf_counter(), "unknown", "completed"
        again: float | None = None
        try:
            work = await self._inputs.of_stage(lease)
            kind = work.stage.kind
            try:
                await self._answer_all(lease, work)
            except AttemptFailed as failed:
                again = await self._give_up(lease, failed)
                outcome = "failed" if again is None else "retrying"
                log.warning("stage_attempt_failed", **about, error=failed.error.__class__.__name__, retry_in=again)
        except LeaseLost:
            outcome = "lease_lost"
            log.info("stage_lease_lost", **about)
        except (DatabaseUnavailable, Overloaded) as error:
            outcome = "abandoned"  # the lease expires; what is committed stays, the rest is done again
            log.warning("stage_abandoned", **about, error=type(error).__name__)
        except asyncio.CancelledError:
            outcome = "released"
            await self._release(lease)
            raise
        finally:
            self._metrics.stage_seconds.labels(kind=kind, stage=lease.stage).observe(time.perf_counter() - began)
            self._metrics.stage_outcomes.labels(kind=kind, stage=lease.stage, outcome=outcome).inc()
        log.debug("stage_attempt_ended", **about, outcome=outcome)
        return again

    async def _answer_all(self, lease: Lease, work: StageInput) -> None:
        recorder = Recorder(
            self._committer, lease, work.stage, self._provider.name, work.rows, self._lease_ms, self._max_event_bytes
        )
        failure: ProviderError | None = None
        retryable = False
        try:
            async with asyncio.timeout(self._settings.stage_timeout_seconds) as deadline:
                await self._pace.begin()
                turn = self._pace.note_turn()
                for start in range(0, len(work.call.items), self._settings.batch_size):
                    batch = work.call.items[start : start + self._settings.batch_size]
                    async for answer in self._provider.answer(msgspec.structs.replace(work.call, items=batch)):
                        if self._pace.must_rest(turn):
                            await self._pace.rest()
                        turn = self._pace.note_turn()
                        if isinstance(answer, Failure):
                            failure = failure or answer.error
                            retryable = retryable or answer.error.retryable
                            continue
                        try:
                            await recorder.add(answer)
                        except ProviderRejected as malformed:  # this item's fault, not the batch's
                            failure = failure or malformed
                if failure is None and recorder.unanswered:
                    failure = ProviderError(f"The provider left {recorder.unanswered} items without an answer.")
                    retryable = True
                if failure is None:
                    await recorder.finish()
                else:
                    await recorder.flush()
        except (LeaseLost, DatabaseUnavailable, Overloaded, asyncio.CancelledError):
            recorder.abandon()
            raise
        except TimeoutError as error:
            await recorder.flush()
            if not deadline.expired():  # a deadline of the provider's own
                raise AttemptFailed(error, retryable=True) from error
            late = TimeoutError(f"The stage took longer than {self._settings.stage_timeout_seconds:g} s.")
            raise AttemptFailed(late, retryable=True) from error
        except ProviderError as error:
            await recorder.flush()
            raise AttemptFailed(error, error.retryable) from error
        except Exception as error:
            log.exception("provider_broke", job_id=lease.job_id, stage=lease.stage)
            await recorder.flush()
            raise AttemptFailed(error, retryable=True) from error
        if failure is not None:
            raise AttemptFailed(failure, retryable)

    async def _give_up(self, lease: Lease, failed: AttemptFailed) -> float | None:
        change = GiveUp(lease, _error_body(failed.error), failed.retryable, self._delay_ms(lease.attempt))
        delay_ms = await self._committer.commit(change)
        return None if delay_ms is None else delay_ms / 1000

    def _delay_ms(self, attempt: int) -> int:
        longest: float = min(
            self._settings.retry_delay_seconds * 2 ** min(attempt - 1, 16), LONGEST_RETRY_DELAY_SECONDS
        )
        return int(longest * random.uniform(0.5, 1.0) * 1000)

    async def _release(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._committer.commit(Release(lease))
        except (LeaseLost, DatabaseUnavailable, Overloaded, TimeoutError) as error:
            log.info("lease_not_released", job_id=lease.job_id, stage=lease.stage, reason=type(error).__name__)

    async def keep_leases(self, cancel: Callable[[str, str], None]) -> None:
        """Extend all held leases three times per lease, for ever; stop the runs that lost theirs. Run it supervised."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            held = dict(self._held)
            if not held:
                continue
            try:
                job_ids = {token: lease.job_id for token, lease in held.items()}
                kept = await self._leases.extend(job_ids, self._lease_ms)
            except DatabaseUnavailable:
                log.warning("leases_not_extended", count=len(held))
                continue
            for token, lease in held.items():
                if token not in kept and token in self._held:
                    self._forget(lease)
                    cancel(lease.job_id, lease.stage)


def _error_body(error: BaseException) -> dict[str, str]:
    """How an error stands in a row and in an event: its class in snake case, and its message without a stack."""
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(error).__name__).lstrip("_")
    return {"type": name, "message": str(error)[:500] or name.replace("_", " ")}
