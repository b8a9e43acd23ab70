"""The culinary lexicon: what the CSV files say, and which entries a spelling may mean."""

from collections.abc import Iterable, Iterator
from typing import TypeVar, cast, get_args

import msgspec

from infra.providers.builtin.menu.entries import Allergen, Category, Ingredient, KnownDish, Role, Word
from infra.providers.builtin.menu.spelling import cut, fold
from infra.providers.builtin.menu.tables import Row, read

T = TypeVar("T")
Entry = KnownDish | Ingredient | Word

ALLERGEN_COLUMNS = ("code", "english", "japanese", "eu14", "jp")
CATEGORY_COLUMNS = ("key", "english", "japanese", "italian", "french", "spanish", "chinese", "aliases")
CATEGORY_LANGUAGES = dict(zip(CATEGORY_COLUMNS[1:-1], ("en", "ja", "it", "fr", "es", "zh"), strict=True))
INGREDIENT_COLUMNS = ("key", "english", "japanese", "reading", "aliases", "allergens", "may_contain")
DISH_COLUMNS = ("name", "language", "reading", "aliases", "english", "category", "ingredients", "note")
WORD_COLUMNS = ("word", "language", "role", "english", "category", "ingredients", "aliases")
LANGUAGES = ("ja", "it", "fr", "es", "zh", "en", "de", "ko")


class Spelling(msgspec.Struct, frozen=True):
    """One meaning of a spelling. `certainty` is 0..1: a dish's own name is surer than another name for it, and that
    is surer than its reading or its English name, which other dishes may share."""

    entry: Entry
    certainty: float


NAME, ALIAS, READING, ENGLISH = 1.0, 0.95, 0.85, 0.9
# かき is an oyster or a persimmon: what two ingredients share is much less sure for each.
SHARED = 0.7


class Lexicon:
    """The loaded lexicon. Never changes after `load`, so every thread and task may share it."""

    def __init__(
        self,
        allergens: dict[str, Allergen],
        categories: dict[str, Category],
        ingredients: dict[str, Ingredient],
        dishes: tuple[KnownDish, ...],
        words: tuple[Word, ...],
    ) -> None:
        self.allergens, self.categories, self.ingredients = allergens, categories, ingredients
        self.dishes, self.words = dishes, words
        collected: dict[str, list[Spelling]] = {}
        for entry, spelling, certainty in self._spelled():
            meanings = collected.setdefault(fold(spelling), [])
            if all(meaning.entry is not entry for meaning in meanings):
                meanings.append(Spelling(entry, certainty))
        collected.pop("", None)
        self._spellings = {key: _weighed(meanings) for key, meanings in collected.items()}
        self._section: dict[str, str] = {}
        for category in categories.values():
            for name in (*category.names.values(), *category.aliases):
                self._section.setdefault(fold(name), category.key)
        self.longest = max((len(cut(key)) for key in self._spellings), default=0)

    @classmethod
    def load(cls) -> "Lexicon":
        """Read and check the shipped files. Raises LexiconError naming file, line and column of the first mistake."""
        allergens = _unique("allergens.csv", "code", map(_allergen, read("allergens.csv", ALLERGEN_COLUMNS)))
        categories = _unique("categories.csv", "key", map(_category, read("categories.csv", CATEGORY_COLUMNS)))
        ingredients = _unique(
            "ingredients.csv",
            "key",
            (_ingredient(row, allergens) for row in read("ingredients.csv", INGREDIENT_COLUMNS)),
        )
        dishes = _unique(
            "dishes.csv", "name", (_dish(row, categories, ingredients) for row in read("dishes.csv", DISH_COLUMNS))
        )
        words = _unique(
            "words.csv", "word", (_word(row, categories, ingredients) for row in read("words.csv", WORD_COLUMNS))
        )
        return cls(allergens, categories, ingredients, tuple(dishes.values()), tuple(words.values()))

    def meanings(self, key: str) -> tuple[Spelling, ...]:
        """What a folded spelling may mean: dishes first, then ingredients, then words, surest first; () if unknown."""
        return self._spellings.get(key, ())

    def section(self, heading: str) -> Category | None:
        """The category that a menu's heading names, in any of the categories' languages."""
        key = self._section.get(fold(heading))
        return self.categories[key] if key else None

    def _spelled(self) -> Iterator[tuple[Entry, str, float]]:
        """Every spelling of every entry, the surest kind of each room first."""
        for dish in self.dishes:
            yield dish, dish.name, NAME
        for dish in self.dishes:
            yield from ((dish, alias, ALIAS) for alias in dish.aliases)
        for dish in self.dishes:
            yield dish, dish.reading, READING
            yield dish, dish.english, ENGLISH
        for ingredient in self.ingredients.values():
            yield from ((ingredient, name, NAME) for name in (ingredient.japanese, ingredient.english))
        for ingredient in self.ingredients.values():
            yield from ((ingredient, alias, ALIAS) for alias in ingredient.aliases)
            yield ingredient, ingredient.reading, READING
        for word in self.words:
            yield word, word.word, NAME
            yield from ((word, alias, ALIAS) for alias in word.aliases)
        for word in self.words:
            yield word, word.english, ENGLISH


