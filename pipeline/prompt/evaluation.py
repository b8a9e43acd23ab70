"""Stage `evaluation`: the prompt's test cases, run."""

import msgspec

from pipeline.prompt.score import Score
from pipeline.stages import Stage


class AssertionResult(msgspec.Struct, frozen=True):
    """One assertion and why it passed or failed; the detail never quotes the rendered prompt."""

    type: str
    value: str | int
    passed: bool
    detail: str


class CaseResult(msgspec.Struct, frozen=True):
    """One test case: the share of its assertions that passed, and whether all did."""

    name: str
    score: Score
    passed: bool
    assertions: list[AssertionResult]


class EvaluationResult(msgspec.Struct, frozen=True):
    """All test cases in the order given; `overall` is the mean of their scores."""

    overall: Score
    cases: list[CaseResult]


STAGE = Stage(kind="prompt", name="evaluation", fills=("evaluation",), result=EvaluationResult)
