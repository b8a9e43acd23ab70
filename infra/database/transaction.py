"""The one write transaction: load and lock what a group of changes needs, let each decide, write everything in bulk.

The number of statements does not grow with the group. Locks are taken in one order everywhere, each sorted by id: jobs
first, sessions last. A job's lock covers its stages, since every writer of a stage row takes it first. A session's
sequence is taken at the very end: numbers taken earlier would not be in commit order, and a reader that follows them
would miss events (142 of 320 with 8 writers and a global sequence).
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bus.base import Entry, Message
from infra.clock import now_ms
from infra.database.bulk import step_rows, update_rows
from infra.database.draft import Change, Draft, KnownKey, Loaded, Recorded
from infra.database.engine import is_duplicate
from infra.database.models import EVENT, IDEMPOTENCY, JOB, SESSION, STAGE, Base
from infra.database.state import JobState, StageState
from infra.database.status import JobStatus, StageStatus
from infra.errors import DuplicateRow, StagecastError

# Parents before children, so that foreign keys hold at every statement.
INSERT_ORDER = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}


@dataclass(slots=True)
class Decided:
    """What became of one change: its outcome or its own error."""

    outcome: Any = None
    error: StagecastError | None = None


async def apply(
    connection: AsyncConnection, clock: ColumnElement[int], changes: Sequence[Change[Any]]
) -> tuple[list[Decided], list[Message]]:
    """Decide and write a group inside the open transaction; returns each change's fate and the messages to publish."""
    loaded = await _load(connection, clock, changes)
    decided, drafts = [], []
    for change in changes:
        draft = Draft(loaded)
        try:
            decided.append(Decided(outcome=change.decide(draft)))
            drafts.append(draft)
        except StagecastError as error:
            decided.append(Decided(error=error))
    await _write_rows(connection, drafts)
    messages, numbered = await _append_events(connection, [one for draft in drafts for one in draft.events], loaded)
    await _write_states(connection, [*numbered, *(state for draft in drafts for state in draft.touched)], loaded.now)
    return decided, messages


async def _load(connection: AsyncConnection, clock: ColumnElement[int], changes: Sequence[Change[Any]]) -> Loaded:
    needs = [change.needs for change in changes]
    job_ids = sorted({need.job_id for need in needs if need.job_id})
    session_ids = sorted({need.session_id for need in needs if need.session_id})
    keys = {need.key for need in needs if need.key}
    now = now_ms() if connection.dialect.name == "sqlite" else await connection.scalar(select(clock))
    loaded = Loaded(int(now or 0), {}, {}, {})
    if job_ids:
        loaded.jobs = await _lock_jobs(connection, job_ids)
    if session_ids:
        found = await connection.execute(select(SESSION.c.id, SESSION.c.epoch).where(SESSION.c.id.in_(session_ids)))
        loaded.epochs.update((row.id, row.epoch) for row in found)
    if keys:
        where = tuple_(IDEMPOTENCY.c.scope, IDEMPOTENCY.c.key).in_(list(keys))
        known = await connection.execute(
            select(IDEMPOTENCY.c.scope, IDEMPOTENCY.c.key, IDEMPOTENCY.c.job_id, IDEMPOTENCY.c.fingerprint).where(where)
        )
        loaded.keys.update(((row.scope, row.key), KnownKey(row.job_id, row.fingerprint)) for row in known)
    return loaded


async def _lock_jobs(connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, JobState]:
    # FOR NO KEY UPDATE: a stronger lock would wait for the foreign keys of rows that others insert, and deadlock.
    locking = select(*_JOB_COLUMNS).where(JOB.c.id.in_(job_ids)).order_by(JOB.c.id).with_for_update(key_share=True)
    jobs: dict[str, JobState] = {}
    for row in (await connection.execute(locking)).mappings():
        values: dict[str, Any] = {**row, "status": JobStatus(row["status"])}
        jobs[values["id"]] = JobState(**values)
    stages = select(*_STAGE_COLUMNS).where(STAGE.c.job_id.in_(job_ids)).order_by(STAGE.c.job_id, STAGE.c.position)
    for row in (await connection.execute(stages)).mappings():
        values = {**row, "status": StageStatus(row["status"])}
        jobs[values["job_id"]].stages[values["name"]] = StageState(**values)
    return jobs


