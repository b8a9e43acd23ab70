"""The allergens rule: what a dish contains or may contain. It never says that an allergen is absent.

A known dish contains the allergens of its typical ingredients. In a composed name only what the name itself says is
certain; what such a dish usually has besides "may" be there. All other allergens are unknown, also when the list is
empty, and the note says so.
"""

from infra.providers.builtin.menu.entries import Ingredient
from infra.providers.builtin.menu.question import UNKNOWN, Known, Question

NOTE = {
    "en": "Recipes differ from kitchen to kitchen: ask the kitchen. "
    "An allergen that is not listed is unknown, not absent.",
    "ja": "レシピは店によって異なります。必ずお店にご確認ください。"
    "記載のないアレルゲンは不明であり、「含まない」という意味ではありません。",
}
# A lexicon's recipe is never this kitchen's, so no allergen answer is surer than this.
MOST = 0.8


def answer(question: Question) -> Known:
    """`{"allergens": [{"code", "label", "status", "lists", "because"}], "note"}`, in the lexicon's order.

    Labels are Japanese for a Japanese target and English for every other: a warning in a foreign language is better
    than none. Unknown when no ingredient is known.
    """
    known = question.recognition
    certain = {"dish": known.typical, "composed": known.named}.get(known.kind, ())
    uncertain = {"composed": known.typical, "partial": known.named}.get(known.kind, ())
    if not certain and not uncertain:
        return UNKNOWN
    language = "ja" if question.target.language == "ja" else "en"
    contains: dict[str, list[str]] = {}
    may_contain: dict[str, list[str]] = {}
    for ingredient in certain:
        _collect(contains, ingredient.allergens, ingredient, language)
        _collect(may_contain, ingredient.may_contain, ingredient, language)
    for ingredient in uncertain:
        _collect(may_contain, (*ingredient.allergens, *ingredient.may_contain), ingredient, language)
    listed = [
        {
            "code": code,
            "label": allergen.japanese if language == "ja" else allergen.english,
            "status": "contains" if code in contains else "may_contain",
            "lists": list(allergen.lists),
            "because": contains.get(code) or may_contain[code],
        }
        for code, allergen in question.lexicon.allergens.items()
        if code in contains or code in may_contain
    ]
    return {"allergens": listed, "note": NOTE[language]}, round(min(known.confidence, MOST), 3)


def _collect(into: dict[str, list[str]], codes: tuple[str, ...], ingredient: Ingredient, language: str) -> None:
    name = ingredient.japanese if language == "ja" and ingredient.japanese else ingredient.english
    for code in codes:
        because = into.setdefault(code, [])
        if name not in because:
            because.append(name)
