"""Names that are known, names that are put together, and names that stay unknown."""

import pytest

from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.recognition import Recognition, recognise


@pytest.mark.parametrize(
    ("name", "language", "english"),
    [
        ("親子丼", "ja", "Chicken and egg rice bowl"),
        ("おやこどん", "ja", "Chicken and egg rice bowl"),
        ("Pizza Margherita", "it", "Margherita pizza"),
        ("PIZZA MARGHERITA", None, "Margherita pizza"),
        ("Soupe a l'oignon", "fr", "French onion soup"),
    ],
)
def test_a_known_dish_is_recognised_however_it_is_spelled(
    lexicon: Lexicon, name: str, language: str | None, english: str
) -> None:
    known = recognise(name, lexicon, language)
    assert (known.kind, known.english) == ("dish", english)
    assert known.confidence > 0.75


@pytest.mark.parametrize(
    ("name", "language", "english"),
    [
        ("サーモンアボカド丼", "ja", "Salmon and avocado rice bowl"),
        ("サーモンとアボカドの丼", "ja", "Salmon and avocado rice bowl"),
        ("鶏のトマト煮", "ja", "Simmered chicken and tomato"),
        ("豚の塩焼き", "ja", "Salt-grilled pork"),
        ("Insalata di pollo", "it", "Chicken salad"),
        ("Spaghetti con gamberi", "it", "Spaghetti with shrimp"),
        ("Pollo alla griglia con aglio", "it", "Grilled chicken with garlic"),
        ("Gambas a la plancha", "es", "Griddled shrimp"),
        ("Soupe de poulet", "fr", "Chicken soup"),
        ("tomatoes salad", "en", "Tomato salad"),
    ],
)
def test_an_unknown_name_is_put_together_from_known_pieces(
    lexicon: Lexicon, name: str, language: str, english: str
) -> None:
    known = recognise(name, lexicon, language)
    assert (known.kind, known.english) == ("composed", english)
    assert 0 < known.confidence <= 0.75


def test_a_form_brings_its_category_and_its_typical_ingredients(lexicon: Lexicon) -> None:
    known = recognise("サーモンアボカド丼", lexicon, "ja")
    assert known.category == "rice_bowl"
    assert [item.key for item in known.named] == ["salmon", "avocado"]
    assert [item.key for item in known.typical] == ["rice"]


def test_words_of_praise_and_size_leave_a_dish_what_it_is(lexicon: Lexicon) -> None:
    known = recognise("特製親子丼（大盛り）", lexicon, "ja")
    assert known.kind == "dish"
    assert known.english == "House special chicken and egg rice bowl (large portion)"
    assert known.confidence < recognise("親子丼", lexicon, "ja").confidence


def test_what_is_not_understood_is_kept_in_brackets_and_lowers_the_confidence(lexicon: Lexicon) -> None:
    whole, partly = recognise("サーモン丼", lexicon, "ja"), recognise("サーモンゲゲゲ丼", lexicon, "ja")
    assert partly.english == "Salmon rice bowl (ゲゲゲ)"
    assert 0 < partly.confidence < whole.confidence


def test_what_comes_with_a_dish_is_told(lexicon: Lexicon) -> None:
    assert recognise("カツ丼（味噌汁付き）", lexicon, "ja").english == "Pork cutlet rice bowl with miso soup"


def test_a_remark_in_brackets_that_is_not_understood_only_lowers_the_confidence(lexicon: Lexicon) -> None:
    known = recognise("親子丼（ゲゲゲゲゲゲゲゲゲ）", lexicon, "ja")
    assert known.kind == "dish"
    assert known.confidence < 0.8


def test_a_count_is_kept(lexicon: Lexicon) -> None:
    assert recognise("サーモン寿司 3貫", lexicon, "ja").english == "Salmon sushi (3 pieces)"


def test_a_name_of_which_too_little_is_understood_is_not_translated(lexicon: Lexicon) -> None:
    known = recognise("ゲゲゲゲゲゲゲゲサラダ", lexicon, "ja")
    assert known.english is None


def test_what_the_menu_leaves_out_is_not_named_as_an_ingredient(lexicon: Lexicon) -> None:
    known = recognise("卵抜きサーモン丼", lexicon, "ja")
    assert [item.key for item in known.named] == ["salmon"]
    assert known.english == "Salmon rice bowl without egg"


@pytest.mark.parametrize("name", ["xyzzy blorf", "ゲゲゲゲ", "ゲゲイカゲゲ", "", "!!!", "12345", "特製", "大盛り", "x"])
def test_nothing_recognised_is_unknown_with_confidence_0(lexicon: Lexicon, name: str) -> None:
    assert recognise(name, lexicon, "ja") == Recognition("unknown", 0.0)


def test_a_short_kana_word_inside_a_longer_unknown_one_is_not_believed(lexicon: Lexicon) -> None:
    # イカ is squid, but the word goes on.
    assert recognise("ゲゲゲイカゲ", lexicon, "ja").named == ()


def test_longer_matches_win_over_the_words_inside_them(lexicon: Lexicon) -> None:
    # いくら (salmon roe) is not いか or くら, 塩焼き is not 塩 and 焼き.
    assert [item.key for item in recognise("いくら丼特盛り", lexicon, "ja").named] in (["salmon_roe"], [])
    assert recognise("サーモンの塩焼き", lexicon, "ja").english == "Salt-grilled salmon"


@pytest.mark.parametrize(
    ("heading", "english"),
    [
        ("丼物", "Rice bowls"),
        ("お飲み物", "Drinks"),
        ("Primi", "First courses"),
        ("PLATOS", "Main courses"),
        ("お造り", "Sashimi"),
        ("凉菜", "Appetizers"),
    ],
)
def test_a_heading_is_understood_in_the_forms_that_menus_use(lexicon: Lexicon, heading: str, english: str) -> None:
    section = lexicon.section(heading)

    assert section is not None
    assert section.names["en"] == english