async def _write_rows(connection: AsyncConnection, drafts: Sequence[Draft]) -> None:
    inserts: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for draft in drafts:
        for table, row in draft.inserts:
            inserts[table, *row].append(row)
    try:
        for (table, *_columns), rows in sorted(inserts.items(), key=lambda item: INSERT_ORDER[item[0][0]]):
            await connection.execute(insert(Base.metadata.tables[table]), rows)
    except IntegrityError as error:
        if is_duplicate(error):
            raise DuplicateRow from error
        raise
    updates = [row for draft in drafts for row in draft.updates]
    if updates:
        await update_rows(connection, updates)
    steps = [step for draft in drafts for step in draft.row_steps]
    if steps:
        await step_rows(connection, steps, drafts[0].now)


async def _append_events(
    connection: AsyncConnection, events: Sequence[Recorded], loaded: Loaded
) -> tuple[list[Message], list[JobState]]:
    if not events:
        return [], []
    numbered: dict[str, JobState] = {}
    by_session: dict[str, list[Recorded]] = defaultdict(list)
    for event in events:
        by_session[event.session_id].append(event)
    locked = await connection.execute(
        select(SESSION.c.id, SESSION.c.head, SESSION.c.epoch)
        .where(SESSION.c.id.in_(sorted(by_session)))
        .order_by(SESSION.c.id)
        .with_for_update(key_share=True)
    )
    heads, rows, messages = [], [], []
    for session in locked.all():
        new = by_session[session.id]
        for seq, event in enumerate(new, session.head + 1):
            rows.append(
                {
                    "session_id": session.id,
                    "seq": seq,
                    "job_id": event.job_id,
                    "type": event.type,
                    "data": event.data,
                }
            )
            job = loaded.jobs.get(event.job_id)
            if job is not None:
                job.first_seq = job.first_seq or seq
                job.last_seq = seq
                numbered[job.id] = job
        entries = tuple(Entry(event.job_id, event.type, event.data) for event in new)
        messages.append(Message(session.id, session.epoch, session.head + 1, entries, time.time_ns() // 1000))
        heads.append({"key": session.id, "new_head": session.head + len(new)})
    await connection.execute(_SET_HEAD, heads)
    await connection.execute(insert(EVENT), rows)
    return messages, list(numbered.values())


async def _write_states(connection: AsyncConnection, touched: Sequence[JobState | StageState], now: int) -> None:
    jobs = {state.id: state for state in touched if isinstance(state, JobState)}
    stages = {(state.job_id, state.name): state for state in touched if isinstance(state, StageState)}
    if stages:
        await connection.execute(_SET_STAGE, [_stage_parameters(stage, now) for stage in stages.values()])
    if jobs:
        await connection.execute(_SET_JOB, [_job_parameters(job) for job in jobs.values()])


_JOB_COLUMNS = (
    JOB.c.id,
    JOB.c.session_id,
    JOB.c.kind,
    JOB.c.status,
    JOB.c.run,
    JOB.c.remaining,
    JOB.c.first_seq,
    JOB.c.last_seq,
    JOB.c.started_at,
    JOB.c.finished_at,
)
_STAGE_COLUMNS = (
    STAGE.c.job_id,
    STAGE.c.name,
    STAGE.c.position,
    STAGE.c.status,
    STAGE.c.attempt,
    STAGE.c.attempt_limit,
    STAGE.c.done,
    STAGE.c.total,
    STAGE.c.lease_token,
    STAGE.c.lease_until,
    STAGE.c.retry_at,
    STAGE.c.error,
)
_JOB_SET = ("status", "run", "remaining", "first_seq", "last_seq", "started_at", "finished_at")
_STAGE_SET = ("status", "attempt", "attempt_limit", "done", "lease_token", "lease_until", "retry_at", "error")
# Bound names differ from column names: an UPDATE in SQLAlchemy reserves those for its SET clause.
_SET_HEAD = update(SESSION).where(SESSION.c.id == bindparam("key")).values(head=bindparam("new_head"))
_SET_JOB = update(JOB).where(JOB.c.id == bindparam("key")).values({name: bindparam(f"new_{name}") for name in _JOB_SET})
_SET_STAGE = (
    update(STAGE)
    .where(STAGE.c.job_id == bindparam("key"), STAGE.c.name == bindparam("stage"))
    .values({name: bindparam(f"new_{name}") for name in (*_STAGE_SET, "updated_at")})
)


def _job_parameters(job: JobState) -> dict[str, Any]:
    return {"key": job.id, **{f"new_{name}": getattr(job, name) for name in _JOB_SET}}


def _stage_parameters(stage: StageState, now: int) -> dict[str, Any]:
    values = {f"new_{name}": getattr(stage, name) for name in _STAGE_SET}
    return {"key": stage.job_id, "stage": stage.name, "new_updated_at": now, **values}
