"""What a client makes of the events: `fold(snapshot at t0, events up to t1)` is the snapshot at t1.

Written from the protocol alone, without any code of the product: two independent readings of the same rules.
"""

import copy
from collections.abc import Iterable
from typing import Any

from .sse import Frame

STAGES: dict[str, tuple[str, ...]] = {
    "menu": ("translation", "category", "description", "allergens", "ingredients", "image_search", "image", "price"),
    "prompt": (
        "analysis",
        "variables",
        "safety",
        "translation",
        "tags",
        "embedding",
        "improvement",
        "evaluation",
    ),
}
# Where a stage's value stands in a row when the column is not called as the stage is.
_COLUMNS = {"allergens": "allergy", "ingredients": "ingredient", "image_search": "search_engine", "image": "gen_image"}
TERMINAL = ("completed", "completed_partial", "failed", "cancelled")


def columns_of(kind: str, stage: str, value: dict[str, Any]) -> dict[str, Any]:
    """The columns that a stage's value fills."""
    if kind == "menu" and stage == "category":
        parts = value["result"] or {}
        return {name: {**value, "result": parts.get(name)} for name in ("category", "category_translation")}
    return {_COLUMNS.get(stage, stage) if kind == "menu" else stage: value}


def blank(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The job as it was before its first event."""
    state = copy.deepcopy(snapshot)
    state |= {"status": "queued", "run": 1, "started_at": None, "finished_at": None, "head": f"{state['epoch']}.0"}
    for name, stage in state["stages"].items():
        state["stages"][name] = {"status": "queued", "attempt": 0, "done": 0, "total": stage["total"], "error": None}
    for row in state["rows"]:
        for stage_name in STAGES[state["kind"]]:
            row |= dict.fromkeys(columns_of(state["kind"], stage_name, {"result": None}), None)
        row |= {"processing_status": "pending", "updated_at": row["created_at"]}
    return state


def fold(snapshot: dict[str, Any], events: Iterable[Frame]) -> dict[str, Any]:
    """The snapshot after the events of its job; events that it has already are an error."""
    state = copy.deepcopy(snapshot)
    rows = {row["item_id"]: row for row in state["rows"]}
    for frame in events:
        assert frame.event is not None
        assert frame.data["job_id"] == state["job_id"], "an event of another job"
        assert frame.seq > int(state["head"].rpartition(".")[2]), (
            f"{frame.id} is in the snapshot {state['head']} already"
        )
        subject, _, what = frame.event.partition(".")
        if subject == "job":
            _fold_job(state, what, frame.data)
        elif subject == "stage":
            _fold_stage(state, what, frame.data)
        else:
            assert frame.event == "item.updated", frame.event
            row = rows[frame.data["item_id"]]
            row |= columns_of(state["kind"], frame.data["stage"], frame.data["value"])
            row["updated_at"] = frame.data["at"]
            state["stages"][frame.data["stage"]]["done"] += 1
        state["head"] = frame.id
    return state


def _fold_job(state: dict[str, Any], what: str, data: dict[str, Any]) -> None:
    if what == "accepted":
        assert (data["kind"], data["title"], data["total"]) == (state["kind"], state["title"], len(state["rows"]))
    elif what == "started":
        state |= {"status": "running", "run": data["run"], "started_at": state["started_at"] or data["at"]}
        for row in state["rows"]:
            row |= {"processing_status": "processing", "updated_at": data["at"]}
    else:
        assert what in TERMINAL, what
        state |= {"status": what, "finished_at": data["at"]}
        assert data["stages"] == {name: stage["status"] for name, stage in state["stages"].items()}
        for row in state["rows"]:
            row |= {"processing_status": _settled(state["kind"], row), "updated_at": data["at"]}


def _settled(kind: str, row: dict[str, Any]) -> str:
    columns = [next(iter(columns_of(kind, stage, {"result": None}))) for stage in STAGES[kind]]
    filled = sum(row[column] is not None for column in columns)
    return {0: "failed", len(columns): "completed"}.get(filled, "partial")


def _fold_stage(state: dict[str, Any], what: str, data: dict[str, Any]) -> None:
    stage = state["stages"][data["stage"]]
    if what == "started":
        stage |= {"status": "running", "attempt": data["attempt"], "total": data["total"], "error": None}
    elif what == "retrying":
        stage |= {"status": "retry_wait", "attempt": data["attempt"], "error": data["error"]}
        if state["status"] in TERMINAL:
            state |= {"status": "queued", "run": state["run"] + 1, "finished_at": None}
    elif what == "recovering":
        assert data["attempt"] == stage["attempt"] + 1
    else:
        assert what in ("completed", "failed", "cancelled"), what
        stage["status"] = what
        if what != "cancelled":
            assert (data["done"], data["total"]) == (stage["done"], stage["total"])
        if what == "failed":
            stage["error"] = data["error"]
