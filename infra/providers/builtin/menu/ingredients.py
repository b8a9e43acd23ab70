"""The ingredients rule: what a dish is typically made of."""

from infra.providers.builtin.menu.entries import Ingredient
from infra.providers.builtin.menu.question import UNKNOWN, Known, Question

# A recipe list is typical, not this kitchen's; what the name itself says is surer but seldom all there is.
TYPICAL = 0.85


def answer(question: Question) -> Known:
    """`[{"name", "original"}]`, the ingredients of the name first; in English and Japanese only.

    `original` is the Japanese word on a Japanese menu, otherwise null.
    """
    known, language = question.recognition, question.target.language
    if known.kind not in ("dish", "composed") or language not in ("en", "ja"):
        return UNKNOWN
    japanese = question.source is not None and question.source.language == "ja"
    listed = [
        {"name": name, "original": (item.japanese or None) if japanese else None}
        for item in (*known.named, *known.typical)
        if (name := named(item, language))
    ]
    return (listed, round(known.confidence * TYPICAL, 3)) if listed else UNKNOWN


def named(ingredient: Ingredient, language: str) -> str | None:
    """The ingredient in English ("en") or Japanese ("ja"); None when the lexicon has no word."""
    return ingredient.english if language == "en" else ingredient.japanese or None
