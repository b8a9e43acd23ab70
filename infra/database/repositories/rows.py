"""The session-scoped repository of menu items and of prompts: what belongs to another session does not exist here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from infra.clock import now_ms
from infra.database.committer import Committer
from infra.database.draft import Draft, Needs
from infra.database.engine import Database
from infra.database.models import Base
from infra.database.status import RowStatus
from infra.errors import RowNotFound


@dataclass(frozen=True, slots=True)
class _Save:
    table: str
    rows: tuple[dict[str, Any], ...]

    @property
    def needs(self) -> Needs:
        return Needs()

    @property
    def weight(self) -> int:
        return len(self.rows)

    def decide(self, draft: Draft) -> None:
        for row in self.rows:
            draft.insert(self.table, row)


@dataclass(frozen=True, slots=True)
class _Update:
    table: str
    session_id: str
    row_id: str
    columns: Mapping[str, Any]

    @property
    def needs(self) -> Needs:
        return Needs()

    @property
    def weight(self) -> int:
        return 1

    def decide(self, draft: Draft) -> None:
        draft.update(self.table, self.session_id, self.row_id, {**self.columns, "updated_at": draft.now})


class Rows:
    """Rows of one table in one session. Every write goes through the committer and is all or nothing."""

    def __init__(self, database: Database, committer: Committer, model: type[Base], session_id: str) -> None:
        self._database = database
        self._committer = committer
        self._table: Table = Base.metadata.tables[model.__tablename__]
        self._session_id = session_id

    async def save(self, row: Mapping[str, Any]) -> None:
        """Add one row. Raises DuplicateRow when its id or place exists."""
        await self.save_all([row])

    async def save_all(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add many rows in one transaction, or none of them. Raises DuplicateRow."""
        at = now_ms()
        empty = {column.name: None for column in self._table.columns if column.nullable}
        fixed = {"session_id": self._session_id, "created_at": at, "updated_at": at}
        await self._committer.commit(_Save(self._table.name, tuple({**empty, **row, **fixed} for row in rows)))

    async def get(self, row_id: str) -> dict[str, Any]:
        """One row of this session. Raises RowNotFound."""
        statement = select(self._table).where(self._table.c.id == row_id, self._table.c.session_id == self._session_id)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise RowNotFound
        return dict(row._mapping)

    async def of_session(self) -> list[dict[str, Any]]:
        """All rows of this session, in order of their jobs and positions."""
        return await self._select()

    async def of_job(self, job_id: str) -> list[dict[str, Any]]:
        """The rows of one job of this session, in order."""
        return await self._select(self._table.c.job_id == job_id)

    async def _select(self, *where: Any) -> list[dict[str, Any]]:
        statement = (
            select(self._table)
            .where(self._table.c.session_id == self._session_id, *where)
            .order_by(self._table.c.job_id, self._table.c.position)
        )
        async with self._database.read() as connection:
            return [dict(row._mapping) for row in await connection.execute(statement)]

    async def update(self, row_id: str, columns: Mapping[str, Any]) -> None:
        """Set some columns of a row and its time of update. Raises RowNotFound when this session has no such row."""
        await self._committer.commit(_Update(self._table.name, self._session_id, row_id, columns))

    async def set_status(self, row_id: str, status: RowStatus) -> None:
        """Set a row's processing_status. Raises RowNotFound."""
        await self.update(row_id, {"processing_status": status.value})
