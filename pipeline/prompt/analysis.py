"""Stage `analysis`: which parts of a good prompt are there."""

import msgspec

from pipeline.prompt.score import Score
from pipeline.stages import Stage


class PartScores(msgspec.Struct, frozen=True):
    """How clearly each part is present, 0 (no sign of it) to 1."""

    role: Score
    task: Score
    context: Score
    constraints: Score
    output_format: Score
    examples: Score


class AnalysisResult(msgspec.Struct, frozen=True):
    """The scores of the six parts, and one for the whole prompt."""

    parts: PartScores
    overall: Score


STAGE = Stage(kind="prompt", name="analysis", fills=("analysis",), result=AnalysisResult)
