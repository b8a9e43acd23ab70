"""The category rule: the menu section of a dish, in the menu's language and in the target language."""

from infra.providers.builtin.menu.entries import Category
from infra.providers.builtin.menu.question import UNKNOWN, Known, Question, Tongue
from infra.providers.builtin.menu.recognition import recognise


def answer(question: Question) -> Known:
    """`{"category", "category_translation"}`; a heading that came with the dish is kept as it is and translated.

    A section found by the dish's name is surer than its confidence in the name's words, never than 0.9.
    """
    heading = (question.dish.category or "").strip()
    if heading:
        return _headed(heading, question)
    known = question.recognition
    if known.category is None:
        return UNKNOWN
    category = question.lexicon.categories[known.category]
    source, target = _named(category, question.source), _named(category, question.target)
    if source is None and target is None:
        return UNKNOWN
    return {"category": source, "category_translation": target}, round(min(known.confidence, 0.9), 3)


def _headed(heading: str, question: Question) -> Known:
    if question.source is not None and question.source.same(question.target):
        return {"category": heading, "category_translation": heading}, 1.0
    category = question.lexicon.section(heading)
    if category is not None:
        return {"category": heading, "category_translation": _named(category, question.target)}, 0.95
    known = recognise(heading, question.lexicon, question.source.language if question.source else None)
    if known.english and question.target.language == "en":
        return {"category": heading, "category_translation": known.english}, known.confidence
    # The heading itself is certain, because it was given; only its translation is not known.
    return {"category": heading, "category_translation": None}, 0.5


def _named(category: Category, tongue: Tongue | None) -> str | None:
    return category.names.get(tongue.language) if tongue else None
