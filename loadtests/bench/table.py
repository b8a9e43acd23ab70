"""The table of the benchmark in Markdown: a row for each goal, and under it every program's figures."""

from collections.abc import Sequence

from loadtests.bench.ahead import ahead_lines
from loadtests.bench.bars import Goal, Kind, Outcome, Verdict
from loadtests.bench.figures import OF_ITS_OWN_LOAD, SUMMARY, label, median_of, number
from loadtests.bench.prose import about, all_sections, notes_of
from loadtests.bench.record import Row
from loadtests.sheet import table

HEAD = (
    *("", "work", "figure", "Stagecast", "peer", "measured (lowest to highest)", "rounds", "goal", "reached"),
    "others",
)


def goals_table(rows: Sequence[Row]) -> list[str]:
    """Ours, the peer's, the ratio with its range, how many rounds these are of, the goal and whether it is reached."""
    cells = []
    for row in rows:
        outcome = row.outcome
        shown: set[str] = set()
        for place, verdict in enumerate(outcome.verdicts):
            name, title = (outcome.name, outcome.title) if place == 0 else ("", "")
            others = "" if verdict.goal.figure in shown else others_cell(outcome, verdict.goal)
            cells.append([name, title, *goal_cells(outcome, verdict), others])
            shown.add(verdict.goal.figure)
    return ["| " + " | ".join(line) + " |" for line in (HEAD, ["---"] * len(HEAD), *cells)]


def goal_cells(outcome: Outcome, verdict: Verdict) -> list[str]:
    """A goal's cells from the figure to whether it is reached."""
    goal = verdict.goal
    ours = outcome.programs[0] if outcome.programs else "stagecast"
    return [
        label(goal.figure),
        number(median_of(outcome, ours, goal.figure)),
        (value_cell(outcome, goal.peer, goal.figure) or goal.peer) if goal.peer else "",
        measured(verdict),
        str(verdict.rounds),
        limit(verdict),
        {True: "yes", False: "**no**", None: ""}[verdict.reached],
    ]


def others_cell(outcome: Outcome, goal: Goal) -> str:
    """Everybody else's figure, beside goals with a limit only."""
    names = [name for name in outcome.programs[1:] if name != goal.peer and goal.limit is not None]
    return ", ".join(cell for name in names if (cell := value_cell(outcome, name, goal.figure)))


def value_cell(outcome: Outcome, program: str, figure: str) -> str:
    """`pushpin 19.6 (at 80 events/s)`; empty when it has no such figure."""
    value = median_of(outcome, program, figure)
    if value is None:
        return ""
    special = program in outcome.loads and figure not in OF_ITS_OWN_LOAD
    return f"{program} {number(value)}" + (f" (at {outcome.loads[program]})" if special else "")


def programs_table(outcome: Outcome) -> list[str]:
    """Every program's medians."""
    names = [name for name in SUMMARY if any(name in run.figures for run in outcome.runs)]
    names += sorted({name for run in outcome.runs for name in run.figures} - set(SUMMARY))
    rows = []
    for program in outcome.programs:
        runs = sum(run.program == program for run in outcome.runs)
        if runs:
            shown = f"{program} (at {outcome.loads[program]})" if program in outcome.loads else program
            rows.append([shown, str(runs), *(number(median_of(outcome, program, name)) for name in names)])
    return table(["program", "runs", *map(label, names)], rows)


def block_lines(rows: Sequence[Row]) -> list[str]:
    """The goals, where the peer is ahead, and what has to be said about them."""
    return [*goals_table(rows), "", *ahead_lines(rows), *all_sections(rows)]


def to_markdown(rows: Sequence[Row]) -> str:
    """The whole report."""
    lines = [*block_lines(rows), ""]
    for row in rows:
        outcome = row.outcome
        lines += [f"### {outcome.name}: {outcome.title}", "", *programs_table(outcome), ""]
        lines += [f"- {line}" for line in notes_of(outcome)]
        lines += [f"- {name} could not take part: {reason}" for name, reason in outcome.absent.items()]
        took = f" This bar: {outcome.seconds:.0f} s." if outcome.seconds else ""
        lines += ["", about(row.circumstances) + took, ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def measured(verdict: Verdict) -> str:
    """`0.31x (0.29 to 0.34)`."""
    if verdict.measured is None:
        return "nothing"
    unit = "x" if verdict.goal.kind is Kind.RATIO else ""
    return f"{number(verdict.measured)}{unit} ({number(verdict.lowest)} to {number(verdict.highest)})"


def limit(verdict: Verdict) -> str:
    """`<= 0.35x`; empty without a goal."""
    goal = verdict.goal
    if goal.limit is None:
        return ""
    return f"{'>=' if goal.at_least else '<='} {goal.limit:g}{'x' if goal.kind is Kind.RATIO else ''}"
