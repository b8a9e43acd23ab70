"""The shipped lexicon is whole, and a mistake in it is found where it stands."""

import pytest

from infra.providers.builtin.menu.lexicon import DISH_COLUMNS, Lexicon, _dish, _unique
from infra.providers.builtin.menu.spelling import fold
from infra.providers.builtin.menu.tables import LexiconError, parse


def test_it_knows_at_least_250_dishes_and_250_ingredients(lexicon: Lexicon) -> None:
    assert len(lexicon.dishes) >= 250
    assert len(lexicon.ingredients) >= 250


def test_it_knows_dishes_of_five_kitchens(lexicon: Lexicon) -> None:
    assert {dish.language for dish in lexicon.dishes} >= {"ja", "it", "fr", "es", "zh"}


def test_it_has_the_fourteen_allergens_of_the_eu_and_the_twenty_eight_of_japan(lexicon: Lexicon) -> None:
    lists = [allergen.lists for allergen in lexicon.allergens.values()]
    assert sum("jp8" in names for names in lists) == 8
    assert sum("jp20" in names for names in lists) == 20
    # Nuts and cereals stand as one group and as their kinds, so there are more rows than the fourteen.
    assert sum("eu14" in names for names in lists) >= 14


def test_every_dish_is_found_by_its_name_its_aliases_and_its_reading(lexicon: Lexicon) -> None:
    for dish in lexicon.dishes:
        for spelling in (dish.name, *dish.aliases, dish.reading):
            found = [meaning.entry for meaning in lexicon.meanings(fold(spelling))]
            assert dish in found or not fold(spelling), (dish.name, spelling)


def test_every_dish_has_an_english_name_and_typical_ingredients(lexicon: Lexicon) -> None:
    without = [dish.name for dish in lexicon.dishes if not dish.english or not dish.ingredients]
    assert without == []


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("ｻｰﾓﾝ", "サーモン"),
        ("さーもん", "サーモン"),
        ("Crème brûlée", "CREME BRULEE"),
        ("œufs", "oeufs"),
        ("天 ぷら・うどん", "天ぷらうどん"),
        ("ＰＩＺＺＡ　Margherita", "pizza-margherita"),
    ],
)
def test_different_spellings_of_a_name_are_one(written: str, same: str) -> None:
    assert fold(written) == fold(same)


def test_a_voiced_kana_is_not_taken_for_the_plain_one() -> None:
    assert fold("がき") != fold("かき")


HEADER = ",".join(DISH_COLUMNS)


@pytest.mark.parametrize(
    ("content", "line", "column", "problem"),
    [
        ("name,language\n", 1, "-", "header"),
        (f"{HEADER}\n天丼,ja,てんどん,,Tempura rice bowl,rice_bowl,shrimp\n", 2, "note", "7 cells"),
        (f"{HEADER}\n天丼,ja,てんどん,,,rice_bowl,shrimp,\n", 2, "english", "is empty"),
        (f"{HEADER}\n\n天丼,jp,てんどん,,Tempura,rice_bowl,shrimp,\n", 3, "language", "'jp' is not known"),
        (f"{HEADER}\n天丼,ja,てんどん,,Tempura,no_such_section,shrimp,\n", 2, "category", "no_such_section"),
        (f"{HEADER}\n天丼,ja,,,Tempura,rice_bowl,shrimp;unicorn,\n", 2, "ingredients", "'unicorn' is not a known key"),
        (f"{HEADER}\n天丼,ja,,,Tempura,rice_bowl,shrimp,\n天丼,ja,,,Other,rice_bowl,shrimp,\n", 3, "name", "twice"),
        (f'{HEADER}\n"天丼,ja\n', 2, "-", "unexpected end"),
    ],
)
def test_a_broken_row_is_reported_with_its_file_line_and_column(
    lexicon: Lexicon, content: str, line: int, column: str, problem: str
) -> None:
    rows = parse("dishes.csv", content, DISH_COLUMNS)
    dishes = (_dish(row, lexicon.categories, lexicon.ingredients) for row in rows)
    with pytest.raises(LexiconError) as caught:
        _unique("dishes.csv", "name", dishes)
    assert (caught.value.file, caught.value.line, caught.value.column) == ("dishes.csv", line, column)
    assert problem in caught.value.problem
    assert str(caught.value).startswith(f"dishes.csv, line {line}, column {column}: ")


def test_a_name_may_stand_twice_in_two_languages(lexicon: Lexicon) -> None:
    content = f"{HEADER}\n炒飯,ja,,,Fried rice,rice,rice,\n炒飯,zh,,,Fried rice,rice,rice,\n"
    rows = parse("dishes.csv", content, DISH_COLUMNS)
    dishes = _unique("dishes.csv", "name", (_dish(row, lexicon.categories, lexicon.ingredients) for row in rows))
    assert len(dishes) == 2
