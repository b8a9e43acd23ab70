"""The benchmark: every bar against its peers, in turn, on one machine. `python -m loadtests.bench [P1 P2 ...]`

Writes loadtests/results/bench.json, bench.md, bench-*.svg and the README's table. A run of some bars replaces only
their rows. With `--only` nothing is written.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from loadtests.bench import delivery, whole
from loadtests.bench.bars import Bar, Outcome
from loadtests.bench.machine import on_core, pick_cores
from loadtests.bench.pairs import say, take_turns
from loadtests.bench.readme import update_readme
from loadtests.bench.record import RESULTS, Circumstances, look_around, read_record, write_record
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
        replace(bar, programs=[one for one in (*bar.programs, *bar.others) if one in only], others=(), goals=())
        for bar in chosen
    ]


async def measure(bars: Sequence[Bar], pairs: int | None) -> list[Outcome]:
    """One bar after the other."""
    return [await take_turns(bar, pairs) for bar in bars]


def main() -> int:
    """Measure and write the report; 1 when a run failed."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bars", nargs="*", help="P1, P2 ...; none: all")
    parser.add_argument("--pairs", type=int, help="rounds, instead of the bars' own number")
    parser.add_argument("--only", action="append", default=[], help="only this program: no verdicts, nothing written")
    options = parser.parse_args()
    bars = all_bars()
    chosen = chosen_bars(bars, options.bars, options.only)
    command = " ".join(["python -m loadtests.bench", *sys.argv[1:]])
    circumstances = look_around(command, versions(delivery.HUBS.values()))
    with on_core(pick_cores().others):
        outcomes = uvloop.run(measure(chosen, options.pairs))
    if not options.only:
        write_report(outcomes, [bar.name for bar in bars], circumstances)
    return 1 if any(outcome.failures for outcome in outcomes) else 0


def write_report(outcomes: Sequence[Outcome], names: Sequence[str], circumstances: Circumstances) -> None:
    """JSON, Markdown, README and plots of all bars that were ever measured, these ones anew."""
    record = read_record()
    record.take(outcomes, circumstances)
    write_record(record)
    rows = record.in_order(names)
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
