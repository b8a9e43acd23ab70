"""The table of the benchmark in Markdown: a row for each goal, and under it every program's figures."""

import statistics
from collections.abc import Sequence

from loadtests.bench.bars import Kind, Outcome, Verdict
from loadtests.bench.record import Circumstances, Row
from loadtests.sheet import table

LABELS = {
    "cpu_us_per_event": "CPU per event, µs",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "kb_per_connection": "memory per connection, KB",
    "delivered_per_s": "delivered/s",
    "results_per_s": "results/s",
    "seconds_to_complete": "until all are complete, s",
    "log_reads_per_session": "log reads per session",
    "hub_cores": "cores, hub",
    "helpers_cores": "cores, Redis or origin",
    "client_cores": "cores, client",
}
SUMMARY = (
    "cpu_us_per_event",
    "p50_ms",
    "p99_ms",
    "delivered_per_s",
    "hub_cores",
    "helpers_cores",
    "client_cores",
    "kb_per_connection",
)


def goals_table(rows: Sequence[Row]) -> list[str]:
    """Ours, the peer's, the others', the ratio with its range, the goal, and whether it is reached."""
    head = ["", "work", "figure", "Stagecast", "peer", "measured (lowest to highest)", "goal", "reached", "others"]
    cells = []
    for row in rows:
        outcome = row.outcome
        for place, verdict in enumerate(outcome.verdicts):
            name, title = (outcome.name, outcome.title) if place == 0 else ("", "")
            cells.append([name, title, *goal_cells(outcome, verdict)])
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *cells)]


def goal_cells(outcome: Outcome, verdict: Verdict) -> list[str]:
    """A goal's cells from the figure on."""
    goal = verdict.goal
    ours = outcome.programs[0] if outcome.programs else "stagecast"
    shown = [name for name in outcome.programs[1:] if name != goal.peer]
    others = [
        f"{name} {number(value)}" for name in shown if (value := median_of(outcome, name, goal.figure)) is not None
    ]
    peer = median_of(outcome, goal.peer, goal.figure) if goal.peer else None
    return [
        label(goal.figure),
        number(median_of(outcome, ours, goal.figure)),
        f"{goal.peer} {number(peer)}" if goal.peer else "",
        measured(verdict),
        limit(verdict),
        "yes" if verdict.reached else "**no**",
        ", ".join(others),
    ]


def programs_table(outcome: Outcome) -> list[str]:
    """Every program's medians."""
    names = [name for name in SUMMARY if any(name in run.figures for run in outcome.runs)]
    more = sorted({name for run in outcome.runs for name in run.figures} - set(SUMMARY) - QUIET)
    names += more
    rows = []
    for program in outcome.programs:
        runs = sum(run.program == program for run in outcome.runs)
        if runs:
            rows.append([program, str(runs), *(number(median_of(outcome, program, name)) for name in names)])
    return table(["program", "runs", *map(label, names)], rows)


# In the JSON only.
QUIET = frozenset({"events_per_read", "publisher_cores", "publisher_late_ms", "connects_per_s"})


def median_of(outcome: Outcome, program: str, figure: str) -> float | None:
    """Over all runs of a program; None when it has no such figure."""
    values = [run.figures[figure] for run in outcome.runs if run.program == program and figure in run.figures]
    return statistics.median(values) if values else None


def to_markdown(rows: Sequence[Row]) -> str:
    """The whole report."""
    lines = [*goals_table(rows), ""]
    for row in rows:
        outcome = row.outcome
        lines += [f"### {outcome.name}: {outcome.title}", "", *programs_table(outcome), ""]
        lines += [f"- Failed: {reason}" for reason in outcome.failures]
        lines += [f"- {name} could not take part: {reason}" for name, reason in outcome.absent.items()]
        lines += [f"- {note}" for note in outcome.notes]
        lines += ["", about(row.circumstances), ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def about(circumstances: Circumstances) -> str:
    """When, where, and by which command."""
    machine = circumstances.machine
    return (
        f"{circumstances.date}; {machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}; load "
        f"average {machine.load} before the start. Command: `{circumstances.command}`."
    )


def versions_line(circumstances: Circumstances) -> str:
    """What was compared."""
    return "Versions: " + "; ".join(dict.fromkeys(circumstances.versions.values())) + "."


def label(figure: str) -> str:
    """A figure's name for people."""
    return LABELS.get(figure, figure.replace("_", " "))


def number(value: float | None) -> str:
    """Three digits that count; thousands with a comma."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured(verdict: Verdict) -> str:
    """`0.31x (0.29 to 0.34)`."""
    if verdict.measured is None:
        return "nothing"
    unit = "x" if verdict.goal.kind is Kind.RATIO else ""
    return f"{number(verdict.measured)}{unit} ({number(verdict.lowest)} to {number(verdict.highest)})"


def limit(verdict: Verdict) -> str:
    """`<= 0.35x`."""
    goal = verdict.goal
    return f"{'>=' if goal.at_least else '<='} {goal.limit:g}{'x' if goal.kind is Kind.RATIO else ''}"
