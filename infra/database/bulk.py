"""Many row updates as one: all that a group sets in a row is one update of it, since each writes the whole row anew."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from infra.database.draft import RowStep, RowUpdate
from infra.database.models import Base
from infra.database.status import RowStatus
from infra.database.writer import Writer
from infra.errors import RowNotFound

_KEYS = ("id", "session_id")
_RowKey = tuple[str, str, str]


async def update_rows(writer: Writer, updates: Sequence[RowUpdate]) -> None:
    """Apply the updates. Raises RowNotFound when any of the rows does not exist; the caller rolls back."""
    merged: dict[_RowKey, dict[str, Any]] = {}
    for update in updates:
        key = (update.table, update.row_id, update.session_id)
        row = merged.get(key)
        if row is None:
            merged[key] = dict(update.columns)
        else:
            row.update(update.columns)
    for (table, columns, keep), rows in _alike(merged).items():
        if await writer.update(Base.metadata.tables[table], _KEYS, columns, rows, keep) != len(rows):
            raise RowNotFound


def _alike(merged: Mapping[_RowKey, dict[str, Any]]) -> dict[tuple[str, tuple[str, ...], bool], list[tuple[Any, ...]]]:
    """Rows that one statement can update: all of a table whose columns are filled, and those that empty the same."""
    filled: dict[str, list[tuple[_RowKey, dict[str, Any]]]] = defaultdict(list)
    groups: dict[tuple[str, tuple[str, ...], bool], list[tuple[Any, ...]]] = defaultdict(list)
    for key, row in merged.items():
        if None in row.values():
            groups[key[0], tuple(row), False].append((*key[1:], *row.values()))
        else:
            filled[key[0]].append((key, row))
    for table, rows in filled.items():
        columns = tuple(sorted({name for _, row in rows for name in row}))
        groups[table, columns, True] = [(*key[1:], *map(row.get, columns)) for key, row in rows]
    return groups


async def step_rows(writer: Writer, steps: Sequence[RowStep], now: int) -> None:
    """Set processing_status of whole jobs: to processing where a run began, to what the columns say where one ended."""
    for (table, columns), jobs in _grouped(steps).items():
        await writer.set_where(Base.metadata.tables[table], "processing_status", _status(columns), now, "job_id", jobs)


def _status(columns: Sequence[str]) -> str:
    if not columns:
        return f"'{RowStatus.PROCESSING}'"
    filled = " + ".join(f"CASE WHEN {name} IS NULL THEN 0 ELSE 1 END" for name in columns)
    return (
        f"CASE {filled} WHEN {len(columns)} THEN '{RowStatus.COMPLETED}' "
        f"WHEN 0 THEN '{RowStatus.FAILED}' ELSE '{RowStatus.PARTIAL}' END"
    )


def _grouped(steps: Sequence[RowStep]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    latest = {(step.table, step.job_id): step.columns for step in steps}  # a job that ended and began again: it began
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (table, job_id), columns in latest.items():
        groups[table, columns].append(job_id)
    return groups
