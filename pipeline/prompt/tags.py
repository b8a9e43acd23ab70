"""Stage `tags`: category, language and salient terms."""

from typing import Annotated

import msgspec

from pipeline.stages import Stage

Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class TagsResult(msgspec.Struct, frozen=True):
    """What the prompt is for, the BCP 47 tag of the language it is written in, and what it speaks of."""

    category: str | None
    language: str | None
    tags: Annotated[list[Tag], msgspec.Meta(max_length=32)]


STAGE = Stage(kind="prompt", name="tags", fills=("tags",), result=TagsResult)
