"""The knee in the README, between two marks."""

import textwrap

from loadtests.knee.report import Result
from loadtests.knee.tally import Clock
from loadtests.readme import with_block

WIDTH = 120


def with_knee(text: str, result: Result, date: str) -> str:
    """The text with what is between the marks made anew; unchanged when it has no marks."""
    return with_block(text, "knee", _wrap(_say(result, date)))


def _say(result: Result, date: str) -> str:
    shown = result.shown
    first = shown.clocks[Clock.FIRST_RESULT]
    served = (
        f"One core serves **{shown.guests} realistic guests** before more of them have to wait"
        if result.knee is not None
        else f"One core serves {shown.guests} realistic guests, the most that were tried"
    )
    return (
        f"{served}: {shown.jobs_per_s:.0f} finished jobs/s with {shown.results_per_s:,.0f} results/s, the first result "
        f"{first.p50:.0f} ms after the POST (p95 {first.p95:.0f} ms). The [report](loadtests/results/{result.name}.md) "
        f"names the rule that says so (`make knee`; {date}, {result.seconds:g} s a step, {result.source.words})."
    )


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
