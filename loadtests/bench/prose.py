"""The sentences of the report: who was compared how, who was absent, under which circumstances. All from the rows."""

from collections.abc import Callable, Sequence

from loadtests.bench.bars import Kind, Outcome
from loadtests.bench.record import Circumstances, Row
from loadtests.bench.roster import PROGRAMS

TURNS = "the programs of a ratio took turns, A B, B A, A B and so on"
LIMIT = "Stagecast against a fixed limit; others beside it, in as many rounds as their tables say"
ALONE = "Stagecast alone, against a fixed limit"


def how_compared(rows: Sequence[Row]) -> list[str]:
    """Which bars are pairs of programs, and which are not."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(_way(row.outcome), []).append(row.outcome.name)
    return [f"- {', '.join(names[way])}: {way}." for way in (TURNS, LIMIT, ALONE) if way in names]


def _way(outcome: Outcome) -> str:
    if any(verdict.goal.kind is Kind.RATIO and verdict.goal.limit is not None for verdict in outcome.verdicts):
        return TURNS
    return LIMIT if len({run.program for run in outcome.runs}) > 1 else ALONE


def who_ran(rows: Sequence[Row]) -> list[str]:
    """A line for each program other than ours that ran."""
    ran = {run.program for row in rows for run in row.outcome.runs}
    return [f"- {name}: {about}." for name, about in PROGRAMS.items() if name in ran]


def who_was_absent(rows: Sequence[Row]) -> list[str]:
    """A line for each program that could not take part, and why."""
    absent = {name: reason for row in rows for name, reason in row.outcome.absent.items()}
    return [f"- {name} is absent: {reason}." for name, reason in absent.items()]


def what_to_know(rows: Sequence[Row]) -> list[str]:
    """The bars' notes, failures and attempts, each once."""
    lines = [line for row in rows for line in notes_of(row.outcome)]
    return [f"- {line}" for line in dict.fromkeys(lines)]


def notes_of(outcome: Outcome) -> list[str]:
    """What a reader of one bar has to know."""
    tried = [f"{name}, tried in {outcome.name}: {became}" for name, became in outcome.attempts.items()]
    return [*(f"Failed in {outcome.name}: {reason}" for reason in outcome.failures), *outcome.notes, *tried]


def circumstances_lines(rows: Sequence[Row]) -> list[str]:
    """When, where, by which call and from which source: once, or bar by bar when they are not all of one call."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(about(row.circumstances), []).append(row.outcome.name)
    if len(parts) < 2:
        return list(parts)
    sources = len({source(row.circumstances) for row in rows})
    lines = [f"**These rows are of {len(parts)} calls and of {counted(sources, 'state')} of the source**:"]
    return [*lines, "", *(f"- {', '.join(names)}: {text}" for text, names in parts.items())]


def about(circumstances: Circumstances) -> str:
    """When, where, from which source, for how long, and by which command."""
    machine = circumstances.machine
    lasted = f" It took {circumstances.seconds / 60:.1f} minutes." if circumstances.seconds else ""
    return (
        f"{circumstances.date}; {source(circumstances)}; {machine.cpu}, {machine.cores} cores, {machine.system}, "
        f"Python {machine.python}; load average {machine.load} before the start. Command: "
        f"`{circumstances.command}`.{lasted}"
    )


def source(circumstances: Circumstances) -> str:
    """The commit, and whether the tree was just that."""
    if not circumstances.commit:
        return "commit not known"
    changed = f" and {counted(circumstances.changed, 'changed file')}" if circumstances.changed else ""
    return f"commit {circumstances.commit}{changed}"


def counted(number: int, noun: str) -> str:
    """`1 commit`, `2 commits`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def versions_line(circumstances: Circumstances) -> str:
    """What was compared."""
    return "Versions: " + "; ".join(dict.fromkeys(circumstances.versions.values())) + "."


def all_sections(rows: Sequence[Row]) -> list[str]:
    """The sentences under the table, with a blank line before each group."""
    makers: tuple[Callable[[Sequence[Row]], list[str]], ...] = (how_compared, who_ran, who_was_absent, what_to_know)
    groups = [made for maker in makers if (made := maker(rows))]
    return [line for group in (*groups, circumstances_lines(rows)) for line in ("", *group)]
