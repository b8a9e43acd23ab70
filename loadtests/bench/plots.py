"""The plots of the benchmark, SVG. matplotlib is imported only here, and comes with the `bench` extra only."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.bench.bars import Verdict
from loadtests.bench.figures import MORE_IS_BETTER, label, median_of, number
from loadtests.bench.record import RESULTS, Row
from loadtests.bench.table import limit, measured

OURS, PEER, MISSED = "#1f6f8b", "#b9b4a7", "#c4513b"
# A file for each figure by which programs are compared.
PROGRAMS_PLOTS = {
    "cost": "cpu_us_per_event",
    "latency": "p99_ms",
    "memory": "kb_per_connection",
    "throughput": "results_per_s",
}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "stagecast",  # the same picture from the same figures
    "svg.fonttype": "none",
}


def draw_all(rows: Sequence[Row], folder: Path = RESULTS) -> None:
    """All plots that these bars have something for."""
    with mpl.rc_context(STYLE):
        save(goals_plot(rows), folder / "bench-goals.svg")
        for name, figure in PROGRAMS_PLOTS.items():
            chosen = [row for row in rows if compared(row, figure)]
            if chosen:
                save(programs_plot(chosen, figure), folder / f"bench-{name}.svg")


def save(figure: Figure, path: Path) -> None:
    """Without a date inside, so that only figures change the file."""
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def goals_plot(rows: Sequence[Row]) -> Figure:
    """How near each goal is: 1 is the goal itself, left of it is better."""
    verdicts = [
        (row, verdict)
        for row in rows
        for verdict in row.outcome.verdicts
        if verdict.measured and verdict.goal.limit is not None
    ]
    figure = Figure(figsize=(8, 0.6 + 0.32 * len(verdicts)))
    axes: Axes = figure.subplots()
    for place, (_row, verdict) in enumerate(verdicts):
        color = OURS if verdict.reached else MISSED
        shares = [share_of_goal(verdict, value) for value in (verdict.lowest, verdict.measured, verdict.highest)]
        axes.plot([shares[0], shares[2]], [place, place], color=color, linewidth=2)
        axes.plot(shares[1], place, "o", color=color)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(
        range(len(verdicts)),
        [f"{row.outcome.name}  {label(one.goal.figure)}: {measured(one)}, goal {limit(one)}" for row, one in verdicts],
    )
    axes.invert_yaxis()
    axes.set_xlabel("share of what the goal allows: left of 1 is reached. Dot: median, line: all rounds")
    return figure


def share_of_goal(verdict: Verdict, value: float | None) -> float:
    """What is measured as a share of the limit; turned round where more is better."""
    value, allowed = value or 0.0, verdict.goal.limit or 0.0
    return allowed / value if verdict.goal.at_least else value / allowed


def compared(row: Row, figure: str) -> bool:
    """Whether the bar is about the figure, and at least two programs have it."""
    asked = any(verdict.goal.figure == figure for verdict in row.outcome.verdicts)
    return asked and len(values_of(row, figure)) > 1


def values_of(row: Row, figure: str) -> dict[str, float]:
    """The medians of a figure by program, of those that have it."""
    medians = {name: median_of(row.outcome, name, figure) for name in row.outcome.programs}
    return {name: value for name, value in medians.items() if value is not None}


def programs_plot(rows: Sequence[Row], figure: str) -> Figure:
    """A figure of every program, bar by bar; shorter is better."""
    columns = [values_of(row, figure) for row in rows]
    heights = [0.6 + 0.22 * len(values) for values in columns]
    plot = Figure(figsize=(8, sum(heights)), layout="constrained")
    places = plot.subplots(len(rows), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, row, values in zip(places, rows, columns, strict=True):
        outcome = row.outcome
        colors = [OURS if name.startswith("stagecast") else PEER for name in values]
        names = [f"{name} (at {outcome.loads[name]})" if name in outcome.loads else name for name in values]
        drawn = axes.barh(names, list(values.values()), color=colors, height=0.7)
        axes.bar_label(drawn, [number(value) for value in values.values()], padding=3)
        axes.invert_yaxis()
        axes.set_title(f"{outcome.name}: {outcome.title}", loc="left", fontsize=9)
    better = "longer" if figure in MORE_IS_BETTER else "shorter"
    axes.set_xlabel(f"{label(figure)} ({better} is better; each bar has a scale of its own)")
    return plot
