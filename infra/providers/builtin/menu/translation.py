"""The translation rule: a dish's name in the target language."""

from infra.providers.builtin.menu.question import UNKNOWN, Known, Question


def answer(question: Question) -> Known:
    """English from the lexicon, Japanese where it knows the Japanese words, a dish's own name in its own language.

    A menu that is already in the target language keeps its names as they are (confidence 1).
    """
    if question.source is not None and question.source.same(question.target):
        return question.dish.name, 1.0
    name = name_in(question, question.target.language)
    return (name, question.recognition.confidence) if name else UNKNOWN


def name_in(question: Question, language: str) -> str | None:
    """The recognised dish's name in a language, or None."""
    known = question.recognition
    if language == "en":
        return known.english
    if language == "ja":
        return known.japanese
    if known.dish is not None and known.dish.language == language:
        return known.dish.name
    return None
