"""Programs that take turns: A B, B A, A B ... so that what the machine does meanwhile strikes both alike."""

import statistics
import sys
import traceback
from collections.abc import Callable, Sequence

from loadtests.bench.bars import Bar, Goal, Kind, Outcome, Run, Verdict
from loadtests.bench.peers.base import Absent

Say = Callable[[str], None]


def say(line: str) -> None:
    """Tell whoever waits."""
    print(line, file=sys.stderr, flush=True)


async def take_turns(bar: Bar, pairs: int | None = None, tell: Say = say) -> Outcome:
    """All runs of a bar, and its verdicts. `pairs` replaces the bar's own number.

    A program that is not on this machine is named with the reason. A run that fails is kept with its reason and counts
    as a miss of the whole bar, whatever the other runs say.
    """
    outcome = Outcome(bar.name, bar.title, [*bar.programs, *bar.others], notes=list(bar.notes))
    rounds = pairs or bar.pairs
    for pair in range(rounds):
        for program in in_turn(bar.programs, pair):
            await _run_once(bar, program, pair, outcome, tell)
        if pair < bar.other_pairs:
            for program in bar.others:
                await _run_once(bar, program, pair, outcome, tell)
    outcome.verdicts = [judge(goal, bar.programs[0], outcome) for goal in bar.goals]
    for verdict in outcome.verdicts:
        tell(f"{bar.name}: {verdict_line(verdict)}")
    return outcome


def in_turn(programs: Sequence[str], pair: int) -> Sequence[str]:
    """The order of a round: who began the last one ends this one."""
    return programs if pair % 2 == 0 else programs[::-1]


async def _run_once(bar: Bar, program: str, pair: int, outcome: Outcome, tell: Say) -> None:
    if program in outcome.absent:
        return
    try:
        run = await bar.measure(program, pair)
    except Absent as absent:
        outcome.absent[program] = str(absent)
        tell(f"{bar.name}: {program} is absent: {absent}")
    except Exception as error:
        reason = f"{program}, round {pair + 1}: {type(error).__name__}: {error}"
        outcome.failures.append(reason)
        tell(f"{bar.name}: FAILED: {reason}\n{traceback.format_exc()}")
    else:
        outcome.runs.append(run)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
        tell(f"{bar.name}: round {pair + 1}, {program}: {figures}")


def judge(goal: Goal, ours: str, outcome: Outcome) -> Verdict:
    """What a goal measures over all pairs. Without any pair it is not reached."""
    values = measured_values(goal, ours, outcome.runs)
    if not values:
        return Verdict(goal, None, None, None, False)
    median = statistics.median(values)
    within = median >= goal.limit if goal.at_least else median <= goal.limit
    return Verdict(goal, median, min(values), max(values), within and not outcome.failures)


def measured_values(goal: Goal, ours: str, runs: Sequence[Run]) -> list[float]:
    """Our values, or their ratios to the peer's of the same pair; pairs that are not whole are left out."""
    own = figure_by_pair(goal.figure, ours, runs)
    if goal.kind is Kind.VALUE:
        return list(own.values())
    theirs = figure_by_pair(goal.figure, goal.peer, runs)
    return [value / theirs[pair] for pair, value in own.items() if theirs.get(pair)]


def figure_by_pair(figure: str, program: str, runs: Sequence[Run]) -> dict[int, float]:
    """A figure of one program, by the number of the round."""
    return {run.pair: run.figures[figure] for run in runs if run.program == program and figure in run.figures}


def verdict_line(verdict: Verdict) -> str:
    """For example: `cpu_us_per_event 0.31x nchan (0.29 to 0.34), goal <= 0.35x: reached`."""
    goal = verdict.goal
    unit, of = ("x", f" of {goal.peer}") if goal.kind is Kind.RATIO else ("", "")
    sign = ">=" if goal.at_least else "<="
    measured, lowest, highest = (
        "nothing" if value is None else f"{value:.3g}" for value in (verdict.measured, verdict.lowest, verdict.highest)
    )
    return (
        f"{goal.figure} {measured}{unit}{of} ({lowest} to {highest}), goal {sign} {goal.limit:g}{unit}: "
        f"{'reached' if verdict.reached else 'MISSED'}"
    )
