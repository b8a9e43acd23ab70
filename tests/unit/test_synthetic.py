"""The synthetic provider answers every stage in the stage's shape, so that only its failure rate makes stages fail."""

import pytest

from infra.providers.base import Answer, Dish, PromptText, StageCall
from infra.providers.synthetic import SyntheticProvider
from infra.settings import SyntheticSettings
from pipeline.registry import KINDS
from pipeline.stages import Stage

ITEMS = {"menu": (Dish("item", 0, "親子丼"),), "prompt": (PromptText("item", "Support", "Answer {{question}}"),)}
STAGES = [stage for kind in KINDS.values() for stage in kind.stages.values()]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.kind}-{stage.name}")
async def test_answer_has_the_shape_of_the_stage_and_says_synthetic(stage: Stage) -> None:
    provider = SyntheticProvider(SyntheticSettings())
    call = StageCall(stage.kind, stage.name, ITEMS[stage.kind], "en")
    answers = [answer async for answer in provider.answer(call)]
    assert [type(answer) for answer in answers] == [Answer]
    assert isinstance(answers[0], Answer)
    value = stage.value(answers[0], provider.name)
    assert value["provider"] == "synthetic"
    assert set(stage.columns(value)) == set(stage.fills)
