"""Which database this is, as PostgreSQL itself tells: its cluster, its line of history, and the very table.

What a restore leaves the same and what it changes: `pg_restore` makes new tables; a physical backup or a promoted
replica begins a new timeline; another cluster has another identifier. A snapshot of the disk that was put back changes
none of them, but its write-ahead log ends earlier than what a running process has seen. A plain restart, a crash and a
VACUUM change nothing; VACUUM FULL, CLUSTER and pg_upgrade look like a restore.
"""

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.engine import is_transient

# Two round trips of less than a millisecond; every role may call these functions unless they were revoked from it.
_CLUSTER = text(
    "SELECT (SELECT system_identifier FROM pg_control_system())::text AS cluster,"
    " left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) AS timeline,"
    " (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint AS reached"
)
_TABLE = text(
    "SELECT (SELECT oid FROM pg_database WHERE datname = current_database())::text AS database,"
    " 'session'::regclass::oid::text AS relation, pg_relation_filenode('session'::regclass)::text AS file"
)

log = structlog.stdlib.get_logger(__name__)


class Lineage(msgspec.Struct, frozen=True):
    """The parts of a database's identity; what the server does not tell is empty."""

    cluster: str
    timeline: str
    database: str
    relation: str
    file: str

    def differs_from(self, other: "Lineage") -> bool:
        """Whether any part that both know is another one."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return any(mine != theirs for mine, theirs in pairs if mine and theirs)

    def is_same_table(self, other: "Lineage | None") -> bool:
        """Whether the table is the very same one: nobody has made or emptied it since."""
        return other is not None and (self.relation, self.file) == (other.relation, other.file)

    def completed_from(self, other: "Lineage | None") -> "Lineage":
        """With the other's parts where this one's are not told."""
        if other is None:
            return self
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Lineage(*(mine or theirs for mine, theirs in pairs))

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(self).items() if value)


class LineageReader:
    """Reads the lineage over a given connection, with less of it where the role may not know everything."""

    def __init__(self) -> None:
        self._warned = False

    async def read(self, connection: AsyncConnection) -> tuple[Lineage, int]:
        """The lineage, and the byte of the write-ahead log that is safely on the disk (0: not told)."""
        table = (await connection.execute(_TABLE)).one()
        cluster, timeline, reached = await self._cluster(connection)
        return Lineage(cluster, timeline, table.database, table.relation, table.file), reached

    async def _cluster(self, connection: AsyncConnection) -> tuple[str, str, int]:
        try:
            async with connection.begin_nested():  # a refusal must not end the transaction around it
                row = (await connection.execute(_CLUSTER)).one()
        except DBAPIError as error:
            if is_transient(error):
                raise
            if not self._warned:
                self._warned = True
                log.warning(
                    "continuity_half_blind",
                    error=str(error.orig)[:200],
                    meaning="a failover or a disk that was set back goes unnoticed: run `stagecast restored` after it",
                )
            return "", "", 0
        return row.cluster, row.timeline, row.reached
