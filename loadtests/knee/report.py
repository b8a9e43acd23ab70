"""What a run says: in words, as Markdown, and as one page that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from loadtests.knee.rules import (
    CLOSE,
    FELT,
    IMMEDIATE_MS,
    LEAST_GROWTH,
    LEAST_YIELD,
    MOST_WAIT_RATIO,
    RECEIPT,
    Knee,
    Limit,
)
from loadtests.knee.steps import MOST_OTHERS, Quantiles, Step, slowest
from loadtests.knee.tally import Clock, Count
from loadtests.sheet import Sheet, table
from loadtests.source import Source

_PAGE = Path(__file__).with_name("report.html")


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `name` is that of its files; `latency_ms` and `failure_rate` are the synthetic provider's; each step was
    measured for `seconds`.
    """

    name: str
    database: str
    bus: str
    latency_ms: float
    failure_rate: float
    pinned: bool
    seconds: float
    source: Source
    steps: Sequence[Step]
    knee: Knee | None

    @property
    def passed(self) -> bool:
        """Whether there was a step, and no visit of any step missed anything."""
        return bool(self.steps) and all(step.passed for step in self.steps)

    def step(self, guests: int) -> Step:
        """The step of so many guests."""
        return next(step for step in self.steps if step.guests == guests)

    @property
    def shown(self) -> Step:
        """The step whose stages are told: the knee's, else the last one."""
        return self.step(self.knee.at) if self.knee is not None else self.steps[-1]


def name_knee(result: Result) -> str:
    """Where the knee is and what gave out, in sentences."""
    if result.knee is None:
        last = result.steps[-1]
        return f"No knee up to {last.guests} guests: {last.jobs_per_s:.0f} jobs/s, and more guests still brought more."
    knee, at, full = result.knee, result.step(result.knee.at), result.step(result.knee.full_at)
    event, first = at.clocks[Clock.FIRST_EVENT], at.clocks[Clock.FIRST_RESULT]
    shares = (
        f"with {full.guests} guests the gateway used {full.gateway.process:.0%} of its core, the client "
        f"{full.client.process:.0%} of its own"
    )
    reasons = "; ".join(f"the rule of {breach.rule} is broken: {breach.words}" for breach in knee.breaches)
    gave_out = {
        Limit.GATEWAY: f"What gave out is the gateway's core: {shares}.",
        Limit.CLIENT: f"What gave out is the client, so that this is not the gateway's knee: {shares}.",
        Limit.OTHERS: f"Other programs had a part in it, so that this is not the gateway's knee: {shares}.",
        Limit.NEITHER: f"Neither core was full, so that guests waited for something else, such as a place among the "
        f"PROCESSING__CONCURRENCY stages that run at once: {shares}.",
    }[knee.limit]
    return (
        f"The knee is at {knee.at} guests: {at.jobs_per_s:.0f} finished jobs/s and {at.results_per_s:,.0f} results/s, "
        f"the first event {event.p50:.0f} ms after the POST (p95 {event.p95:.0f} ms), the first result {first.p50:.0f} "
        f"ms after it (p95 {first.p95:.0f} ms), the gateway at {at.gateway.process:.0%} of its core. Past it, with "
        f"{knee.past} guests, {reasons}. {gave_out}"
    )


def say_losses(result: Result) -> str:
    """How many visits were held against the log, and what was wrong with them."""
    kinds = ", ".join(f"{kind} {_broken(result, kind)}" for kind in ("lost", "doubled", "reordered", "foreign"))
    visits = sum(step.visits for step in result.steps)
    troubles = sum(step.trouble_count for step in result.steps)
    cut = sum(step.unjudged for step in result.steps)
    return f"{visits:,} visits held against the log: {kinds}; failed {troubles}, cut off {cut}."


def say_slow_end(step: Step) -> str:
    """What a slow reader had to wait for."""
    late = step.clocks[Clock.SLOW_END]
    if not late.count:
        return f"With {step.guests} guests no slow reader came to the end of a job in the window."
    return f"Slow readers, {step.guests} guests: the end of a job came {_milliseconds(late)} ms after its decision."


def say_setting(result: Result) -> str:
    """What ran, and with what."""
    return (
        f"{result.database}, bus {result.bus}; synthetic provider: {result.latency_ms:g} ms per item and stage, of "
        f"which {result.failure_rate:.0%} fail and are tried again; "
        f"{'gateway on one core, guests on another' if result.pinned else 'nothing pinned: one core'}. "
        "Four orders in five are menus of 3 to 25 dishes, the fifth a prompt; a guest thinks for 0.2 to 2 s before the "
        "next. A third of the guests lose connections and resume, a third read the snapshot in between, a quarter "
        "order again in their session, a tenth read slowly."
    )


def say_rules() -> str:
    """How the knee is defined."""
    felt = ", ".join([*FELT.values(), RECEIPT])
    return (
        f"A step is past the knee when it breaks one of two rules. Waiting: the p95 of a time that guests feel "
        f"({felt}) is above {MOST_WAIT_RATIO:g} times that of the first step and above {IMMEDIATE_MS:g} ms. "
        f"Yield: finished jobs grew less than {LEAST_YIELD:g} times as much as guests, since the last step that had "
        f"fewer by a factor of {LEAST_GROWTH:g} or more. The knee is the last step before those that all break a rule. "
        "Guests are doubled until two steps have done so; then the way from the knee to the first step past it is "
        f"halved until the two are within {CLOSE:.0%} of each other."
    )


