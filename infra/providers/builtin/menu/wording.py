"""Wording: the pieces of a composed name, put into English or Japanese word order."""

from collections.abc import Sequence

from infra.providers.builtin.menu.composition import Piece, is_word
from infra.providers.builtin.menu.entries import Ingredient, KnownDish

# English participles that do not end in -ed, and other adjectives that menus use as a method or a style.
_ADJECTIVES = frozenset({"raw", "fresh", "hot", "cold", "iced", "spicy", "sweet", "half-boiled", "deep-frozen"})
_PREPOSITIONS = frozenset({"with", "in", "of", "from", "for", "on", "without", "over", "à", "au"})


def in_english(pieces: Sequence[Piece]) -> str:
    """An English name. What was not understood follows in brackets as it was written, so that it is not lost."""
    before: list[str] = []
    things: list[str] = []
    heads: list[str] = []
    after: list[str] = []
    brackets: list[str] = []
    has_form = any(_is_head(piece) for piece in pieces)
    for piece in pieces:
        entry = piece.entry
        if entry is None:
            brackets.extend([piece.quantity or piece.text] if piece.quantity or piece.weight else [])
        elif piece.link == "without":
            after.append(f"without {entry.english}")
        elif is_word(piece, "portion"):
            brackets.append(entry.english)
        elif isinstance(entry, Ingredient):
            if piece.link in ("with", "of") and (things or heads) and (piece.explicit or not has_form):
                after.append(f"{piece.link} {entry.english}")
            elif piece.link == "with" and piece.explicit:
                after.append(f"with {entry.english}")
            elif after and piece.link == "and" and not heads:
                after.append(f"and {entry.english}")
            else:
                things.append(entry.english)
        elif isinstance(entry, KnownDish) and piece.link == "with" and piece.explicit and heads:
            after.append(f"with {_lowered(entry.english)}")
        elif _is_head(piece):
            heads.append(entry.english)
        elif _goes_after(entry.english):
            after.append(entry.english)
        else:
            before.append(entry.english)
    things = [thing for thing in dict.fromkeys(things) if not any(thing == head for head in heads)]
    words = [*before, listed(things), _chained(pieces, heads), *_merged(after)]
    text = " ".join(word for word in words if word)
    if not text:
        return ""
    text += "".join(f" ({bracket})" for bracket in brackets)
    return text[0].upper() + text[1:]


def in_japanese(pieces: Sequence[Piece]) -> str | None:
    """A Japanese name for pieces of other languages, or None when one of the pieces has no Japanese word."""
    things: list[str] = []
    heads: list[str] = []
    for piece in pieces:
        if isinstance(piece.entry, Ingredient) and piece.entry.japanese and piece.link != "without":
            things.append(piece.entry.japanese)
        elif isinstance(piece.entry, KnownDish) and (name := japanese_name(piece.entry)):
            heads.append(name)
        else:
            return None
    return "の".join(part for part in ("と".join(dict.fromkeys(things)), "".join(heads)) if part) or None


def japanese_name(dish: KnownDish) -> str | None:
    """A dish's own name, or its first other name in kana."""
    if dish.language == "ja":
        return dish.name
    return next((alias for alias in dish.aliases if any("\u3041" <= char <= "\u30fa" for char in alias)), None)


def listed(things: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(things) < 2:
        return "".join(things)
    return f"{', '.join(things[:-1])} {last} {things[-1]}"


def _chained(pieces: Sequence[Piece], heads: Sequence[str]) -> str:
    """Heads in the order of an English name. Two dishes in one name are both served; a form follows what it forms."""
    unique = list(dict.fromkeys(heads))
    dishes = [
        piece.entry.english for piece in pieces if isinstance(piece.entry, KnownDish) and piece.entry.english in unique
    ]
    forms = [head for head in unique if head not in dishes]
    lowered = [_lowered(dish) for dish in dict.fromkeys(dishes)]
    spaced_first = bool(forms) and bool(pieces) and pieces[0].text.isascii()
    return " ".join([listed(lowered), *(reversed(forms) if spaced_first else forms)]).strip()


def _merged(after: Sequence[str]) -> list[str]:
    """`with a`, `with b` as `with a and b`."""
    merged: list[str] = []
    for phrase in after:
        preposition, _, thing = phrase.partition(" ")
        previous = next((index for index, other in enumerate(merged) if other.startswith(f"{preposition} ")), None)
        if previous is not None and preposition in ("with", "without"):
            merged[previous] += f" and {thing}"
        else:
            merged.append(phrase)
    return merged


def _is_head(piece: Piece) -> bool:
    """Whether the English word stands last and is a thing of its own: a dish, a form, a method that is a noun."""
    if isinstance(piece.entry, KnownDish) or is_word(piece, "form", "course"):
        return True
    return is_word(piece, "method") and not _is_adjective(piece.entry.english)  # type: ignore[union-attr]


def _is_adjective(english: str) -> bool:
    first = english.split(" ")[0]
    return first.endswith("ed") or english in _ADJECTIVES or first in _PREPOSITIONS or english.endswith("-style")


def _goes_after(english: str) -> bool:
    """Whether a phrase follows its noun: "cooked in garlic oil" follows its noun, "grilled" stands before it."""
    words = english.split(" ")
    return words[0] in _PREPOSITIONS or (len(words) > 1 and words[0].endswith("ed"))


def _lowered(english: str) -> str:
    """A dish's English name inside another name: lower case, unless its first word is a name of its own."""
    first = english.split(" ")[0]
    proper = first.endswith(("ese", "ish", "ian", "ench")) or first in _PROPER or first[1:] != first[1:].lower()
    return english if proper else english[0].lower() + english[1:]


_PROPER = frozenset({"Margherita", "Caesar", "Peking", "Neapolitan", "Korean", "Okinawan", "Hokkaido", "Kyoto"})
