"""Proves that the log and the rows agree (design, section 3), or lists where they do not."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from infra.bus.base import Entry
from infra.database.engine import Database
from infra.database.repositories.audit import Audit, AuditedJob, AuditedSession
from infra.database.status import STAGE_ACTIVE
from pipeline.fold import BrokenLog, FoldedJob
from pipeline.recorder import reference_to


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a rule does not hold."""

    session_id: str
    job_id: str | None
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and every finding."""

    sessions: int
    jobs: int
    events: int
    findings: list[Finding]


async def verify(database: Database) -> Verdict:
    """Check every session. A job whose first events retention has removed is checked as far as its rows and end go."""
    sessions = jobs = events = 0
    findings: list[Finding] = []
    async for session in Audit(database).sessions():
        sessions += 1
        jobs += len(session.jobs)
        events += len(session.events)
        findings += _session(session)
    return Verdict(sessions, jobs, events, findings)


def _session(session: AuditedSession) -> Iterator[Finding]:
    position = session.position
    expected = range(position.trimmed + 1, position.head + 1)
    numbers = [seq for seq, _ in session.events]
    if numbers != list(expected):
        missing = sorted(set(expected) - set(numbers))[:5]
        foreign = sorted(set(numbers) - set(expected))[:5]
        detail = f"expected {position.trimmed + 1}..{position.head}; missing {missing}, unexpected {foreign}"
        yield Finding(session.session_id, None, "log-gapless", detail)
    by_job: dict[str, list[tuple[int, Entry]]] = defaultdict(list)
    for seq, entry in session.events:
        by_job[entry.job_id].append((seq, entry))
    for job in session.jobs:
        job_id = job.body["job_id"]
        for rule, detail in _job(job, by_job.pop(job_id, []), position.trimmed):
            yield Finding(session.session_id, job_id, rule, detail)
    for job_id in by_job:
        yield Finding(session.session_id, job_id, "events-have-job", "the log has events of a job that does not exist")


def _job(job: AuditedJob, events: list[tuple[int, Entry]], trimmed: int) -> Iterator[tuple[str, str]]:
    active = [name for name, stage in job.body["stages"].items() if stage["status"] in STAGE_ACTIVE]
    if job.remaining != len(active):
        yield "remaining", f"remaining is {job.remaining}, active stages are {active}"
    numbers = [seq for seq, _ in events]
    if job.first_seq <= trimmed:
        yield from _end(job, numbers, trimmed)
        return
    if not numbers or (numbers[0], numbers[-1]) != (job.first_seq, job.last_seq):
        found = f"{numbers[0]}..{numbers[-1]}" if numbers else "no events"
        yield "job-range", f"the row says {job.first_seq}..{job.last_seq}, the log has {found}"
    folded = FoldedJob(job.body["job_id"])
    for seq, entry in events:
        try:
            folded.apply(entry.type, orjson.loads(entry.data))
        except (BrokenLog, KeyError, ValueError) as error:
            yield "log-consistent", f"event {seq} ({entry.type}): {error}"
            return
    yield from _compare(job.body, folded)


def _end(job: AuditedJob, numbers: list[int], trimmed: int) -> Iterator[tuple[str, str]]:
    """What can still be said of a job whose first events are gone: where its last one is."""
    if job.last_seq > trimmed and (not numbers or numbers[-1] != job.last_seq):
        yield "job-range", f"the row says that it ends at {job.last_seq}, the log has {numbers[-1:] or 'no events'}"


def _compare(body: dict[str, Any], folded: FoldedJob) -> Iterator[tuple[str, str]]:
    if (body["status"], body["run"]) != (folded.status, folded.run):
        found = f"row {body['status']} run {body['run']}, events {folded.status} run {folded.run}"
        yield "job-equals-events", found
    for name, stage in body["stages"].items():
        told = folded.stages[name]
        expected = {
            "status": str(told.status),
            "attempt": told.attempt,
            "done": told.done,
            "total": told.total,
            "error": told.error,
        }
        if stage != expected:
            yield "stage-equals-events", f"{name}: row {stage}, events {expected}"
    for row in body["rows"]:
        yield from _compare_row(row, folded)


def _compare_row(row: dict[str, Any], folded: FoldedJob) -> Iterator[tuple[str, str]]:
    item_id = row["item_id"]
    if row["processing_status"] != folded.row_status(item_id):
        told = folded.row_status(item_id)
        yield "row-equals-events", f"item {item_id}: status {row['processing_status']}, events say {told}"
    values = folded.values.get(item_id, {})
    for name, stage in folded.stage_specs().items():
        value = values.get(name)
        if value is not None and "reference" in value:
            stored = row[stage.fills[0]]
            same = stored is not None and reference_to(stored, folded.job_id) == value
        else:
            columns = dict.fromkeys(stage.fills) if value is None else stage.columns(value)
            same = all(row[column] == columns[column] for column in stage.fills)
        if not same:
            yield "row-equals-events", f"item {item_id}: the columns of {name} differ from its event"
