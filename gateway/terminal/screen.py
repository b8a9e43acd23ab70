"""A job's progress on a terminal: eight live bars, or, where the output is no terminal, a line for each step."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.client.events import Event, Link, Snapshot
from gateway.client.progress import ENDINGS, JobProgress, StageProgress
from gateway.terminal.text import plain, seconds

FRAMES_PER_SECOND = 10
BAR_WIDTH = 30

_STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "retry_wait": "yellow", "running": "cyan"}


class Screen(Protocol):
    """Shows what happens to one job."""

    def show(self, item: Event | Snapshot, stage: StageProgress | None) -> None:
        """An event was applied to the progress; `stage` is the one that it was about."""

    def link(self, link: Link) -> None:
        """The connection came up or went down."""


@contextmanager
def open_screen(console: Console, job: JobProgress) -> Iterator[Screen]:
    """Bars on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console, job)
        return
    bars = Bars(job)
    with Live(console=console, get_renderable=bars.render, refresh_per_second=FRAMES_PER_SECOND):
        yield bars


class Bars:
    """One bar for each stage, and the state of the connection below."""

    def __init__(self, job: JobProgress) -> None:
        self._job = job
        self._link = Link("live")
        self._cut_at = datetime.now(UTC)

    def show(self, item: Event | Snapshot, stage: StageProgress | None) -> None:
        """The next frame shows it."""

    def link(self, link: Link) -> None:
        """The next frame shows it."""
        self._link, self._cut_at = link, datetime.now(UTC)

    def render(self) -> Table:
        """The bars as they are now."""
        now = datetime.now(UTC)
        bars = Table.grid(padding=(0, 1))
        for _ in range(5):
            bars.add_column(no_wrap=True)
        bars.add_column(overflow="ellipsis", no_wrap=True)
        for stage in self._job.stages.values():
            style = _STYLES.get(stage.status, "dim")
            bars.add_row(
                stage.name,
                ProgressBar(stage.total or 1, stage.done, BAR_WIDTH, complete_style=style, finished_style=style),
                f"{stage.done}/{stage.total}",
                Text(describe(stage), style),
                seconds(stage.elapsed_seconds(now)),
                plain(stage.error or "", 120),
            )
        bars.add_row(f"job {self._job.status}", Text(self._connection(now), "yellow"))
        return bars

    def _connection(self, now: datetime) -> str:
        if self._link.state != "waiting" or self._job.status in ENDINGS:
            return ""
        left = max(0.0, self._link.seconds - (now - self._cut_at).total_seconds())
        return f"{self._link.reason}; again in {left:.1f} s"


class Lines:
    """A line for each step of a stage or the job, not for each item."""

    def __init__(self, console: Console, job: JobProgress) -> None:
        self._console = console
        self._job = job
        self._waiting = False

    def show(self, item: Event | Snapshot, stage: StageProgress | None) -> None:
        """Print the line of the event."""
        if isinstance(item, Snapshot):
            self._print(f"the log no longer has this from its start; going on from a snapshot at {item.position}")
            return
        if item.type == "item.updated":
            return
        if stage is None:
            self._print(item.type.replace(".", " ").replace("_", " "))
            return
        parts = [f"{stage.name} {describe(stage)}"]
        if item.type != "stage.started":
            parts.append(f"{stage.done} of {stage.total}")
        if stage.ended is not None:
            parts.append(f"in {seconds(stage.elapsed_seconds(stage.ended))}")
        if stage.error:
            parts.append(f"({plain(stage.error)})")
        self._print(" ".join(part for part in parts if part))

    def link(self, link: Link) -> None:
        """Print when the connection went down, and when it is back."""
        if link.state == "waiting":
            self._print(f"{link.reason}; trying again in {link.seconds:.1f} s")
        elif self._waiting:
            self._print("connected again")
        self._waiting = link.state == "waiting"

    def _print(self, line: str) -> None:
        self._console.print(plain(line, 600), soft_wrap=True)


def describe(stage: StageProgress) -> str:
    """The state of a stage in a few words, with the attempt when it is not the first."""
    attempt = f" (attempt {stage.attempt})" if stage.attempt > 1 else ""
    if stage.status == "retry_wait":
        return f"waits {stage.delay_ms / 1000:.1f} s to try again{attempt}"
    return stage.status + attempt
