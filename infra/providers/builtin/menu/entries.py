"""What one row of each lexicon file means, as the rules see it."""

from typing import Literal

import msgspec

Role = Literal["method", "form", "style", "flavour", "portion", "course"]


class Allergen(msgspec.Struct, frozen=True):
    """An allergen with the lists that name it: the EU's 14, and Japan's 8 required or 20 recommended ones."""

    code: str
    english: str
    japanese: str
    lists: tuple[str, ...]


class Category(msgspec.Struct, frozen=True):
    """A section of a menu; `names` by language subtag ("en", "ja", "it", "fr", "es", "zh").

    `aliases` are other headings for the same section, in any language.
    """

    key: str
    names: dict[str, str]
    aliases: tuple[str, ...] = ()


class Ingredient(msgspec.Struct, frozen=True):
    """Something that dishes are made of. `allergens` and `may_contain` are allergen codes."""

    key: str
    english: str
    japanese: str
    reading: str
    aliases: tuple[str, ...]
    allergens: tuple[str, ...]
    may_contain: tuple[str, ...]


class KnownDish(msgspec.Struct, frozen=True):
    """A dish that is known by its whole name. `ingredients` are keys of what it is typically made of, the chief ones
    first; `note` is a short English phrase of how it is made or served."""

    name: str
    language: str
    reading: str
    aliases: tuple[str, ...]
    english: str
    category: str
    ingredients: tuple[str, ...]
    note: str


class Word(msgspec.Struct, frozen=True):
    """A word that menus put dish names together with, for example a method (焼き) or a form (丼)."""

    word: str
    language: str
    role: Role
    english: str
    category: str | None
    ingredients: tuple[str, ...]
    aliases: tuple[str, ...]
