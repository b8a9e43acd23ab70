"""The benchmark: every bar against its peers, in turn, on one machine. `python -m loadtests.bench [P1 P2 ...]`

Writes loadtests/results/bench.json, bench.md, bench-*.svg and the README's table. A run of some bars replaces only
their rows. With `--only` nothing is written, nor for a bar that had fewer rounds than it needs or no peer. Exit code 1
when a run failed, a peer of a goal was absent or rounds were missing; a goal that is missed only says so.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from loadtests.bench import delivery, whole
from loadtests.bench.bars import Bar, Outcome
from loadtests.bench.machine import on_core, pick_cores
from loadtests.bench.pairs import Say, judge, lacks, say, take_turns
from loadtests.bench.readme import update_readme
from loadtests.bench.record import RESULTS, Circumstances, Row, look_around, read_record, write_record
from loadtests.bench.table import to_markdown
from loadtests.bench.versions import versions


def all_bars() -> list[Bar]:
    """In the order of their numbers."""
    return sorted([*delivery.bars(), *whole.bars()], key=lambda bar: (len(stem(bar)), bar.name))


def stem(bar: Bar) -> str:
    """The issue's name of a bar: `P11` of `P11d`, which is its delivery half, and of `P11e`, the end-to-end half."""
    return bar.name.rstrip("de")


def chosen_bars(bars: Sequence[Bar], names: Sequence[str], only: Sequence[str]) -> list[Bar]:
    """Those named (P11 names P11d and P11e), all when none is; with `only` they have no other program, and no goal."""
    if unknown := set(names) - {bar.name for bar in bars} - {stem(bar) for bar in bars}:
        raise SystemExit(f"no such bar: {', '.join(sorted(unknown))}; there are {', '.join(bar.name for bar in bars)}")
    chosen = [bar for bar in bars if not names or bar.name in names or stem(bar) in names]
    if not only:
        return chosen
    return [
        replace(
            bar, programs=[one for one in (*bar.programs, *bar.others) if one in only], others=(), attempts=(), goals=()
        )
        for bar in chosen
    ]


async def measure(bars: Sequence[Bar], pairs: int | None) -> list[Outcome]:
    """One bar after the other."""
    return [await take_turns(bar, pairs) for bar in bars]


def main() -> int:
    """Measure and write the report; 1 when a run failed or something was missing."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bars", nargs="*", help="P1, P2 ...; none: all")
    parser.add_argument("--pairs", type=int, help="rounds, instead of the bars' own number")
    parser.add_argument("--only", action="append", default=[], help="only this program: no verdicts, nothing written")
    options = parser.parse_args()
    bars = all_bars()
    chosen = chosen_bars(bars, options.bars, options.only)
    command = " ".join(["python -m loadtests.bench", *sys.argv[1:]])
    circumstances = look_around(command, versions(delivery.HUBS.values()))
    began = time.monotonic()
    with on_core(pick_cores().others):
        outcomes = uvloop.run(measure(chosen, options.pairs))
    circumstances = replace(circumstances, seconds=time.monotonic() - began)
    say(budget(outcomes))
    failed = any(outcome.failures for outcome in outcomes)
    if options.only:
        return int(failed)
    if whole := whole_outcomes(chosen, outcomes, options.pairs):
        write_report(whole, bars, circumstances)
    return int(failed or len(whole) < len(outcomes))


def whole_outcomes(
    bars: Sequence[Bar], outcomes: Sequence[Outcome], pairs: int | None, tell: Say = say
) -> list[Outcome]:
    """Those that may stand in the report: every goal has its rounds, or a failed run is the reason that it has not."""
    whole = []
    for bar, outcome in zip(bars, outcomes, strict=True):
        missing = lacks(outcome, bar.pairs)
        absent = [goal.peer for goal in bar.goals if goal.limit is not None and goal.peer in outcome.absent]
        too_short = pairs is not None and pairs < bar.pairs
        if too_short or absent or (missing and not outcome.failures):
            without = [f"{name} is absent" for name in dict.fromkeys(absent)]
            reason = "; ".join([*missing, *without]) or f"{pairs} of {bar.pairs} rounds"
            tell(f"{bar.name}: not written, something is missing: {reason}")
        else:
            whole.append(outcome)
    return whole


def budget(outcomes: Sequence[Outcome]) -> str:
    """How long each bar took: `P1 98 s, P2 61 s; together 2.7 minutes`."""
    parts = ", ".join(f"{outcome.name} {outcome.seconds:.0f} s" for outcome in outcomes)
    return f"{parts}; together {sum(outcome.seconds for outcome in outcomes) / 60:.1f} minutes"


def judge_anew(rows: Sequence[Row], bars: Sequence[Bar]) -> None:
    """Hold what was measured against the goals of today: an old row may have been judged by other rules."""
    for row, bar in ((row, bar) for row in rows for bar in bars if bar.name == row.outcome.name):
        row.outcome.verdicts = [judge(goal, bar.programs[0], row.outcome, bar.pairs) for goal in bar.goals]


def write_report(outcomes: Sequence[Outcome], bars: Sequence[Bar], circumstances: Circumstances) -> None:
    """JSON, Markdown, README and plots of all bars that were ever measured, these ones anew."""
    record = read_record()
    record.take(outcomes, circumstances)
    rows = record.in_order([bar.name for bar in bars])
    judge_anew(rows, bars)
    write_record(record)
    (RESULTS / "bench.md").write_text(to_markdown(rows))
    update_readme(rows)
    try:
        from loadtests.bench.plots import draw_all
    except ImportError:
        say("no plots: matplotlib is not installed; `make bench` installs it")
    else:
        draw_all(rows)


if __name__ == "__main__":
    sys.exit(main())
