"""The session-scoped repository on SQLite and PostgreSQL: saved, read and updated whole, in one session only."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from infra.database.models import Base, Evaluation, MenuItem, Prompt
from infra.database.repositories.rows import Rows
from infra.database.status import RowStatus
from infra.errors import DuplicateRow, RowNotFound
from infra.ids import new_id
from pipeline.registry import KINDS
from tests.contract.jobs import submit
from tests.database import Store

MODELS: dict[str, type[Base]] = {"menu": MenuItem, "prompt": Prompt}
COLUMNS = {kind: [column for stage in one.stages.values() for column in stage.fills] for kind, one in KINDS.items()}


class Place:
    """A session with a job, and the repository of its rows."""

    def __init__(self, store: Store, kind: str, session_id: str, job_id: str) -> None:
        self.store, self.kind, self.session_id, self.job_id = store, kind, session_id, job_id
        self.rows = Rows(store.database, store.committer, MODELS[kind], session_id)

    def row(self, position: int = 10, **changed: Any) -> dict[str, Any]:
        fixed: dict[str, Any] = {"id": new_id(), "position": position, "processing_status": "pending"}
        if self.kind == "menu":
            return fixed | {"job_id": self.job_id, "name": f"料理 {position}"} | changed
        return fixed | {"job_id": None, "title": "t", "content": "c", "version": 1, "test_cases": []} | changed

    async def count(self) -> int:
        async with self.store.database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(MODELS[self.kind].__table__)) or 0


async def a_place(store: Store, kind: str) -> Place:
    job = await submit(store.committer, kind)
    return Place(store, kind, job.session_id, job.id)


@pytest.fixture(params=["menu", "prompt"])
async def place(request: pytest.FixtureRequest, store: Store) -> Place:
    return await a_place(store, request.param)


async def test_a_saved_row_is_read_as_it_went(place: Place) -> None:
    text = 'いくら "丼" \\ 🍣 \u2028 \ud7ff \U0010ffff \t\n'
    row = place.row(**({"name": text} if place.kind == "menu" else {"content": text, "title": text[:20]}))
    await place.rows.save(row)
    found = await place.rows.get(row["id"])
    assert {name: found[name] for name in row} == row
    assert found["session_id"] == place.session_id
    assert found["created_at"] == found["updated_at"] > 1_700_000_000_000
    assert all(found[column] is None for column in COLUMNS[place.kind])


async def test_a_hundred_rows_are_saved_in_one_go_and_read_in_order(place: Place) -> None:
    rows = [place.row(position) for position in range(10, 110)]
    began = time.perf_counter()
    await place.rows.save_all(reversed(rows))  # type: ignore[arg-type]
    print(f"100 rows in {(time.perf_counter() - began) * 1000:.1f} ms")
    found = [row for row in await place.rows.of_session() if row["position"] >= 10]
    assert [row["id"] for row in found] == [row["id"] for row in rows]


async def test_another_session_sees_and_changes_nothing(place: Place) -> None:
    other = await a_place(place.store, place.kind)
    row = place.row()
    await place.rows.save(row)
    before = await place.rows.get(row["id"])
    assert row["id"] not in [one["id"] for one in await other.rows.of_session()]
    assert await other.rows.of_job(place.job_id) == []
    with pytest.raises(RowNotFound):
        await other.rows.get(row["id"])
    with pytest.raises(RowNotFound):
        await other.rows.update(row["id"], {"translation": {"result": "stolen"}})
    with pytest.raises(RowNotFound):
        await other.rows.set_status(row["id"], RowStatus.FAILED)
    assert await place.rows.get(row["id"]) == before


async def test_the_session_of_a_row_is_the_repositorys_own(place: Place) -> None:
    other = await a_place(place.store, place.kind)
    row = place.row(session_id=other.session_id)
    await place.rows.save(row)
    assert (await place.rows.get(row["id"]))["session_id"] == place.session_id


async def test_each_stages_column_fills_by_itself(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    values = {name: {"result": [name, None, 1.5, "丼"], "confidence": 0.5} for name in COLUMNS[place.kind]}
    for number, (name, value) in enumerate(values.items(), 1):
        await place.rows.update(row["id"], {name: value})
        found = await place.rows.get(row["id"])
        assert found[name] == value
        assert sum(found[column] is not None for column in values) == number
    assert {name: found[name] for name in values} == values


async def test_all_stages_fill_one_row_at_the_same_time(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    values = {name: {"result": name} for name in COLUMNS[place.kind]}
    await asyncio.gather(*(place.rows.update(row["id"], {name: value}) for name, value in values.items()))
    found = await place.rows.get(row["id"])
    assert {name: found[name] for name in values} == values


async def test_a_value_can_be_emptied_and_is_null_again(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    await place.rows.update(row["id"], {"translation": {"result": None}})
    assert (await place.rows.get(row["id"]))["translation"] == {"result": None}
    await place.rows.update(row["id"], {"translation": None})
    table = Base.metadata.tables[MODELS[place.kind].__tablename__]
    async with place.store.database.read() as connection:
        is_null = table.c.translation.is_(None)
        assert await connection.scalar(select(is_null).where(table.c.id == row["id"]))


@pytest.mark.parametrize("status", list(RowStatus))
async def test_a_rows_status_is_set(place: Place, status: RowStatus) -> None:
    row = place.row()
    await place.rows.save(row)
    await place.rows.set_status(row["id"], status)
    found = await place.rows.get(row["id"])
    assert found["processing_status"] == status
    assert found["updated_at"] >= found["created_at"]


async def test_updates_of_one_row_at_the_same_time_all_succeed(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    await asyncio.gather(*(place.rows.set_status(row["id"], RowStatus.PROCESSING) for _ in range(10)))
    assert (await place.rows.get(row["id"]))["processing_status"] == "processing"


async def test_an_update_of_a_row_that_does_not_exist_is_an_error(place: Place) -> None:
    with pytest.raises(RowNotFound):
        await place.rows.update(new_id(), {"translation": {"result": "x"}})
    with pytest.raises(RowNotFound):
        await place.rows.set_status(new_id(), RowStatus.FAILED)


async def test_a_duplicate_id_is_an_error_and_changes_nothing(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    before = await place.rows.get(row["id"])
    with pytest.raises(DuplicateRow):
        await place.rows.save(place.row(11, id=row["id"]))
    assert await place.rows.get(row["id"]) == before


async def test_a_batch_with_one_bad_row_leaves_none(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    count = await place.count()
    batch = [place.row(position) for position in range(20, 120)]
    with pytest.raises(DuplicateRow):
        await place.rows.save_all([*batch, place.row(120, id=row["id"])])
    with pytest.raises(IntegrityError):
        await place.rows.save_all([*batch, place.row(120, processing_status="nearly done")])
    assert await place.count() == count


async def test_a_bad_change_does_not_harm_its_neighbours_in_the_group(place: Place) -> None:
    row = place.row()
    await place.rows.save(row)
    good = [place.row(position) for position in range(20, 30)]
    outcomes = await asyncio.gather(
        *(place.rows.save(one) for one in good[:5]),
        place.rows.save(place.row(99, id=row["id"])),
        place.rows.update(new_id(), {"translation": {"result": "x"}}),
        place.rows.update(row["id"], {"processing_status": "nearly done"}),
        *(place.rows.save(one) for one in good[5:]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome] == [DuplicateRow, RowNotFound, IntegrityError]
    saved = {one["id"] for one in await place.rows.of_session()}
    assert {one["id"] for one in good} <= saved


async def test_a_place_in_a_menu_is_taken_once(store: Store) -> None:
    place = await a_place(store, "menu")
    await place.rows.save(place.row(7))
    with pytest.raises(DuplicateRow):
        await place.rows.save(place.row(7))


@pytest.mark.parametrize("score", [-0.01, 1.01])
async def test_a_score_outside_0_to_1_is_refused(store: Store, score: float) -> None:
    place = await a_place(store, "prompt")
    (prompt,) = await place.rows.of_session()
    table = Base.metadata.tables[Evaluation.__tablename__]
    row = {"id": new_id(), "prompt_id": prompt["id"], "provider": "x", "model": None, "created_at": 1}
    async with store.database.write() as connection:
        await connection.execute(table.insert(), {**row, "status": "completed", "overall_score": 0.5})
    result = {"evaluation_id": row["id"], "position": 0, "name": "n", "passed": True, "assertions": []}
    bad = [
        (table, {**row, "id": new_id(), "status": "completed", "overall_score": score}),
        (table, {**row, "id": new_id(), "status": "perhaps", "overall_score": 0.5}),
        (Base.metadata.tables["test_result"], {**result, "score": score}),
    ]
    for one, values in bad:
        with pytest.raises(IntegrityError):
            async with store.database.write() as connection:
                await connection.execute(one.insert(), values)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("job", {"status": "nearly"}),
        ("job", {"kind": "photo"}),
        ("job", {"remaining": -1}),
        ("stage", {"status": "sleeping"}),
        ("stage", {"done": 2}),
        ("stage", {"done": -1}),
        ("stage", {"lease_token": "t"}),
        ("stage", {"lease_until": 1}),
        ("session", {"head": -1}),
        ("session", {"trimmed": 2}),
        ("event", {"seq": 0}),
        ("menu_item", {"processing_status": "done"}),
        ("prompt", {"processing_status": "done"}),
        ("prompt", {"version": 0}),
    ],
)
async def test_what_may_not_be_is_refused_by_the_database_itself(
    store: Store, table: str, values: dict[str, Any]
) -> None:
    await submit(store.committer, "menu")
    await submit(store.committer, "prompt")
    with pytest.raises(IntegrityError):
        async with store.database.write() as connection:
            await connection.execute(Base.metadata.tables[table].update().values(values))
