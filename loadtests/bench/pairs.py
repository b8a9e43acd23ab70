"""Programs that take turns: A B, B A, A B ... so that what the machine does meanwhile strikes both alike."""

import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

from loadtests.bench.bars import Bar, Goal, Kind, Outcome, Run, Verdict
from loadtests.bench.peers.base import Absent

Say = Callable[[str], None]


def say(line: str) -> None:
    """Tell whoever waits."""
    print(line, file=sys.stderr, flush=True)


async def take_turns(bar: Bar, pairs: int | None = None, tell: Say = say) -> Outcome:
    """All runs of a bar, and its verdicts. `pairs` replaces the bar's own number.

    A program that is not on this machine is named with the reason. A run that fails is kept with its reason and counts
    as a miss of the whole bar, whatever the other runs say. Fewer rounds than the bar's own reach nothing.
    """
    began = time.monotonic()
    outcome = Outcome(bar.name, bar.title, [*bar.programs, *bar.others], notes=list(bar.notes), loads=dict(bar.loads))
    for pair in range(pairs or bar.pairs):
        for program in in_turn(bar.programs, pair):
            await _run_once(bar, program, pair, outcome, tell)
        if pair < bar.other_pairs:
            for program in bar.others:
                await _run_once(bar, program, pair, outcome, tell)
    for program in bar.attempts:
        await _attempt(bar, program, outcome, tell)
    outcome.seconds = time.monotonic() - began
    outcome.verdicts = [judge(goal, bar.programs[0], outcome, bar.pairs) for goal in bar.goals]
    for verdict in outcome.verdicts:
        tell(f"{bar.name}: {verdict_line(verdict)}")
    return outcome


def in_turn(programs: Sequence[str], pair: int) -> Sequence[str]:
    """The order of a round: who began the last one ends this one."""
    return programs if pair % 2 == 0 else programs[::-1]


async def _run_once(bar: Bar, program: str, pair: int, outcome: Outcome, tell: Say) -> None:
    if program in outcome.absent:
        return
    began = time.monotonic()
    try:
        run = await bar.measure(program, pair)
    except Absent as absent:
        outcome.absent[program] = str(absent)
        tell(f"{bar.name}: {program} is absent: {absent}")
    except Exception as error:
        if program in bar.may_fail:
            outcome.attempts[program] = reason_of(error)
            tell(f"{bar.name}: {program} could not do it: {reason_of(error)}")
            return
        reason = f"{program}, round {pair + 1}: {type(error).__name__}: {error}"
        outcome.failures.append(reason)
        tell(f"{bar.name}: FAILED: {reason}\n{traceback.format_exc()}")
    else:
        outcome.runs.append(replace(run, seconds=time.monotonic() - began))
        tell(f"{bar.name}: round {pair + 1}, {program}: {figures_line(run)} [{outcome.runs[-1].seconds:.1f} s]")


async def _attempt(bar: Bar, program: str, outcome: Outcome, tell: Say) -> None:
    """A run that nobody counts: whether the work is too much, and how that shows."""
    try:
        run = await bar.measure(program, 0)
    except Absent:
        return
    except Exception as error:
        outcome.attempts[program] = reason_of(error)
    else:
        outcome.attempts[program] = f"held: {figures_line(run)}"
    tell(f"{bar.name}: tried {program}: {outcome.attempts[program]}")


def reason_of(error: Exception) -> str:
    """What happened, and what the program itself logged about it where its runner knows (one line)."""
    said = [note for note in getattr(error, "__notes__", ()) if "\n" not in note]
    return "; ".join([str(error) or type(error).__name__, *said])


def judge(goal: Goal, ours: str, outcome: Outcome, needed: int) -> Verdict:
    """What a goal measures over all rounds. With fewer values than `needed`, or any failure, it is not reached."""
    values = measured_values(goal, ours, outcome.runs)
    if not values:
        return Verdict(goal, None, None, None, None if goal.limit is None else False)
    median = statistics.median(values)
    return Verdict(
        goal, median, min(values), max(values), _is_reached(goal, median, len(values), needed, outcome), len(values)
    )


def _is_reached(goal: Goal, median: float, rounds: int, needed: int, outcome: Outcome) -> bool | None:
    if goal.limit is None:
        return None
    within = median >= goal.limit if goal.at_least else median <= goal.limit
    return within and rounds >= needed and not outcome.failures


def lacks(outcome: Outcome, needed: int) -> list[str]:
    """Why an outcome is not what its bar asks for: goals with too few values, for want of rounds or of a peer."""
    return [
        f"{verdict.goal.figure}: {verdict.rounds} of {needed} rounds" + _absent_peer(verdict.goal, outcome)
        for verdict in outcome.verdicts
        if verdict.goal.limit is not None and verdict.rounds < needed
    ]


def _absent_peer(goal: Goal, outcome: Outcome) -> str:
    return f" ({goal.peer}: {outcome.absent[goal.peer]})" if goal.peer in outcome.absent else ""


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


def figures_line(run: Run) -> str:
    """For example: `p50_ms 2.1, p99_ms 4.4`."""
    return ", ".join(f"{name} {value:.4g}" for name, value in run.figures.items())


def verdict_line(verdict: Verdict) -> str:
    """For example: `cpu_us_per_event 0.31x nchan (0.29 to 0.34), goal <= 0.35x: reached`."""
    goal = verdict.goal
    unit, of = ("x", f" of {goal.peer}") if goal.kind is Kind.RATIO else ("", "")
    measured, lowest, highest = (
        "nothing" if value is None else f"{value:.3g}" for value in (verdict.measured, verdict.lowest, verdict.highest)
    )
    said = f"{goal.figure} {measured}{unit}{of} ({lowest} to {highest}, {verdict.rounds} rounds)"
    if goal.limit is None:
        return f"{said}, no goal"
    sign = ">=" if goal.at_least else "<="
    return f"{said}, goal {sign} {goal.limit:g}{unit}: {'reached' if verdict.reached else 'MISSED'}"
