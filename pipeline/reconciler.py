"""Finds stages that somebody should run and nobody does: after a crash, a full queue, or a lost dispatch.

It is what makes dispatch at-least-once; the claim makes each attempt at-most-once.
"""

import asyncio
from collections.abc import Callable

import structlog

from infra.database.leases import Leases
from infra.errors import DatabaseUnavailable

EVERY_SECONDS = 2.0
# A queued stage this old was probably forgotten; dispatching it twice is harmless.
UNSEEN_MS = 2000
MOST_AT_ONCE = 1000

log = structlog.stdlib.get_logger(__name__)


class Reconciler:
    """Asks the database at boot and every two seconds what is claimable, and dispatches it."""

    def __init__(self, leases: Leases, dispatch: Callable[[str, str], None]) -> None:
        self._leases = leases
        self._dispatch = dispatch

    async def run(self) -> None:
        """Reconcile for ever; run it supervised."""
        unseen_ms = 0  # at boot everything queued is ours to look at
        while True:
            try:
                found = await self._leases.claimable(unseen_ms, MOST_AT_ONCE)
            except DatabaseUnavailable:
                log.warning("reconcile_postponed", reason="database unavailable")
            else:
                if found:
                    log.info("stages_found", count=len(found))
                for job_id, stage in found:
                    self._dispatch(job_id, stage)
                unseen_ms = UNSEEN_MS
            await asyncio.sleep(EVERY_SECONDS)
