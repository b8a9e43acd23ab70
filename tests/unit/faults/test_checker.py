"""The checker finds every kind of damage in histories made by hand; one that can't fail would prove nothing."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.faults.harness.checker import ViewerVerdict, check_jobs, check_viewer, silences
from tests.faults.harness.history import (
    Committed,
    History,
    JobTruth,
    Order,
    Replaced,
    Seen,
    SessionTruth,
    Truth,
)

EPOCH = "aaaaaaaa"
TYPES = ("job.accepted", "job.started", "stage.started", "item.updated", "stage.completed", "job.completed")


def log_of(job_id: str, first: int = 1) -> list[Committed]:
    return [
        Committed(seq, job_id, kind, orjson.dumps({"job_id": job_id, "number": seq}))
        for seq, kind in enumerate(TYPES, first)
    ]


def truth_of(*jobs: str, status: str = "completed") -> Truth:
    """One session with these jobs, one after the other."""
    events = [event for place, job_id in enumerate(jobs) for event in log_of(job_id, place * len(TYPES) + 1)]
    session = SessionTruth(EPOCH, len(events), 0, events)
    return Truth({"s": session}, {job_id: JobTruth(job_id, "s", status, 1, f"order {job_id}") for job_id in jobs})


def saw(event: Committed, at: float = 0.0, **changed: Any) -> Seen:
    return replace(Seen(at or float(event.seq), EPOCH, event.seq, event.type, orjson.loads(event.data)), **changed)


def viewed(truth: Truth, job_id: str | None = None) -> History:
    """A viewer that saw everything, a second apart."""
    events = [event for event in truth.sessions["s"].events if job_id in (None, event.job_id)]
    return History("v", "s", job_id, seen=[saw(event) for event in events], connections=1, complete=True)


def damage(verdict: ViewerVerdict) -> dict[str, int]:
    """The kinds of damage that are not zero."""
    kinds = ("lost", "doubled", "reordered", "altered", "phantom")
    return {kind: getattr(verdict, kind) for kind in kinds if getattr(verdict, kind)}


@pytest.fixture
def truth() -> Truth:
    return truth_of("a", "b")


def test_a_viewer_with_the_whole_log_is_whole(truth: Truth) -> None:
    verdict = check_viewer(viewed(truth), truth)
    assert (verdict.committed, verdict.delivered, damage(verdict)) == (12, 12, {})
    assert verdict.is_whole


def test_a_viewer_of_one_job_needs_the_events_of_that_job_only(truth: Truth) -> None:
    verdict = check_viewer(viewed(truth, "b"), truth)
    assert (verdict.committed, verdict.delivered, damage(verdict)) == (6, 6, {})


@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_lost_event_is_found_wherever_it_is(truth: Truth, place: int) -> None:
    history = viewed(truth)
    del history.seen[place]
    verdict = check_viewer(history, truth)
    assert damage(verdict) == {"lost": 1}
    assert f"{EPOCH}.{place + 1}" in verdict.examples[0]
    assert not verdict.is_whole


def test_a_viewer_that_saw_nothing_has_lost_everything(truth: Truth) -> None:
    assert damage(check_viewer(History("v", "s", complete=True), truth)) == {"lost": 12}


def test_a_doubled_event_is_found_and_is_not_called_reordered(truth: Truth) -> None:
    history = viewed(truth)
    history.seen.insert(7, history.seen[3])
    assert damage(check_viewer(history, truth)) == {"doubled": 1}


def test_two_swapped_events_are_found(truth: Truth) -> None:
    history = viewed(truth)
    history.seen[4], history.seen[5] = history.seen[5], history.seen[4]
    assert damage(check_viewer(history, truth)) == {"reordered": 1}


@pytest.mark.parametrize("changed", [{"data": {"job_id": "a", "number": 99}}, {"type": "stage.failed"}])
def test_an_altered_event_is_found(truth: Truth, changed: dict[str, Any]) -> None:
    history = viewed(truth)
    history.seen[2] = replace(history.seen[2], **changed)
    assert damage(check_viewer(history, truth)) == {"altered": 1}


def test_an_event_that_nobody_committed_is_found(truth: Truth) -> None:
    history = viewed(truth)
    history.seen.append(Seen(99.0, EPOCH, 13, "job.completed", {"job_id": "a"}))
    assert damage(check_viewer(history, truth)) == {"phantom": 1}


def test_an_event_of_another_job_on_a_jobs_stream_is_found(truth: Truth) -> None:
    history = viewed(truth, "a")
    history.seen.append(saw(truth.sessions["s"].events[6]))
    assert damage(check_viewer(history, truth)) == {"phantom": 1}


def test_an_event_of_another_epoch_is_found(truth: Truth) -> None:
    history = viewed(truth)
    history.seen[0] = replace(history.seen[0], epoch="bbbbbbbb")
    assert damage(check_viewer(history, truth)) == {"lost": 1, "phantom": 1}


def test_all_kinds_at_once_are_counted_apart(truth: Truth) -> None:
    history = viewed(truth)
    history.seen[1] = replace(history.seen[1], type="stage.failed")
    history.seen[8], history.seen[9] = history.seen[9], history.seen[8]
    del history.seen[4]
    history.seen.append(history.seen[0])
    assert damage(check_viewer(history, truth)) == {"lost": 1, "doubled": 1, "reordered": 1, "altered": 1}


def test_what_a_snapshot_replaced_is_not_lost_and_must_not_come_after_it(truth: Truth) -> None:
    history = viewed(truth)
    history.seen = history.seen[:2] + history.seen[8:]
    history.replaced = [Replaced(2.5, EPOCH, 8, after=2)]
    verdict = check_viewer(history, truth)
    assert (damage(verdict), verdict.resets) == ({}, 1)

    history.seen.insert(2, saw(truth.sessions["s"].events[7]))
    assert damage(check_viewer(history, truth)) == {"reordered": 1}


def test_a_viewer_that_does_not_know_that_it_has_everything_is_not_whole(truth: Truth) -> None:
    assert not check_viewer(replace(viewed(truth), complete=False), truth).is_whole


def test_a_gap_that_the_client_had_mended_is_found_all_the_same(truth: Truth) -> None:
    verdict = check_viewer(replace(viewed(truth), gaps=1), truth)
    assert not verdict.is_whole
    assert "1 gaps" in verdict.examples[0]


def test_a_viewer_that_was_refused_is_not_whole(truth: Truth) -> None:
    verdict = check_viewer(replace(viewed(truth), failure="Refused: 404"), truth)
    assert not verdict.is_whole
    assert "Refused: 404" in verdict.examples


def test_silence_counts_only_while_a_job_is_under_way(truth: Truth) -> None:
    history = viewed(truth)
    history.opened_at = 0.5
    history.seen = [saw(event, at) for event, at in zip(truth.sessions["s"].events, (1, 2, 3, 9, 10, 11), strict=False)]
    history.seen += [saw(event, at) for event, at in zip(truth.sessions["s"].events[6:], (99, 100), strict=False)]
    history.closed_at = 103.5
    assert max(end - start for start, end in silences(history)) == 6, "88 s passed between two jobs"
    assert check_viewer(history, truth).silence_seconds == 6
    assert (100, 103.5) in list(silences(history)), "a job was under way at the end"


def order_of(job_id: str | None, *answers: str, name: str = "") -> Order:
    return Order(name or f"order {job_id}", 0.0, 0.1, answers or ("202",), job_id, "s" if job_id else None)


def test_accepted_jobs_that_ended_once_give_no_finding(truth: Truth) -> None:
    assert check_jobs([order_of("a"), order_of("b", "503", "ReadTimeout", "202")], truth) == []


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ([order_of("c")], "job c was accepted and is not there"),
        ([order_of(None, "503", name="order c")], "order order c was never accepted"),
        ([order_of("a", "500", "202")], "order order a was answered 500"),
        ([order_of("a", name="order b")], "job a was accepted as order b and is order a"),
    ],
)
def test_an_order_that_went_wrong_is_found(truth: Truth, orders: list[Order], said: str) -> None:
    (finding,) = check_jobs(orders, truth)
    assert finding.startswith(said)


def test_an_order_that_became_two_jobs_is_found() -> None:
    truth = truth_of("a", "b")
    truth.jobs["b"] = replace(truth.jobs["b"], order="order a")
    assert check_jobs([order_of("a")], truth) == ["order order a became 2 jobs"]


def test_a_job_that_never_ended_is_found() -> None:
    truth = truth_of("a", status="running")
    del truth.sessions["s"].events[-1]
    assert check_jobs([order_of("a")], truth) == ["job a never ended: it is running"]


def test_a_second_terminal_event_is_found(truth: Truth) -> None:
    events = truth.sessions["s"].events
    events.append(Committed(13, "a", "job.completed", b"{}"))
    (finding,) = check_jobs([order_of("a")], truth)
    assert finding.startswith("job a has 2 terminal events in 1 runs")


def test_an_event_after_the_last_is_found(truth: Truth) -> None:
    truth.sessions["s"].events.append(Committed(13, "a", "item.updated", b"{}"))
    assert check_jobs([order_of("a")], truth) == ["job a is completed, and its last event is item.updated"]


def test_a_log_of_a_job_that_does_not_exist_is_found(truth: Truth) -> None:
    del truth.jobs["b"]
    assert check_jobs([order_of("a")], truth) == ["the log has 6 events of job b, which does not exist"]
