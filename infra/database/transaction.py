"""The one write transaction: load and lock what a group of changes needs, let each decide, write everything in bulk.

The number of statements does not grow with the group. Locks are taken in one order everywhere, each sorted by id: jobs
first, sessions last. A job's lock covers its stages, since every writer of a stage row takes it first. A session's
sequence is taken at the very end: numbers taken earlier would not be in commit order, and a reader that follows them
would miss events (142 of 320 with 8 writers and a global sequence).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter, itemgetter
from typing import Any

import orjson
from sqlalchemy.exc import IntegrityError

from infra.bus.base import Entry, Message
from infra.database.bulk import step_rows, update_rows
from infra.database.draft import Change, Draft, KnownKey, Loaded, Recorded
from infra.database.engine import is_duplicate
from infra.database.models import EVENT, IDEMPOTENCY, JOB, SESSION, STAGE, Base
from infra.database.state import JobState, StageState
from infra.database.status import JobStatus, StageStatus
from infra.database.writer import Values, Writer
from infra.errors import DuplicateRow, StagecastError

# Parents before children, so that foreign keys hold at every statement.
INSERT_ORDER = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
# Decisions are plain Python: after some two milliseconds of them everybody else has a turn.
SLICE_ROWS = 200


@dataclass(slots=True)
class Decided:
    """What became of one change: its outcome or its own error."""

    outcome: Any = None
    error: StagecastError | None = None


async def apply(writer: Writer, now: int, changes: Sequence[Change[Any]]) -> tuple[list[Decided], list[Message]]:
    """Decide and write a group inside the open transaction; returns each change's fate and the messages to publish."""
    loaded = await _load(writer, now, changes)
    decided, drafts, rows = [], [], 0
    for change in changes:
        draft = Draft(loaded)
        try:
            decided.append(Decided(outcome=change.decide(draft)))
            drafts.append(draft)
        except StagecastError as error:
            decided.append(Decided(error=error))
        rows += change.weight
        if rows >= SLICE_ROWS:
            rows = 0
            await asyncio.sleep(0)
    await _write_rows(writer, drafts)
    messages, numbered = await _append_events(writer, [one for draft in drafts for one in draft.events], loaded)
    await _write_states(writer, [*numbered, *(state for draft in drafts for state in draft.touched)], now)
    return decided, messages


async def _load(writer: Writer, now: int, changes: Sequence[Change[Any]]) -> Loaded:
    needs = [change.needs for change in changes]
    job_ids = sorted({(need.job_id,) for need in needs if need.job_id})
    session_ids = sorted({(need.session_id,) for need in needs if need.session_id})
    keys = sorted({need.key for need in needs if need.key})
    loaded = Loaded(now, {}, {}, {})
    if job_ids:
        loaded.jobs = await _lock_jobs(writer, job_ids)
    if session_ids:
        loaded.epochs = {row[0]: row[1] for row in await writer.find(SESSION, ("id", "epoch"), ("id",), session_ids)}
    if keys:
        known = await writer.find(IDEMPOTENCY, ("scope", "key", "job_id", "fingerprint"), ("scope", "key"), keys)
        loaded.keys = {(row[0], row[1]): KnownKey(row[2], row[3]) for row in known}
    return loaded


async def _lock_jobs(writer: Writer, job_ids: Sequence[Values]) -> dict[str, JobState]:
    jobs: dict[str, JobState] = {}
    for row in await writer.find(JOB, _JOB_COLUMNS, ("id",), job_ids, lock=True):
        job = jobs[row[0]] = JobState(*row)
        job.status = JobStatus(job.status)
    for row in await writer.find(STAGE, _STAGE_COLUMNS, ("job_id",), job_ids):
        stage = StageState(*row)
        stage.status = StageStatus(stage.status)
        error: Any = stage.error
        if isinstance(error, str):  # SQLite gives JSON as it is stored
            stage.error = orjson.loads(error)
        jobs[stage.job_id].stages[stage.name] = stage
    for job in jobs.values():
        job.stages = {stage.name: stage for stage in sorted(job.stages.values(), key=attrgetter("position"))}
    return jobs


async def _write_rows(writer: Writer, drafts: Sequence[Draft]) -> None:
    inserts: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = defaultdict(list)
    for draft in drafts:
        for table, row in draft.inserts:
            inserts[table, tuple(row)].append(row)
    try:
        for (table, columns), rows in sorted(inserts.items(), key=lambda item: INSERT_ORDER[item[0][0]]):
            await writer.insert(Base.metadata.tables[table], columns, list(map(itemgetter(*columns), rows)))
    except IntegrityError as error:
        if is_duplicate(error):
            raise DuplicateRow from error
        raise
    updates = [row for draft in drafts for row in draft.updates]
    if updates:
        await update_rows(writer, updates)
    steps = [step for draft in drafts for step in draft.row_steps]
    if steps:
        await step_rows(writer, steps, drafts[0].now)


async def _append_events(
    writer: Writer, events: Sequence[Recorded], loaded: Loaded
) -> tuple[list[Message], list[JobState]]:
    if not events:
        return [], []
    by_session: dict[str, list[Recorded]] = defaultdict(list)
    for event in events:
        by_session[event.session_id].append(event)
    committed_at_us = time.time_ns() // 1000
    heads, rows, messages = [], [], []
    lasts: dict[str, int] = {}
    session_ids = [(session_id,) for session_id in sorted(by_session)]
    for session_id, head, epoch in await writer.find(SESSION, ("id", "head", "epoch"), ("id",), session_ids, lock=True):
        new = by_session[session_id]
        entries = []
        for seq, event in enumerate(new, head + 1):
            job_id = event.job_id
            rows.append((session_id, seq, job_id, event.type, event.data))
            entries.append(Entry(job_id, event.type, event.data))
            if job_id not in lasts and (job := loaded.jobs.get(job_id)) is not None:
                job.first_seq = job.first_seq or seq
            lasts[job_id] = seq
        messages.append(Message(session_id, epoch, head + 1, tuple(entries), committed_at_us))
        heads.append((session_id, head + len(new)))
    await writer.update(SESSION, ("id",), ("head",), heads)
    await writer.insert(EVENT, ("session_id", "seq", "job_id", "type", "data"), rows)
    numbered = [loaded.jobs[job_id] for job_id in lasts if job_id in loaded.jobs]
    for job in numbered:
        job.last_seq = lasts[job.id]
    return messages, numbered


async def _write_states(writer: Writer, touched: Sequence[JobState | StageState], now: int) -> None:
    jobs = {state.id: state for state in touched if isinstance(state, JobState)}
    stages = {(state.job_id, state.name): state for state in touched if isinstance(state, StageState)}
    if stages:
        rows = [(*_stage_values(stage), now) for stage in stages.values()]
        await writer.update(STAGE, ("job_id", "name"), (*_STAGE_SET, "updated_at"), rows)
    if jobs:
        await writer.update(JOB, ("id",), _JOB_SET, [_job_values(job) for job in jobs.values()])


# In the order of the fields, so that a row is the state's arguments.
_JOB_COLUMNS = tuple(field.name for field in fields(JobState) if field.name != "stages")
_STAGE_COLUMNS = tuple(field.name for field in fields(StageState))
_JOB_SET = ("status", "run", "remaining", "first_seq", "last_seq", "started_at", "finished_at")
_STAGE_SET = ("status", "attempt", "attempt_limit", "done", "lease_token", "lease_until", "retry_at", "error")
_job_values = attrgetter("id", *_JOB_SET)
_stage_values = attrgetter("job_id", "name", *_STAGE_SET)
