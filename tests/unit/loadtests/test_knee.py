"""Guests at growing load: what is measured, how it is told, and that a lost event fails the run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from loadtests.knee.page import Page
from loadtests.knee.picture import choose_ticks, draw
from loadtests.knee.readme import with_knee
from loadtests.knee.report import Result, name_knee, say_losses, say_others, to_html, to_lines
from loadtests.knee.steps import Core, Quantiles, Rest, measure_step, to_quantiles
from loadtests.knee.tally import Clock, Count, Tally
from loadtests.sheet import begin_sheet
from loadtests.source import Source
from tests.unit.loadtests.written_steps import BUSY, GROWING, IDLE, make_result, make_step

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
JOB = "01m7yhm0ennajjn07jc08vag0a"


def test_quantiles_are_nearest_ranks_in_any_order() -> None:
    assert to_quantiles(range(100, 0, -1)) == Quantiles(100, 50, 95, 99)
    assert to_quantiles([7]) == Quantiles(1, 7, 7, 7)
    assert to_quantiles([]) == Quantiles(0, 0, 0, 0)


def frame(seq: int, name: str, more: str = "", age_seconds: float = 0, job: str = JOB) -> bytes:
    at = datetime.fromtimestamp(time.time() - age_seconds, UTC).isoformat(timespec="milliseconds")
    data = f'{{"job_id":"{job}","at":"{at.replace("+00:00", "Z")}"{more}}}'
    return f"id: wcqlahdy.{seq}\nevent: {name}\ndata: {data}\n\n".encode()


def control(name: str, head: int, more: str = "") -> bytes:
    return f'event: {name}\ndata: {{"head":"wcqlahdy.{head}"{more}}}\n\n'.encode()


def result(seq: int, stage: str = "price", age_seconds: float = 0) -> bytes:
    # The value holds what looks like a stage: only the event's own counts.
    more = f',"item_id":"01m7yhm0enm28npqh53kcajask","position":0,"stage":"{stage}","value":{{"stage":"x"}},"attempt":1'
    return frame(seq, "item.updated", more, age_seconds)


def end(seq: int) -> bytes:
    return frame(seq, "job.completed", ',"stages":{"price":"completed"}')


def in_chunks(frames: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in frames)


OPEN = control("stream.open", 1)
WHOLE = [OPEN, frame(1, "job.accepted", ',"kind":"menu"'), result(2), result(3), end(4)]
STREAM_END = control("stream.end", 4, ',"status":"completed"')


def make_page(tally: Tally, slow: bool = False, by_session: bool = False) -> Page:
    page = Page("/v1/jobs/x/events?token=y", tally, slow=slow, by_session=by_session)
    page.expect(JOB, "menu", time.time())
    return page


def receive(frames: Sequence[bytes], tally: Tally | None = None, **habits: bool) -> Page:
    page = make_page(tally or Tally(is_open=True), **habits)
    page.begin()
    page.feed(HEAD + in_chunks(frames))
    return page


def test_a_page_that_received_everything_is_done_at_the_end_of_the_stream_and_regular() -> None:
    page = receive([*WHOLE, STREAM_END])
    assert (page.is_done, page.ended, page.results) == (True, "completed", 2)
    assert not page.check(range(1, 5))
    assert not page.unproven


def test_a_page_reads_the_same_when_bytes_come_one_by_one() -> None:
    page = make_page(Tally(is_open=True))
    page.begin()
    for byte in HEAD + in_chunks([*WHOLE, STREAM_END]):
        page.feed(bytes([byte]))
    assert (page.is_done, page.results) == (True, 2)
    assert not page.check(range(1, 5))


def test_a_page_resumes_after_its_last_whole_event_and_as_a_new_one_after_a_reload() -> None:
    page = make_page(Tally(is_open=True))
    page.begin()
    page.feed(HEAD + in_chunks(WHOLE[:3])[:-30])
    assert b"Last-Event-ID: wcqlahdy.1\r\n" in page.begin()
    page.reload()
    request = page.begin()
    assert b"from=snapshot" in request
    assert b"Last-Event-ID" not in request
    page.feed(HEAD + in_chunks([OPEN, control("stream.snapshot", 2), result(3), end(4), STREAM_END]))
    assert page.is_done
    assert not page.check(range(1, 5))


def test_a_session_is_followed_until_the_own_job_has_ended() -> None:
    page = receive([OPEN, frame(1, "job.completed", job="another")], by_session=True)
    assert not page.is_done
    page.feed(in_chunks([end(2)]))
    assert page.is_done


def test_only_live_results_are_timed_from_their_decision_and_by_their_stage() -> None:
    tally = Tally(is_open=True)
    receive([control("stream.open", 1), result(1, "price", 60), result(2, "image", 5), result(3, "image", 5)], tally)
    assert list(tally.received) == ["image"]
    assert tally.received["image"].tolist() == pytest.approx([5000, 5000], abs=1000)
    assert tally.counts[Count.RESULTS] == 3


def test_a_slow_reader_is_timed_apart() -> None:
    tally = Tally(is_open=True)
    receive([*WHOLE, STREAM_END], tally, slow=True)
    assert not tally.received
    assert set(tally.clocks) == {Clock.SLOW_END}


def test_nothing_is_measured_before_the_window_and_what_goes_wrong_is_noted_all_the_same() -> None:
    tally = Tally()
    page = receive([*WHOLE[:3], end(4)], tally)
    tally.judge(page.check(range(1, 5)))
    tally.trouble("status 500")
    assert (list(tally.clocks), list(tally.received), list(tally.counts)) == ([], [], [])
    assert (tally.broken["lost"], tally.trouble_count) == (1, 1)


def run_with(frames: Sequence[bytes]) -> Result:
    """A run of one step with one visit, whose log has four events and whose stream brought these."""
    tally = Tally(is_open=True, begun=1, judged=1)
    page = receive(frames, tally)
    tally.judge(page.check(range(1, 5)))
    return make_result(measure_step(10, 1.0, tally, BUSY, IDLE, Rest(0, 120)))


def test_a_run_whose_visits_received_everything_passes() -> None:
    run = run_with([*WHOLE, STREAM_END])
    assert run.passed
    assert (
        say_losses(run)
        == "1 visits held against the log: lost 0, doubled 0, reordered 0, foreign 0; failed 0, cut off 0."
    )


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ([*WHOLE[:3], end(4), STREAM_END], "lost 1"),
        ([*WHOLE[:4], result(3), end(4), STREAM_END], "doubled 1"),
        ([*WHOLE[:2], result(3), result(2), end(4), STREAM_END], "reordered 1"),
        ([*WHOLE, frame(5, "stage.started"), STREAM_END], "foreign 1"),
    ],
    ids=["lost", "doubled", "reordered", "foreign"],
)
def test_a_run_in_which_one_event_went_wrong_fails_and_says_so(frames: Sequence[bytes], kind: str) -> None:
    run = run_with(frames)
    assert not run.passed
    assert kind in say_losses(run)


@pytest.mark.parametrize(
    "damage", [{"unjudged": 1}, {"trouble_count": 1}, {"visits": 0}, {"broken": {"lost": 1}}], ids=str
)
def test_one_damaged_step_fails_the_run(damage: dict[str, Any]) -> None:
    assert make_result(*GROWING).passed
    assert not make_result(*GROWING, make_step(80, 36, **damage)).passed
    assert not make_result().passed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {},
            "What gave out is the gateway's core: with 80 guests the gateway used 97% of its core, the client 20% of "
            "its own.",
        ),
        ({"client": BUSY}, "this is not the gateway's knee"),
        ({"client": Core(0.1, 0.99)}, "Other programs had a part in it"),
        ({"gateway": IDLE}, "waited for something else"),
    ],
    ids=["gateway", "client", "others", "neither"],
)
def test_the_report_names_the_knee_and_what_gave_out(change: dict[str, Any], says: str) -> None:
    run = make_result(*GROWING, make_step(80, 36, **change))
    assert name_knee(run).startswith("The knee is at 40 guests: 35 finished jobs/s")
    assert says in name_knee(run)


def test_the_report_names_the_rule_that_the_step_past_the_knee_broke() -> None:
    assert "with 80 guests, the rule of yield is broken: +100% guests" in name_knee(
        make_result(*GROWING, make_step(80, 36))
    )
    assert "with 80 guests, the rule of waiting is broken: by the p95" in name_knee(
        make_result(*GROWING, make_step(80, 70, {Clock.FIRST_RESULT: 500}))
    )


def test_the_report_says_when_there_was_no_knee_and_when_others_were_at_work() -> None:
    assert name_knee(make_result(*GROWING)).startswith("No knee up to 40 guests")
    assert not say_others(make_result(*GROWING))
    assert "50%" in say_others(make_result(make_step(10, 10, gateway=Core(0.4, 0.9))))


def render_lines(run: Result) -> str:
    return "\n".join(to_lines(run))


def render_page(run: Result) -> str:
    return to_html(run, begin_sheet("knee", []), "<?xml?><svg>the picture</svg>")


@pytest.mark.parametrize("render", [render_lines, render_page])
def test_both_reports_tell_every_step_and_what_went_wrong(render: Callable[[Result], str]) -> None:
    run = make_result(*GROWING, make_step(80, 36, trouble_count=1, troubles=["status <500>"]))
    text = render(run)
    assert name_knee(run).replace("'", "&#x27;" if render is render_page else "'") in text
    assert "80 guests: status" in text
    for step in run.steps:
        assert f"{step.jobs_per_s:.1f}" in text


@pytest.mark.parametrize("render", [render_lines, render_page])
def test_both_reports_tell_the_window_and_the_source(render: Callable[[Result], str]) -> None:
    run = make_result(*GROWING)
    assert "measured for 10 s, after all guests had come. Made with commit 0123456789." in render(run)
    edited = replace(run, seconds=6, source=Source("0123456789", 3))
    assert "measured for 6 s" in render(edited)
    assert "commit 0123456789, with uncommitted changes to 3 files." in render(edited)


def test_the_readme_keeps_everything_but_the_knee() -> None:
    run = make_result(*GROWING, make_step(80, 36))
    text = with_knee("before\n<!-- knee -->\nold\n<!-- /knee -->\nafter\n", run, "2026-01-01")
    assert text.startswith("before\n<!-- knee -->\n")
    assert text.endswith("<!-- /knee -->\nafter\n")
    assert "old" not in text
    for part in ("**40 realistic guests**", "35 finished jobs/s", "10 s a step", "commit 0123456789", "knee.md"):
        assert part in " ".join(text.split())
    assert all(len(line) <= 120 for line in text.splitlines())
    assert with_knee(text, run, "2026-01-01") == text
    assert "the most that were tried" in " ".join(with_knee(text, make_result(*GROWING), "2026-01-01").split())
    assert with_knee("no marks", run, "2026-01-01") == "no marks"


def test_the_page_marks_the_knee_holds_the_picture_and_escapes_what_gateways_say() -> None:
    page = render_page(make_result(*GROWING, make_step(80, 36, trouble_count=1, troubles=["status <500>"])))
    assert page.count("<tr class=knee><td>40</td>") == 1
    assert "<svg>the picture</svg>" in page
    assert "<?xml" not in page
    assert "status &lt;500&gt;" in page
    assert 'class="failed"' in page


def test_the_picture_marks_the_knee_and_is_the_same_for_the_same_figures() -> None:
    pytest.importorskip("matplotlib", reason="only the bench extra has matplotlib")
    run = make_result(
        *[replace(step, received={"price": Quantiles(9, 1, 2, 3)}) for step in GROWING], make_step(80, 36)
    )
    assert "knee: 40 guests," in draw(run)
    assert draw(run) == draw(run)


def test_the_axis_names_the_knee_and_no_number_over_another() -> None:
    guests = [10, 20, 40, 80, 100, 110, 120, 160, 320]
    assert choose_ticks(guests, 110) == [10, 20, 40, 80, 110, 160, 320]
    assert choose_ticks(guests, 100) == [10, 20, 40, 100, 160, 320]
    assert choose_ticks([10], 10) == [10]


def test_there_is_a_picture_of_a_run_in_which_nothing_came() -> None:
    pytest.importorskip("matplotlib", reason="only the bench extra has matplotlib")
    assert "<svg" in draw(make_result(make_step(10, 0, {Clock.FIRST_EVENT: 0, Clock.FIRST_RESULT: 0})))
