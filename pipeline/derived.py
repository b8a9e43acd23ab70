"""Rows that a prompt stage's result brings along: a proposed child version, an evaluation with its test results.

They are written in the same transaction as the result itself.
"""

from collections.abc import Mapping
from typing import Any

from infra.clock import now_ms
from infra.database.status import RowStatus
from infra.ids import new_id

NewRows = tuple[tuple[str, dict[str, Any]], ...]


def derived_rows(stage: str, prompt: Mapping[str, Any], value: dict[str, Any]) -> tuple[dict[str, Any], NewRows]:
    """The value to store, and the rows to insert with it. An improvement's value gains the `child_id`."""
    result = value["result"]
    if result is None:
        return value, ()
    if stage == "improvement":
        return _child_version(prompt, value, result)
    if stage == "evaluation":
        return value, _evaluation(prompt, value, result)
    return value, ()


def _child_version(
    prompt: Mapping[str, Any], value: dict[str, Any], result: dict[str, Any]
) -> tuple[dict[str, Any], NewRows]:
    if result["content"] == prompt["content"]:
        return {**value, "result": {**result, "child_id": None}}, ()
    child_id, at = new_id(), now_ms()
    child = {
        "id": child_id,
        "session_id": prompt["session_id"],
        "job_id": None,
        "parent_id": prompt["id"],
        "version": prompt["version"] + 1,
        "position": 0,
        "title": prompt["title"],
        "content": result["content"],
        "test_cases": prompt["test_cases"],
        "processing_status": RowStatus.PENDING,
        "created_at": at,
        "updated_at": at,
    }
    return {**value, "result": {**result, "child_id": child_id}}, (("prompt", child),)


def _evaluation(prompt: Mapping[str, Any], value: dict[str, Any], result: dict[str, Any]) -> NewRows:
    evaluation_id = new_id()
    evaluation = {
        "id": evaluation_id,
        "prompt_id": prompt["id"],
        "provider": value["provider"],
        "model": None,
        "status": "completed",
        "overall_score": result["overall"],
        "created_at": now_ms(),
    }
    cases = tuple(
        (
            "test_result",
            {
                "evaluation_id": evaluation_id,
                "position": position,
                "name": case["name"],
                "score": case["score"],
                "passed": case["passed"],
                "assertions": case["assertions"],
            },
        )
        for position, case in enumerate(result["cases"])
    )
    return (("evaluation", evaluation), *cases)
