"""A job's events become its progress, and its progress becomes lines and bars."""

import io
from typing import Any

import pytest
from rich.console import Console

from gateway.client.progress import JobProgress, parse_time
from gateway.client.stream import Event, EventId, Link, Snapshot
from gateway.terminal.exits import Exit
from gateway.terminal.following import exit_of, outcome
from gateway.terminal.screen import Bars, Lines
from gateway.terminal.text import plain, seconds

AT = "2026-11-21T02:00:0{}.000Z"
ERROR = {"type": "provider_error", "message": "the oven is cold"}


def snapshot(status: str, /, **stage: Any) -> dict[str, Any]:
    blank = {"status": "queued", "attempt": 0, "done": 0, "total": 2, "error": None}
    return {
        "job_id": "j", "kind": "menu", "title": None, "status": status, "run": 1,
        "stages": {"translation": {**blank, **stage}, "price": blank},
    }  # fmt: skip


def event(kind: str, second: int = 0, /, **data: Any) -> Event:
    return Event(EventId("k3v9x0ab", second + 1), kind, {"job_id": "j", "at": AT.format(second), **data})


def stage_event(kind: str, second: int = 0, /, **data: Any) -> Event:
    return event(kind, second, stage="translation", **data)


STORY = [
    event("job.accepted", kind="menu", title=None, total=2),
    event("job.started", run=1),
    stage_event("stage.started", 1, attempt=1, total=2),
    stage_event("item.updated", 1, item_id="a", position=0, value={}, attempt=1),
    stage_event("stage.retrying", 2, attempt=1, delay_ms=1500, error=ERROR),
    stage_event("stage.started", 4, attempt=2, total=2),
    stage_event("item.updated", 5, item_id="b", position=1, value={}, attempt=2),
    stage_event("stage.completed", 6, done=2, total=2),
    event("job.completed", 7, stages={}),
]


def told(events: list[Event]) -> JobProgress:
    job = JobProgress.from_snapshot(snapshot("completed", status="completed", done=2), empty=True)
    for one in events:
        job.apply(one)
    return job


def test_an_empty_start_knows_the_stages_and_nothing_of_their_end() -> None:
    job = told([])
    assert list(job.stages) == ["translation", "price"]
    assert (job.status, job.stages["translation"].status, job.stages["translation"].done) == ("queued", "queued", 0)


@pytest.mark.parametrize(
    ("events", "expected"),
    [(3, ("running", 1, 0, None)), (4, ("running", 1, 1, None)), (5, ("retry_wait", 1, 1, "the oven is cold")),
     (8, ("completed", 2, 2, None))],
)  # fmt: skip
def test_a_stage_is_where_its_events_left_it(events: int, expected: tuple[Any, ...]) -> None:
    stage = told(STORY[:events]).stages["translation"]
    assert (stage.status, stage.attempt, stage.done, stage.error) == expected


def test_time_counts_from_the_first_attempt_to_the_end_of_the_last() -> None:
    stage = told(STORY).stages["translation"]
    assert stage.elapsed_seconds(parse_time("2027-01-01T00:00:00.000Z")) == 5.0


def test_a_retry_wakes_a_job_that_had_ended() -> None:
    job = told([*STORY[:7], stage_event("stage.failed", 6, error=ERROR, done=1, total=2), event("job.failed", 7)])
    assert (job.status, job.stages["translation"].status) == ("failed", "failed")
    assert outcome(job) == "The job ended as failed: translation failed, price queued."

    job.apply(stage_event("stage.retrying", 8, attempt=3, delay_ms=0, error=ERROR))
    assert job.status == "queued"
    job.apply(event("job.started", 8, run=2))
    assert (job.status, job.run) == ("running", 2)


def test_a_snapshot_replaces_what_was_known() -> None:
    job = told(STORY)
    failed = snapshot("failed", status="failed", attempt=3, done=1, error=ERROR)
    job.apply(Snapshot(EventId("newepoch", 40), failed))

    stage = job.stages["translation"]
    assert (job.status, stage.status, stage.attempt, stage.done, stage.error) == (
        "failed", "failed", 3, 1, "the oven is cold",
    )  # fmt: skip


def test_lines_tell_the_story_without_every_item() -> None:
    job = told([])
    lines = Lines(Console(file=io.StringIO(), width=200), job)
    for one in STORY:
        lines.show(one, job.apply(one))
    lines.link(Link("waiting", "the connection broke", 1.25))
    lines.link(Link("live"))

    assert lines._console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "job accepted",
        "job started",
        "translation running",
        "translation waits 1.5 s to try again 1 of 2 (the oven is cold)",
        "translation running (attempt 2)",
        "translation completed (attempt 2) 2 of 2 in 5.00 s",
        "job completed",
        "the connection broke; trying again in 1.2 s",
        "connected again",
    ]


def test_bars_show_every_stage_and_a_lost_connection() -> None:
    job = told(STORY[:5])
    bars = Bars(job)
    bars.link(Link("waiting", "connection refused", 9.0))
    console = Console(file=io.StringIO(), width=160)
    console.print(bars.render())
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    assert [line.split()[0] for line in shown] == ["translation", "price", "job"]
    assert "1/2" in shown[0]
    assert "waits 1.5 s to try again" in shown[0]
    assert "the oven is cold" in shown[0]
    assert "connection refused; again in" in shown[2]


def test_a_connection_that_the_server_renews_is_not_worth_a_line() -> None:
    job = told(STORY[:5])
    lines, bars = Lines(Console(file=io.StringIO(), width=200), job), Bars(job)
    for link in (Link("renewing", "the server renews the connection", 2.0), Link("live")):
        lines.link(link)
        bars.link(link)
        console = Console(file=io.StringIO(), width=160)
        console.print(bars.render())
        assert "renews" not in console.file.getvalue()  # type: ignore[attr-defined]

    assert lines._console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_text_of_a_job_cannot_act_on_the_terminal() -> None:
    assert plain("a\x1b[2Jb\x9bc\u202ed [bold]e[/] f\ng").plain == "a\ufffd[2Jb\ufffdc\ufffdd [bold]e[/] f g"
    assert plain("親子丼 👨\u200d🍳").plain == "親子丼 👨\u200d🍳"
    assert plain("x" * 500, 10).plain == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ""), (0.421, "0.42 s"), (12.34, "12.3 s"), (185.0, "3 min 05 s")]
)
def test_durations_are_for_people(value: float | None, expected: str) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("status", "code"),
    [("completed", 0), ("completed_partial", 6), ("failed", 1), ("cancelled", 1)],
)
def test_a_script_can_tell_how_the_job_ended(status: str, code: int) -> None:
    assert exit_of(status) == Exit(code)