def say_source(result: Result) -> str:
    """What was measured for how long."""
    return (
        f"Each step was measured for {result.seconds:g} s, after all guests had come. Made with {result.source.words}."
    )


def say_others(result: Result) -> str:
    """A warning when other programs were at work; empty when not."""
    most = max(step.gateway.others for step in result.steps)
    if not result.pinned or most <= MOST_OTHERS:
        return ""
    return f"Other programs took up to {most:.0%} of the gateway's core during a step: these figures are too low."


def tell_steps(result: Result) -> tuple[list[str], list[list[str]]]:
    """The table of steps: its head and its rows."""
    head = ["guests", "jobs/s", "results/s", "first event, ms", "first result, ms", "POST, ms", "snapshot, ms"]
    head += ["resume, ms", "decided to received, ms", "drops, reloads", "slow visits", "gateway", "client", "memory"]
    rows = []
    for step in result.steps:
        clocks = [Clock.FIRST_EVENT, Clock.FIRST_RESULT, Clock.POST, Clock.SNAPSHOT, Clock.RESUMED]
        rows.append(
            [
                f"{step.guests}",
                f"{step.jobs_per_s:.1f}",
                f"{step.results_per_s:,.0f}",
                *(_milliseconds(step.clocks[clock]) for clock in clocks),
                _milliseconds(slowest(step)),
                f"{step.counts.get(Count.DROPS, 0)}, {step.counts.get(Count.RELOADS, 0)}",
                f"{step.counts.get(Count.SLOW_VISITS, 0)}",
                f"{step.gateway.process:.0%}",
                f"{step.client.process:.0%}",
                f"{step.rss_mb:.0f} MB",
            ]
        )
    return head, rows


def tell_stages(step: Step) -> tuple[list[str], list[list[str]]]:
    """The table of stages of one step."""
    head = ["stage", "results", "decided to received, ms", "POST to complete, ms"]
    rows = []
    for stage in order_stages(step.received):
        received, completed = step.received[stage], step.completed.get(stage, Quantiles(0, 0, 0, 0))
        rows.append([stage, f"{received.count:,}", _milliseconds(received), _milliseconds(completed)])
    return head, rows


def order_stages(stages: dict[str, Quantiles]) -> list[str]:
    """Menus' stages first; each kind by name."""
    return sorted(stages, key=lambda stage: (":" in stage, stage))


def to_lines(result: Result) -> list[str]:
    """The Markdown."""
    shown = result.shown
    lines = [f"**{name_knee(result)}**", "", say_losses(result), "", *table(*tell_steps(result))]
    lines += [
        "",
        'Times are p50 / p95 / p99; "decided to received" is that of the slowest stage.',
        "",
        say_slow_end(shown),
        "",
    ]
    lines += [f"By stage, with {shown.guests} guests:", "", *table(*tell_stages(shown)), "", say_rules()]
    lines += ["", say_setting(result), "", say_source(result)]
    lines += ["", say_others(result)] if say_others(result) else []
    troubles = [f"- {step.guests} guests: {text}" for step in result.steps for text in step.troubles]
    return [*lines, *(["", *troubles] if troubles else [])]


def to_html(result: Result, sheet: Sheet, picture: str) -> str:
    """The page; `picture` is an SVG."""
    shown = result.shown
    first = shown.clocks[Clock.FIRST_RESULT]
    lost = sum(_broken(result, kind) for kind in ("lost", "doubled", "reordered", "foreign"))
    tiles = [
        (str(result.knee.at) if result.knee else "none", "guests at the knee"),
        (f"{shown.jobs_per_s:.0f}", "finished jobs/s"),
        (f"{shown.results_per_s:,.0f}", "results/s"),
        (f"{first.p50:.0f} / {first.p95:.0f} ms", "first result, p50 / p95"),
        (str(lost), "events lost, doubled, reordered or foreign"),
    ]
    machine = sheet.machine
    return Template(_PAGE.read_text()).substitute(
        knee=escape(name_knee(result)),
        tiles="".join(f"<li><b>{escape(value)}</b>{escape(label)}</li>" for value, label in tiles),
        verdict="passed" if result.passed else "failed",
        losses=escape(say_losses(result)),
        troubles="".join(
            f"<li>{step.guests} guests: {escape(text)}</li>" for step in result.steps for text in step.troubles
        ),
        others=escape(say_others(result)),
        picture=picture[picture.index("<svg") :],
        steps=_to_table(*tell_steps(result), marked=str(result.knee.at) if result.knee else None),
        slow_end=escape(say_slow_end(shown)),
        shown=shown.guests,
        stages=_to_table(*tell_stages(shown)),
        rules=escape(say_rules()),
        setting=escape(say_setting(result)),
        source=escape(say_source(result)),
        machine=escape(
            f"{sheet.date}; {machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}; load "
            f"average {machine.load} before the start."
        ),
        command=escape(sheet.command),
    )


def _broken(result: Result, kind: str) -> int:
    return sum(step.broken.get(kind, 0) for step in result.steps)


def _milliseconds(times: Quantiles) -> str:
    if not times.count:
        return "-"
    return " / ".join(f"{value:.1f}" if value < 10 else f"{value:,.0f}" for value in (times.p50, times.p95, times.p99))


def _to_table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: str | None = None) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = ""
    for row in rows:
        marks = " class=knee" if row[0] == marked else ""
        body += f"<tr{marks}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    return f"<div class=wide><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
