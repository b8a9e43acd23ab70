"""The menu's ingredients stage: what a dish is typically made of."""

import msgspec

from pipeline.stages import Stage


class IngredientResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ingredient in the target language, and as the menu's language calls it where that is known."""

    name: str
    original: str | None = None


STAGE = Stage(
    kind="menu",
    name="ingredients",
    fills=("ingredient",),
    result=list[IngredientResult],
)
