"""The rules that every job's events obey (design: invariants 1, 3 and 4), as assertions over what a client received."""

import re
from collections.abc import Sequence

from .fold import STAGES, TERMINAL
from .sse import Frame

_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ID = re.compile(r"[a-z0-9]{8}\.[1-9]\d*")
ENDINGS = tuple(f"job.{status}" for status in TERMINAL)


def check_ids(events: Sequence[Frame], first: int = 1) -> None:
    """One epoch, and the numbers first, first + 1, ... without a hole or a double."""
    assert all(_ID.fullmatch(event.id or "") for event in events), [event.id for event in events]
    assert len({(event.id or "").partition(".")[0] for event in events}) <= 1
    assert [event.seq for event in events] == list(range(first, first + len(events)))


def check_job(events: Sequence[Frame], kind: str, runs: int = 1) -> None:
    """The events of one ended job, all of them."""
    names = [event.event for event in events]
    assert all(_AT.fullmatch(event.data["at"]) for event in events)
    assert names[0] == "job.accepted"
    assert names.count("job.accepted") == 1
    assert sum(name in ENDINGS for name in names) == runs, names
    assert names[-1] in ENDINGS
    assert names.count("job.started") <= runs
    for event in events:
        if event.event in ENDINGS:
            assert tuple(event.data["stages"]) == STAGES[kind]
    for stage in STAGES[kind]:
        _check_stage([event for event in events if event.data.get("stage") == stage], stage)


def _check_stage(events: Sequence[Frame], stage: str) -> None:
    answered: set[tuple[str, int]] = set()
    attempt, open_ = 0, False
    for event in events:
        if event.event == "stage.started":
            assert not open_ or event.data["attempt"] > attempt, f"{stage} started twice"
            assert event.data["attempt"] == attempt + 1, f"{stage}: attempt {event.data['attempt']} after {attempt}"
            attempt, open_ = event.data["attempt"], True
        elif event.event == "item.updated":
            assert open_, f"{stage}: {event.id} while the stage does not run"
            assert event.data["attempt"] == attempt
            key = (event.data["item_id"], attempt)
            assert key not in answered, f"{stage}: {key} twice"
            answered.add(key)
        elif event.event != "stage.recovering":
            assert event.event in ("stage.completed", "stage.failed", "stage.cancelled", "stage.retrying"), event.event
            open_ = False
    assert not open_, f"{stage} never ended"
