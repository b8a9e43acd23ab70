"""The tree of errors: each says in one sentence what happened, knows its HTTP status and whether a retry helps."""

from typing import ClassVar


class StagecastError(Exception):
    """Something went wrong."""

    slug: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, field: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").strip()
        self.field = field
        super().__init__(self.detail)


class InvalidInput(StagecastError):
    """The request is not valid."""

    slug = "invalid-input"
    status = 400


class NotFound(StagecastError):
    """There is nothing here for you."""

    slug = "not-found"
    status = 404


class Conflict(StagecastError):
    """The request does not fit the present state."""

    slug = "conflict"
    status = 409


class RequestTimeout(StagecastError):
    """The body of the request did not come in time."""

    slug = "request-timeout"
    status = 408
    retryable = True


class JobFinished(Conflict):
    """The job has already finished."""

    slug = "job-finished"


class StageNotFailed(Conflict):
    """Only a failed stage can be retried."""

    slug = "stage-not-failed"


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used with another body."""

    slug = "idempotency-mismatch"


class DuplicateRow(Conflict):
    """A row with this id exists already."""

    slug = "duplicate-row"


class RowNotFound(NotFound):
    """The row to update does not exist."""

    slug = "row-not-found"


class LeaseLost(StagecastError):
    """The stage's lease belongs to another run; nothing of this change was written."""

    slug = "lease-lost"
    status = 409


class NotClaimable(StagecastError):
    """The stage is finished, not yet due, or owned by a live run."""

    slug = "not-claimable"
    status = 409


class DatabaseUnavailable(StagecastError):
    """The database can't be reached right now; nothing of this request was kept."""

    slug = "database-unavailable"
    status = 503
    retryable = True


class OutcomeUnknown(DatabaseUnavailable):
    """The database broke off at the end: the request may have been kept; repeat it with the same Idempotency-Key."""

    slug = "outcome-unknown"


class Overloaded(StagecastError):
    """Too much work is waiting; try again in a moment."""

    slug = "overloaded"
    status = 503
    retryable = True
