"""The menu's category stage: the section of the menu that a dish stands in, in both languages."""

import msgspec

from pipeline.stages import Stage


class CategoryResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`category` in the menu's language, `category_translation` in the target language; None where it is not known."""

    category: str | None
    category_translation: str | None


STAGE = Stage(
    kind="menu",
    name="category",
    fills=("category", "category_translation"),
    result=CategoryResult,
)
