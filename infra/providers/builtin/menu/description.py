"""The description rule: a sentence or two, built only from what the lexicon knows about the dish."""

from infra.providers.builtin.menu.question import UNKNOWN, Known, Question
from infra.providers.builtin.menu.wording import listed

MOST_INGREDIENTS = 8
TYPICAL = 0.85


def answer(question: Question) -> Known:
    """English or Japanese prose; other languages are unknown."""
    known = question.recognition
    if known.kind not in ("dish", "composed"):
        return UNKNOWN
    text = {"en": _english, "ja": _japanese}.get(question.target.language, lambda _: None)(question)
    return (text, round(known.confidence * TYPICAL, 3)) if text else UNKNOWN


def _english(question: Question) -> str | None:
    known = question.recognition
    if not known.english or not (known.note or known.named or known.typical):
        return None
    sentences = [f"{known.english}: {known.note}." if known.note else f"{known.english}."]
    named = [item.english for item in known.named[:MOST_INGREDIENTS]]
    typical = [item.english for item in known.typical[:MOST_INGREDIENTS]]
    if named:
        sentences.append(f"Named on the menu: {listed(named)}.")
    if typical:
        sentences.append(f"Typically {'also ' if named else ''}made with {listed(typical)}.")
    return " ".join(sentences)


def _japanese(question: Question) -> str | None:
    known = question.recognition
    words = [item.japanese for item in (*known.named, *known.typical)[:MOST_INGREDIENTS] if item.japanese]
    if not words:
        return None
    category = question.lexicon.categories[known.category].names.get("ja") if known.category else None
    return f"{category or '料理'}。主な材料は{'、'.join(words)}です。"
