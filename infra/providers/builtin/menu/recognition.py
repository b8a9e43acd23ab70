"""Recognition: what a submitted dish name is taken to mean, and how sure that is. All eight stages start from it."""

import re
import unicodedata
from typing import Literal

import msgspec

from infra.providers.builtin.menu.composition import Piece, choose, compose, is_word
from infra.providers.builtin.menu.entries import Ingredient, KnownDish, Word
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.spelling import fold
from infra.providers.builtin.menu.wording import in_english, in_japanese, japanese_name

# Below this share of explained characters the unknown part is as likely to be the dish as the known one: "X のサラダ"
# of which only サラダ is understood may be anything. Above it what is missing is a modifier, which is kept in brackets.
ENOUGH = 0.6
WHOLE, COMPOSED = 0.95, 0.75
WITHOUT_REMARKS = 0.8

_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|【[^【】]*】|〔[^〔〕]*〕|〈[^〈〉]*〉")


class Recognition(msgspec.Struct, frozen=True):
    """What is known about a name.

    `kind`: "dish" (known as a whole), "composed" (put together from known pieces), "partial" (too little is understood
    to name it, but ingredients are), "unknown". `named` ingredients stand in the name itself; `typical` ones are what
    such a dish is usually made of. `confidence` is 0..1, 0 only for "unknown".
    """

    kind: Literal["dish", "composed", "partial", "unknown"]
    confidence: float = 0.0
    language: str | None = None
    english: str | None = None
    japanese: str | None = None
    category: str | None = None
    named: tuple[Ingredient, ...] = ()
    typical: tuple[Ingredient, ...] = ()
    note: str = ""
    dish: KnownDish | None = None


UNRECOGNISED = Recognition("unknown")


def recognise(name: str, lexicon: Lexicon, language: str | None) -> Recognition:
    """Take a name as a dish of the lexicon, else as a composition of known pieces, else as unknown.

    `language` is the language subtag of the menu, which decides between names that two kitchens share.
    """
    plain = unicodedata.normalize("NFKC", name)
    known = _read(plain, lexicon, language)
    without_remarks = _BRACKETED.sub(" ", plain)
    if known.kind in ("dish", "composed") or without_remarks == plain:
        return known
    # What is not understood in brackets is mostly a remark (本日のおすすめ), not what the dish is.
    main = _read(without_remarks, lexicon, language)
    if main.kind not in ("dish", "composed"):
        return known
    return msgspec.structs.replace(main, confidence=round(main.confidence * WITHOUT_REMARKS, 3))


def _read(name: str, lexicon: Lexicon, language: str | None) -> Recognition:
    meanings = lexicon.meanings(fold(name))
    if not meanings:
        return _composed(compose(name, lexicon, language), lexicon, language)
    meaning = choose(meanings, language, whole=True)
    if isinstance(meaning.entry, KnownDish):
        return _dish(meaning.entry, lexicon, WHOLE * meaning.certainty)
    return _composed((Piece(name, 1, meaning.entry, None, meaning.certainty),), lexicon)


def _dish(dish: KnownDish, lexicon: Lexicon, confidence: float, english: str | None = None) -> Recognition:
    return Recognition(
        "dish",
        round(confidence, 3),
        dish.language,
        english or dish.english,
        japanese_name(dish) if english is None else None,
        dish.category,
        (),
        tuple(lexicon.ingredients[key] for key in dish.ingredients),
        dish.note,
        dish if english is None else None,
    )


def _composed(pieces: tuple[Piece, ...], lexicon: Lexicon, language: str | None = None) -> Recognition:
    total = sum(piece.weight for piece in pieces)
    known = [piece for piece in pieces if piece.entry is not None]
    # "Special", "large" or "grilled" alone is no dish: something must be named that can be served.
    content = [piece for piece in known if not is_word(piece, "style", "portion", "flavour", "method", "course")]
    if not total or not content:
        return UNRECOGNISED
    share = sum(piece.weight for piece in known) / total
    share *= min(piece.certainty for piece in known)
    wanted = [piece.entry for piece in known if isinstance(piece.entry, Ingredient) and piece.link != "without"]
    named = tuple({item.key: item for item in wanted}.values())
    typical = [item for item in _typical(known, lexicon) if item not in named]
    if share < ENOUGH:
        return Recognition("partial", round(0.5 * share, 3), language, named=named) if named else UNRECOGNISED
    if dish := _dressed(pieces, known, lexicon, language):
        return _dish(dish, lexicon, WHOLE * 0.9 * share, in_english(_as_dish(pieces, dish)))
    return Recognition(
        "composed",
        round(COMPOSED * share, 3),
        next((piece.entry.language for piece in known if isinstance(piece.entry, KnownDish | Word)), None),
        in_english(pieces),
        in_japanese(pieces),
        _category(known),
        named,
        tuple(typical),
    )


def _dressed(pieces: tuple[Piece, ...], known: list[Piece], lexicon: Lexicon, language: str | None) -> KnownDish | None:
    """The known dish that a name is, apart from words that only praise it or measure it (特製親子丼 大盛り)."""
    if any(piece.entry is None and piece.weight for piece in pieces):
        return None
    content = [piece for piece in known if not is_word(piece, "style", "portion")]
    if len(content) != 1:
        return None
    meanings = lexicon.meanings(fold(content[0].text))
    entry = choose(meanings, language, whole=True).entry if meanings else None
    return entry if isinstance(entry, KnownDish) else None


def _as_dish(pieces: tuple[Piece, ...], dish: KnownDish) -> tuple[Piece, ...]:
    return tuple(
        piece
        if piece.entry is None or is_word(piece, "style", "portion")
        else msgspec.structs.replace(piece, entry=dish)
        for piece in pieces
    )


def _typical(known: list[Piece], lexicon: Lexicon) -> tuple[Ingredient, ...]:
    keys = [key for piece in known if isinstance(piece.entry, KnownDish | Word) for key in piece.entry.ingredients]
    return tuple(lexicon.ingredients[key] for key in dict.fromkeys(keys))


def _category(known: list[Piece]) -> str | None:
    """A form says most about where a dish stands on a menu (last one first: 天ぷらうどん is udon), then a dish, then
    how it is cooked."""
    for roles in (("form", "course"), (), ("method", "style", "flavour")):
        for piece in reversed(known):
            entry = piece.entry
            if isinstance(entry, KnownDish) if not roles else isinstance(entry, Word) and entry.role in roles:
                category = entry.category if isinstance(entry, KnownDish | Word) else None
                if category:
                    return category
    return None
