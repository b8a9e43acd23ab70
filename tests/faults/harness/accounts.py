"""The accounts of a scene: everything that was seen, compared with everything that is stored."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from infra.database.engine import Database
from infra.settings import DatabaseSettings
from pipeline.verify import verify
from tests.faults.harness.checker import check_jobs, check_viewer, silences
from tests.faults.harness.crowd import Crowd
from tests.faults.harness.history import History
from tests.faults.harness.outcome import Outcome, Sample, Strip, Stroke
from tests.faults.harness.truth import Ledger
from tests.faults.harness.world import World

STRIP_SILENCE_SECONDS = 0.75
LONGEST_COMPLAINT = 160


async def draw_up(
    world: World,
    crowd: Crowd,
    strokes: Sequence[Stroke],
    samples: Sequence[Sample],
    findings: Sequence[str],
    times: tuple[float, float],
) -> Outcome:
    """The outcome of a scene that is over. `findings` are those made before; `times` are its begin and end."""
    truth = await Ledger(world.database_url).read()
    histories = [viewer.history for viewer in crowd.viewers]
    contradictions = await find_contradictions(world.database_url)
    return Outcome(
        stack=world.stack.name,
        began=times[0],
        ended=times[1],
        committed=truth.committed,
        jobs=len(truth.jobs),
        statuses=dict(Counter(job.status for job in truth.jobs.values())),
        strokes=strokes,
        verdicts=[check_viewer(history, truth) for history in histories],
        orders=crowd.orders,
        findings=[*findings, *check_jobs(crowd.orders, truth), *contradictions],
        complaints=_complaints(world),
        samples=samples,
        deliveries=sorted(seen.at for history in histories for seen in history.seen),
        strips=[_strip(history) for history in histories],
    )


async def find_contradictions(database_url: str) -> list[str]:
    """What `stagecast verify` finds."""
    database = Database(DatabaseSettings(url=database_url))
    try:
        return [str(finding) for finding in (await verify(database)).findings]
    finally:
        await database.close()


def _complaints(world: World) -> dict[str, int]:
    """What the gateways logged as errors, with the task and the last line of what was raised, and how often."""
    lines = [line for site in world.sites for line in site.gateway.read_log().splitlines()]
    entries = [orjson.loads(line) for line in lines if line.startswith("{")]
    return dict(Counter(_complaint(entry) for entry in entries if entry.get("level") in ("error", "critical")))


def _complaint(entry: dict[str, Any]) -> str:
    parts = (str(entry["event"]), str(entry.get("task", "")), str(entry.get("exception", "")))
    return ": ".join(_last_line(part) for part in parts if part)


def _last_line(text: str) -> str:
    """Of a traceback, what was raised; the tree that an exception group draws is left out."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")[:LONGEST_COMPLAINT]


def _strip(history: History) -> Strip:
    silent = tuple((start, end) for start, end in silences(history) if end - start >= STRIP_SILENCE_SECONDS)
    return Strip(history.viewer, history.opened_at, history.closed_at, silent)
