"""Leases over stage rows: extended in bulk by their owner, found by the reconciler once nobody extends them."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, or_, select, text, update

from infra.database.engine import Database, unavailable_as_error
from infra.database.models import JOB, LIVE_STAGES, STAGE
from infra.database.status import StageStatus

# A clock that was set back leaves times behind that lie far ahead, by hours perhaps, and nobody may wait for those. The
# longest lease that the settings allow is an hour, and retries wait for less: what is farther ahead than that, and a
# minute more, was written by a wrong clock and counts as past. It is not counted in leases of ours: another process may
# have longer ones, for example while a new setting is rolled out, and would lose stages that it runs.
FARTHEST_MS = 3_660_000


class Leases:
    """Reads and extends leases. Claiming and giving them up are transitions and go through the committer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def extend(self, held: Mapping[str, str], lease_ms: int) -> set[str]:
        """Extend leases, given as job ids by lease token; returns the tokens that still hold one.

        The jobs are locked first, in the order that every writer of stage rows keeps.
        """
        job_ids = sorted(set(held.values()))
        lock = select(JOB.c.id).where(JOB.c.id.in_(job_ids)).order_by(JOB.c.id).with_for_update(key_share=True)
        extended = (
            update(STAGE)
            .where(STAGE.c.job_id.in_(job_ids), STAGE.c.lease_token.in_(list(held)))
            .values(lease_until=self._database.now() + lease_ms)
            .returning(STAGE.c.lease_token)
        )
        with unavailable_as_error():
            async with self._database.write() as connection:
                await connection.execute(lock)
                return set((await connection.execute(extended)).scalars())

    async def claimable(self, unseen_ms: int, limit: int) -> list[tuple[str, str]]:
        """Stages that someone should run: due for retry, abandoned, or queued and untouched for `unseen_ms`.

        Times that are farther ahead than any lease can be count as past.
        """
        now = self._database.now()
        wrong = now + FARTHEST_MS

        def passed(time: ColumnElement[int]) -> ColumnElement[bool]:
            return or_(time <= now, time > wrong)

        untouched = or_(STAGE.c.updated_at <= now - unseen_ms, STAGE.c.updated_at > now)
        waiting = or_(
            and_(STAGE.c.status == StageStatus.QUEUED, untouched),
            and_(STAGE.c.status == StageStatus.RETRY_WAIT, passed(STAGE.c.retry_at)),
            and_(STAGE.c.status == StageStatus.RUNNING, passed(STAGE.c.lease_until)),
        )
        live = text(LIVE_STAGES)
        statement = select(STAGE.c.job_id, STAGE.c.name).where(live, waiting).order_by(STAGE.c.updated_at).limit(limit)
        async with self._database.read() as connection:
            return [(row.job_id, row.name) for row in await connection.execute(statement)]
