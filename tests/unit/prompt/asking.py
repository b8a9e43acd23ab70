"""Asking the builtin provider about a prompt the way that the runner does: through the stage's own type."""

from typing import Any

from infra.providers.base import Answer, PromptText, StageCall, StoredPrompt, TestCase
from infra.providers.builtin.prompt.rules import answer_prompt
from pipeline.prompt.registry import PROMPT_STAGES
from pipeline.stages import Stage

STAGES: dict[str, Stage] = {stage.name: stage for stage in PROMPT_STAGES}


def ask(
    stage: str,
    content: str,
    *,
    title: str = "A prompt",
    target: str = "en",
    source: str | None = None,
    cases: tuple[TestCase, ...] = (),
    stored: tuple[StoredPrompt, ...] = (),
) -> tuple[Any, float]:
    """The result as it would be stored, and its confidence. Raises when the result has not the stage's shape."""
    prompt = PromptText("item-1", title, content, test_cases=cases)
    call = StageCall("prompt", stage, (prompt,), target, source, stored)
    answer: Answer = answer_prompt(stage, prompt, call)
    value = STAGES[stage].value(answer, "builtin")
    assert answer.item_id == "item-1"
    assert 0 <= answer.confidence <= 1
    return value["result"], answer.confidence
