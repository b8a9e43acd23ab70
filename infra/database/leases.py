"""Leases over stage rows: extended in bulk by their owner, found by the reconciler once nobody extends them."""

from collections.abc import Sequence

from sqlalchemy import and_, or_, select, text, update

from infra.database.engine import Database, unavailable_as_error
from infra.database.models import LIVE_STAGES, STAGE
from infra.database.status import StageStatus


class Leases:
    """Reads and extends leases. Claiming and giving them up are transitions and go through the committer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def extend(self, tokens: Sequence[str], lease_ms: int) -> set[str]:
        """Extend the leases with these tokens in one statement; returns the tokens that still hold one."""
        statement = (
            update(STAGE)
            .where(STAGE.c.lease_token.in_(tokens))
            .values(lease_until=self._database.now() + lease_ms)
            .returning(STAGE.c.lease_token)
        )
        with unavailable_as_error():
            async with self._database.write() as connection:
                return set((await connection.execute(statement)).scalars())

    async def claimable(self, unseen_ms: int, limit: int) -> list[tuple[str, str]]:
        """Stages that someone should run: due for retry, abandoned, or queued and untouched for `unseen_ms`."""
        now = self._database.now()
        waiting = or_(
            and_(STAGE.c.status == StageStatus.QUEUED, STAGE.c.updated_at <= now - unseen_ms),
            and_(STAGE.c.status == StageStatus.RETRY_WAIT, STAGE.c.retry_at <= now),
            and_(STAGE.c.status == StageStatus.RUNNING, STAGE.c.lease_until <= now),
        )
        live = text(LIVE_STAGES)
        statement = select(STAGE.c.job_id, STAGE.c.name).where(live, waiting).order_by(STAGE.c.updated_at).limit(limit)
        async with self._database.read() as connection:
            return [(row.job_id, row.name) for row in await connection.execute(statement)]
