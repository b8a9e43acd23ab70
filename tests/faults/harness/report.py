"""The report of a long run as Markdown."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests.report import Machine
from tests.faults.harness.outcome import Outcome, Stroke

PICTURE = "images/faults.svg"
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, where and when, and what came of it."""

    date: str
    command: str
    seed: int
    machine: Machine
    outcomes: Sequence[Outcome]


def to_markdown(run: Run) -> str:
    """The whole page. Raises ValueError when a path of this machine would be in it."""
    page = "\n".join([*_head(run), *_summary(run), *_kinds(run), *_meaning(), *_repeat(run)])
    for place in (tempfile.gettempdir(), str(Path.cwd()), str(Path.home())):
        if len(place) > 1 and place in page:
            raise ValueError(f"the report names a path of this machine: ...{place}...")
    return page


def _head(run: Run) -> Iterator[str]:
    seconds = sum(outcome.seconds for outcome in run.outcomes)
    strokes = sum(len(outcome.strokes) for outcome in run.outcomes)
    problems = [f"{one.stack}: {problem}" for one in run.outcomes for problem in one.problems]
    yield "# Faults"
    yield ""
    yield "What viewers got while everything around them was broken on purpose: real gateway processes, a real database"
    yield f"and Redis, {strokes} faults drawn at random from seed {run.seed}, {seconds:.0f} seconds in all, and a"
    yield "checker that compares every event in the database's log with every event that each viewer was handed."
    yield f"`{run.command}` writes this page and its picture."
    yield ""
    if problems:
        yield f"**The guarantee did not hold: {len(problems)} problems.**"
        yield ""
        yield from (f"- {problem}" for problem in problems[:MOST_PROBLEMS])
    else:
        yield "**Nothing was lost, doubled, reordered or altered; every accepted job ended; log and rows agree.**"
    yield ""
    yield f"![Faults, events per second and silence of each viewer over time]({PICTURE})"
    yield ""


def _summary(run: Run) -> Iterator[str]:
    yield from _table(
        ["", *(one.stack for one in run.outcomes)],
        [
            ("seconds", [f"{one.seconds:.0f}" for one in run.outcomes]),
            ("faults struck", [str(len(one.strokes)) for one in run.outcomes]),
            ("jobs accepted and ended", [_jobs(one) for one in run.outcomes]),
            ("events committed", [f"{one.committed:,}" for one in run.outcomes]),
            ("viewers", [str(len(one.verdicts)) for one in run.outcomes]),
            ("connections that they opened", [f"{one.total('connections'):,}" for one in run.outcomes]),
            ("events delivered", [f"{one.total('delivered'):,}" for one in run.outcomes]),
            *((f"**{name}**", [f"**{one.total(name)}**" for one in run.outcomes]) for name in _DAMAGE),
            ("delivered without ever being committed", [str(one.total("phantom")) for one in run.outcomes]),
            ("repeated on the wire, dropped by the client", [str(one.total("repeated")) for one in run.outcomes]),
            ("gaps that a client noticed and had mended", [str(one.total("gaps")) for one in run.outcomes]),
            ("resets to a snapshot", [str(one.total("resets")) for one in run.outcomes]),
            ("longest silence while a job ran", [f"{one.longest_silence:.1f} s" for one in run.outcomes]),
            ("heal to all live at the head: median", [f"{_recovery(one.strokes):.2f} s" for one in run.outcomes]),
            ("heal to all live at the head: longest", [f"{one.longest_recovery:.2f} s" for one in run.outcomes]),
            ("longest until an order was accepted", [f"{_slowest(one):.1f} s" for one in run.outcomes]),
            ("findings of `stagecast verify` and about jobs", [str(len(one.findings)) for one in run.outcomes]),
        ],
    )


def _kinds(run: Run) -> Iterator[str]:
    yield "## Each fault"
    yield ""
    yield "Each one shows that it happened, or the run fails. `lasted` is from strike to heal. `back` is from the heal"
    yield "(where another fault overlapped, from the last heal) until every viewer had a live connection and all that"
    yield "was committed by then."
    yield ""
    for outcome in run.outcomes:
        yield f"### {outcome.stack}"
        yield ""
        yield "| fault | times | longest lasted | back: median | back: longest | what shows one of them |"
        yield "|---|---:|---:|---:|---:|---|"
        for name in sorted({stroke.name for stroke in outcome.strokes}):
            strokes = [stroke for stroke in outcome.strokes if stroke.name == name]
            lasted = max(stroke.healed_at - stroke.struck_at for stroke in strokes)
            longest = max(stroke.recovered_seconds or 0.0 for stroke in strokes)
            shown = next((stroke.evidence for stroke in strokes if stroke.evidence), "nothing")
            cells = [name, str(len(strokes)), f"{lasted:.1f} s", f"{_recovery(strokes):.2f} s", f"{longest:.2f} s"]
            yield f"| {' | '.join([*cells, shown.replace('|', ' ')])} |"
        yield ""
        answers = ", ".join(f"{name} {count} times" for name, count in sorted(outcome.answers.items()))
        yield f"Submitters were answered: {answers}. Each insists with the same `Idempotency-Key` until its 202."
        yield ""


def _meaning() -> Iterator[str]:
    yield "## What the words mean"
    yield ""
    yield "| word | counts |"
    yield "|---|---|"
    yield "| lost | an event of the log that a viewer of its session or job was not handed by the end |"
    yield "| doubled | an event that the client handed out again |"
    yield "| reordered | an event handed out after a later one, or after a snapshot that contains it |"
    yield "| altered | an event whose type or JSON is not that of the log |"
    yield "| repeated | an event that came over the wire again; the client drops it by its number |"
    yield "| silence | time without an event while a job that the viewer follows is under way, outages included |"
    yield ""
    yield "Viewers use the project's own Python client, with pauses of at most two seconds between two tries; browsers"
    yield "are tested apart. The log is read with the database's driver alone, at the end. Connections also come to the"
    yield "end of their age (30 s here) all the time; that is no fault."
    yield ""


def _repeat(run: Run) -> Iterator[str]:
    machine = run.machine
    yield "## Repeat it"
    yield ""
    yield f"`{run.command}` strikes the same faults in the same order; when exactly depends on the"
    yield "machine. `make faults` draws a new seed and prints it."
    yield ""
    yield f"{run.date}; {machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}; load average"
    yield f"{machine.load} before the start. Gateways, database, Redis, proxies and viewers share these cores."
    yield ""


_DAMAGE = ("lost", "doubled", "reordered", "altered")


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for label, cells in rows:
        yield f"| {label} | {' | '.join(cells)} |"
    yield ""


def _jobs(outcome: Outcome) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(outcome.statuses.items()))
    return f"{outcome.jobs} ({statuses})"


def _recovery(strokes: Sequence[Stroke]) -> float:
    return median([stroke.recovered_seconds for stroke in strokes if stroke.recovered_seconds is not None] or [0.0])


def _slowest(outcome: Outcome) -> float:
    return max((order.seconds for order in outcome.orders), default=0.0)
