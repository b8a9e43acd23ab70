"""The picture of a run: six plots as one SVG. matplotlib is imported when it is drawn: only the bench extra has it."""

import io
from collections.abc import Sequence
from math import log, nan
from typing import Any

from loadtests.knee.report import Result, order_stages
from loadtests.knee.steps import Quantiles, Step, slowest
from loadtests.knee.tally import Clock

# Colours that colour-blind people tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8a94a3"
QUANTILES = (("p50", GREEN, "o"), ("p95", ORANGE, "s"), ("p99", RED, "^"))
KNEE = "#d98200"
# Of the axis: numbers of guests that are closer would be written over each other.
TICK_SHARE = 0.09


def draw(result: Result) -> str:
    """The SVG, the same for the same figures. Text stays text: it is read with the fonts of whoever looks."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "knee", "font.size": 10, "axes.spines.top": False}
    fonts = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial"]}
    with matplotlib.rc_context({**style, **fonts, "axes.spines.right": False}):
        figure = Figure(figsize=(14, 8.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.12)
        (jobs, first, received), (cores, by_stage, complete) = figure.subplots(2, 3)
        _plot_jobs(jobs, result)
        _plot_times(first, result, "Time to the first result", "from POST, ms", _first_results(result))
        _plot_times(received, result, "Decided to received, slowest stage", "ms", [slowest(s) for s in result.steps])
        _plot_cores(cores, result)
        shown = result.shown
        _plot_stages(by_stage, "Decided to received", shown, shown.received)
        _plot_stages(complete, "POST to stage complete", shown, shown.completed)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def choose_ticks(guests: Sequence[int], wanted: int) -> list[int]:
    """The numbers of guests that stand on the axis: `wanted`, and all that have room beside those chosen before."""
    room = TICK_SHARE * log(max(guests) / min(guests))
    chosen = [wanted]
    for number in guests:
        if number not in chosen and all(abs(log(number / one)) >= room for one in chosen):
            chosen.append(number)
    return sorted(chosen)


def _first_results(result: Result) -> list[Quantiles]:
    return [step.clocks[Clock.FIRST_RESULT] for step in result.steps]


def _plot_jobs(axes: Any, result: Result) -> None:
    guests = [step.guests for step in result.steps]
    first = result.steps[0]
    ideal = [first.jobs_per_s * number / first.guests for number in guests]
    axes.plot(
        guests, ideal, color=GREY, linestyle="--", linewidth=1, label=f"if each brought as much as with {first.guests}"
    )
    axes.plot(guests, [step.jobs_per_s for step in result.steps], color=BLUE, marker="o", label="measured")
    highest = max(step.jobs_per_s for step in result.steps)
    axes.set_ylim(0, max(highest, 1) * 1.35)
    _finish(axes, result, "Finished jobs", "jobs/s")
    axes.legend(loc="lower right", frameon=False)
    if result.knee is not None:
        at = result.step(result.knee.at)
        label = f"knee: {at.guests} guests,\n{at.jobs_per_s:.0f} jobs/s"
        side, away = ("left", 8) if at is first else ("right", -8)
        style = {"textcoords": "offset points", "ha": side, "color": KNEE, "weight": "bold"}
        axes.annotate(label, (at.guests, at.jobs_per_s), (away, 16), **style)


def _plot_times(axes: Any, result: Result, title: str, unit: str, times: list[Quantiles]) -> None:
    guests = [step.guests for step in result.steps]
    for name, colour, marker in QUANTILES:
        values = [getattr(one, name) or nan for one in times]  # 0: there was nothing to measure
        axes.plot(guests, values, color=colour, marker=marker, markersize=5, label=name)
    _finish(axes, result, title, unit)
    if any(one.p99 for one in times):
        axes.set_yscale("log")
        _say_numbers(axes.yaxis)
    axes.legend(loc="upper left", frameon=False)


def _plot_cores(axes: Any, result: Result) -> None:
    guests = [step.guests for step in result.steps]
    gateway = [step.gateway.process * 100 for step in result.steps]
    axes.plot(guests, gateway, color=BLUE, marker="o", label="gateway, of its core")
    client = [step.client.process * 100 for step in result.steps]
    axes.plot(guests, client, color=ORANGE, marker="s", label="guests (locust), of theirs")
    axes.set_ylim(0, 108)
    axes.axhline(100, color=GREY, linewidth=0.8)
    _finish(axes, result, "Cores in use, and the gateway's memory", "% of a core")
    memory = axes.twinx()
    memory.plot(guests, [step.rss_mb for step in result.steps], color=GREY, marker=".", linestyle=":", label="memory")
    memory.set_ylim(0, max(step.rss_mb for step in result.steps) * 1.6)
    memory.set_ylabel("MB", color=GREY)
    memory.spines["right"].set_visible(True)
    handles = [*axes.get_legend_handles_labels()[0], *memory.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.1), frameon=False)


def _plot_stages(axes: Any, title: str, step: Step, stages: dict[str, Quantiles]) -> None:
    names = [name for name in order_stages(stages) if stages[name].p99]
    rows = range(len(names))
    for row, name in zip(rows, names, strict=True):
        axes.plot([stages[name].p50, stages[name].p99], [row, row], color="#c8ced6", linewidth=2, zorder=1)
    for quantile, colour, marker in QUANTILES:
        values = [getattr(stages[name], quantile) or nan for name in names]
        axes.scatter(values, rows, color=colour, marker=marker, s=26, zorder=2, label=quantile)
    axes.set_yticks(rows, names, fontsize=9)
    axes.invert_yaxis()
    if names:
        axes.set_xscale("log")
        _say_numbers(axes.xaxis)
    axes.set_xlabel("ms")
    axes.set_title(f"{title}, {step.guests} guests", loc="left", weight="bold", fontsize=11)
    axes.grid(axis="x", color="#e8ebef", linewidth=0.8)
    axes.margins(x=0.12)
    axes.legend(loc="best", frameon=True, edgecolor="none", framealpha=0.9)


def _finish(axes: Any, result: Result, title: str, unit: str) -> None:
    guests = [step.guests for step in result.steps]
    axes.set_xscale("log", base=2)
    ticks = choose_ticks(guests, result.knee.at if result.knee is not None else guests[0])
    axes.set_xticks(ticks, [str(number) for number in ticks])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.set_xlabel("guests")
    axes.set_ylabel(unit)
    axes.set_title(title, loc="left", weight="bold", fontsize=11)
    axes.grid(color="#e8ebef", linewidth=0.8)
    if result.knee is not None:
        axes.axvline(result.knee.at, color=KNEE, linewidth=1.4)
        axes.axvspan(result.knee.at, guests[-1] * 1.05, color="#fff3d6", zorder=0)


def _say_numbers(axis: Any) -> None:
    """Plain numbers on a logarithmic axis, also where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
