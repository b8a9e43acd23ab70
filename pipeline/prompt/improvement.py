"""Stage `improvement`: a proposed next version, which the runner stores as a child version."""

from typing import Annotated

import msgspec

from pipeline.stages import Stage


class ImprovementResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The proposed text and the parts that it adds; `child_id` is the stored child version, filled in by the runner."""

    content: Annotated[str, msgspec.Meta(min_length=1)]
    added: list[str]
    child_id: str | None = None


STAGE = Stage(kind="prompt", name="improvement", fills=("improvement",), result=ImprovementResult)
