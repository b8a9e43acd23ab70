"""Jobs as contract tests need them: stored, claimed, and answered through the committer."""

from typing import Any

import orjson
from sqlalchemy import select

from infra.database.committer import Committer
from infra.database.models import MenuItem, Prompt
from infra.database.state import JobState
from infra.database.writer import Encoded
from pipeline.registry import KINDS
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Claim, Lease, Record, Result
from tests.database import Store

LEASE_MS = 60_000
DISH: dict[str, Any] = {"name": "親子丼", "input_price": "¥980", "input_category": None}
TEXT: dict[str, Any] = {"title": "t", "content": "c {{x}}", "test_cases": [], "parent_id": None, "version": 1}


async def submit(
    committer: Committer, kind: str = "menu", items: int = 1, session_id: str | None = None, attempts: int = 3
) -> JobState:
    rows = (DISH,) * items if kind == "menu" else (TEXT,)
    job = NewJob(kind, None, None, "en", rows)  # type: ignore[arg-type]
    accepted = await committer.commit(Submit(job, session_id, None, attempts))
    assert accepted.state is not None
    return accepted.state


async def claim(committer: Committer, job_id: str, stage: str = "translation", lease_ms: int = LEASE_MS) -> Lease:
    lease = await committer.commit(Claim(job_id, stage, lease_ms))
    assert lease is not None
    return lease


async def item_ids(store: Store, job_id: str, kind: str = "menu") -> list[str]:
    model = MenuItem if kind == "menu" else Prompt
    async with store.database.read() as connection:
        found = await connection.scalars(select(model.id).where(model.job_id == job_id).order_by(model.position))
        return list(found)


def results(stage: str, ids: list[str], text: str = "chicken and egg bowl", first: int = 0) -> tuple[Result, ...]:
    value = {"result": text, "provider": "contract", "confidence": 0.5}
    encoded = orjson.dumps(value)
    columns = {name: Encoded(encoded.decode()) for name in KINDS["menu"].stages[stage].fills}
    return tuple(Result(item_id, position, columns, encoded) for position, item_id in enumerate(ids, first))


async def answer(store: Store, lease: Lease, ids: list[str], finish: bool = True) -> None:
    await store.committer.commit(Record(lease, results(lease.stage, ids), LEASE_MS, finish))
