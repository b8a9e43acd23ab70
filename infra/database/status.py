"""The states of jobs, stages and rows, and which of them are final."""

from enum import StrEnum


class JobStatus(StrEnum):
    """A run of a job goes queued, running, then to exactly one terminal state; a retried stage begins a new run."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_PARTIAL = "completed_partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StageStatus(StrEnum):
    """queued -> running -> completed | failed | cancelled, with running -> retry_wait -> running between attempts."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RowStatus(StrEnum):
    """`processing_status` of a menu item or prompt."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


JOB_ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
JOB_TERMINAL = frozenset(JobStatus) - JOB_ACTIVE
STAGE_ACTIVE = frozenset({StageStatus.QUEUED, StageStatus.RUNNING, StageStatus.RETRY_WAIT})
