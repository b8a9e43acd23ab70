"""Stage `embedding`: the prompt's vector and its nearest stored neighbours."""

from typing import Annotated

import msgspec

from pipeline.stages import Stage

# 4096 is the widest that today's hosted embedding models give.
Vector = Annotated[list[float], msgspec.Meta(min_length=1, max_length=4096)]


class SimilarPrompt(msgspec.Struct, frozen=True):
    """A stored prompt version near this one; `score` is the cosine of the two vectors."""

    prompt_id: str
    title: str
    version: int
    score: Annotated[float, msgspec.Meta(ge=-1, le=1)]


class EmbeddingResult(msgspec.Struct, frozen=True):
    """The vector, and the nearest stored prompts, nearest first."""

    vector: Vector
    similar: list[SimilarPrompt]


STAGE = Stage(kind="prompt", name="embedding", fills=("embedding",), result=EmbeddingResult)