def _weighed(meanings: list[Spelling]) -> tuple[Spelling, ...]:
    if sum(isinstance(meaning.entry, Ingredient) for meaning in meanings) < 2:
        return tuple(meanings)
    return tuple(
        Spelling(meaning.entry, meaning.certainty * SHARED) if isinstance(meaning.entry, Ingredient) else meaning
        for meaning in meanings
    )


def _allergen(row: Row) -> tuple[Row, str, Allergen]:
    code = row.required("code")
    japan = row.one_of("jp", ("", "8", "20"))
    lists: tuple[str, ...] = ("eu14",) if row.one_of("eu14", ("yes", "no")) == "yes" else ()
    lists += (f"jp{japan}",) if japan else ()
    return row, code, Allergen(code, row.required("english"), row.required("japanese"), lists)


def _category(row: Row) -> tuple[Row, str, Category]:
    names = {language: row.text(column) for column, language in CATEGORY_LANGUAGES.items() if row.text(column)}
    row.required("english")
    return row, row.required("key"), Category(row.text("key"), names, row.several("aliases"))


def _ingredient(row: Row, allergens: dict[str, Allergen]) -> tuple[Row, str, Ingredient]:
    key = row.required("key")
    contains, may_contain = row.keys("allergens", allergens), row.keys("may_contain", allergens)
    return row, key, Ingredient(
        key, row.required("english"), row.text("japanese"), row.text("reading"), row.several("aliases"), contains,
        may_contain,
    )  # fmt: skip


def _dish(row: Row, categories: dict[str, Category], ingredients: dict[str, Ingredient]) -> tuple[Row, str, KnownDish]:
    name, language = row.required("name"), row.one_of("language", LANGUAGES)
    dish = KnownDish(
        name, language, row.text("reading"), row.several("aliases"), row.required("english"),
        row.one_of("category", categories), row.keys("ingredients", ingredients), row.text("note"),
    )  # fmt: skip
    # The same characters may be a dish of two kitchens (炒飯), so a name need only be unique in its language.
    return row, f"{language} {fold(name)}", dish


def _word(row: Row, categories: dict[str, Category], ingredients: dict[str, Ingredient]) -> tuple[Row, str, Word]:
    word, language = row.required("word"), row.one_of("language", LANGUAGES)
    role = cast(Role, row.one_of("role", get_args(Role)))
    category = row.one_of("category", ("", *categories)) or None
    entry = Word(
        word, language, role, row.required("english"), category, row.keys("ingredients", ingredients),
        row.several("aliases"),
    )  # fmt: skip
    return row, f"{language} {fold(word)}", entry


def _unique(file: str, column: str, entries: Iterable[tuple[Row, str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for row, key, entry in entries:
        if key in found:
            raise row.error(column, f"{row.text(column)!r} stands twice in {file}")
        found[key] = entry
    return found
