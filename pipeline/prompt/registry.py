"""The eight stages of a prompt job, in the order in which they are shown."""

from pipeline.prompt import analysis, embedding, evaluation, improvement, safety, tags, translation, variables
from pipeline.stages import Stage

PROMPT_STAGES: tuple[Stage, ...] = (
    analysis.STAGE,
    variables.STAGE,
    safety.STAGE,
    translation.STAGE,
    tags.STAGE,
    embedding.STAGE,
    improvement.STAGE,
    evaluation.STAGE,
)
