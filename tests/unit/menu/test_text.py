"""A menu as text becomes dishes with prices under their headings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.menu.text import parse_menu_text


def _rows(text: str) -> list[tuple[str, str | None, str | None]]:
    return [(line.name, line.price, line.category) for line in parse_menu_text(text)]


@pytest.mark.parametrize(
    ("line", "name", "price"),
    [
        ("親子丼 ¥980", "親子丼", "¥980"),
        ("親子丼　９８０円", "親子丼", "980円"),
        ("親子丼980円", "親子丼", "980円"),
        ("親子丼 980", "親子丼", "980"),
        ("親子丼......980", "親子丼", "980"),
        ("親子丼・・・・980円(税込)", "親子丼", "980円(税込)"),
        ("親子丼 980円(税込1,078円)", "親子丼", "980円(税込1,078円)"),
        ("親子丼 八百円", "親子丼", "八百円"),
        ("カレー 税込880円", "カレー", "税込880円"),
        ("海鮮丼 時価", "海鮮丼", "時価"),
        ("Lobster - market price", "Lobster", "market price"),
        ("Bruschetta ....... € 6,50", "Bruschetta", "€ 6,50"),
        ("Lasagne — 11.00 €", "Lasagne", "11.00 €"),
        ("Carbonara\t12.50", "Carbonara", "12.50"),
        ("Rösti: CHF 8.50", "Rösti", "CHF 8.50"),
        ("Steak 12.- CHF", "Steak", "12.- CHF"),
        ("Burger $9.95", "Burger", "$9.95"),
        ("$9.95 Burger", "Burger", "$9.95"),
        ("¥980 親子丼", "親子丼", "¥980"),
        ("生ビール ¥500~", "生ビール", "¥500~"),
        ("寿司 ¥1,200-1,800", "寿司", "¥1,200-1,800"),
        ("グラスワイン 600円/ボトル 3,200円", "グラスワイン", "600円/ボトル 3,200円"),
        ("うな重 上 3,500円 特上 4,500円", "うな重 上", "3,500円 特上 4,500円"),
        ("餃子(6個)450円", "餃子(6個)", "450円"),
        ("100%ジュース 300円", "100%ジュース", "300円"),
        ("手羽先5本 600円", "手羽先5本", "600円"),
        ("7 Up 2.50", "7 Up", "2.50"),
        ("- 親子丼 ¥980", "親子丼", "¥980"),
        ("・親子丼 ¥980", "親子丼", "¥980"),
        ("1. 親子丼 ¥980", "親子丼", "¥980"),
        ("２．親子丼 ¥980", "親子丼", "¥980"),
        ("③ 親子丼 ¥980", "親子丼", "¥980"),
        ("■ランチセット 1,000円", "ランチセット", "1,000円"),
        ("【特選】うなぎ重 3,000円", "【特選】うなぎ重", "3,000円"),
    ],
)
def test_a_line_is_a_name_and_a_price(line: str, name: str, price: str) -> None:
    assert _rows(line) == [(name, price, None)]


@pytest.mark.parametrize(
    "line", ["Barolo 2018", "Menu 2", "Lunch 11:30-14:00", "03-1234-5678", "Pommes (gross)", "親子丼"]
)
def test_a_line_without_a_price_stays_whole(line: str) -> None:
    assert _rows(line) == [(line, None, None)]


@pytest.mark.parametrize(
    "heading",
    [
        "# 丼物",
        "## 丼物 ##",
        "■丼物",
        "◆ 丼物 ◆",
        "【丼物】",
        "《丼物》",
        "[丼物]",
        "== 丼物 ==",
        "-- 丼物 --",
        "丼物:",
        "丼物：",
        "丼物",
    ],
)
def test_a_heading_becomes_the_category_of_what_follows(heading: str) -> None:
    assert _rows(f"{heading}\n親子丼 ¥980\n天丼 ¥1,100") == [("親子丼", "¥980", "丼物"), ("天丼", "¥1,100", "丼物")]


def test_a_heading_holds_until_the_next_one() -> None:
    text = "Antipasti\nBruschetta 6,50\n\nPrimi\nCarbonara 12,00\nLasagne 11,00"
    assert _rows(text) == [
        ("Bruschetta", "6,50", "Antipasti"), ("Carbonara", "12,00", "Primi"), ("Lasagne", "11,00", "Primi")
    ]  # fmt: skip


def test_the_title_above_the_first_heading_is_left_out() -> None:
    assert _rows("TRATTORIA\n\nAntipasti\nBruschetta 6,50") == [("Bruschetta", "6,50", "Antipasti")]


def test_a_line_that_tells_what_is_in_a_dish_is_neither_dish_nor_heading() -> None:
    text = "Primi\nCarbonara 12.50\nguanciale, egg, pecorino\nLasagne 11.00"
    assert _rows(text) == [("Carbonara", "12.50", "Primi"), ("Lasagne", "11.00", "Primi")]


def test_a_price_below_its_name_belongs_to_it() -> None:
    assert _rows("親子丼\n980円\n天丼\n1,100円") == [("親子丼", "980円", None), ("天丼", "1,100円", None)]


def test_without_any_price_every_line_is_a_dish_unless_it_is_marked() -> None:
    assert _rows("親子丼\n\nカツ丼") == [("親子丼", None, None), ("カツ丼", None, None)]
    assert _rows("# Soups\nMiso soup\nDesserts:\nIce") == [("Miso soup", None, "Soups"), ("Ice", None, "Desserts")]


def test_where_headings_are_marked_a_line_without_a_price_is_a_dish() -> None:
    assert _rows("■丼物\n親子丼\n天丼 ¥980") == [("親子丼", None, "丼物"), ("天丼", "¥980", "丼物")]


def test_where_blank_lines_separate_a_heading_follows_one() -> None:
    assert _rows("Wine\nRed 12\nWater\nWhite 14\n\nBeer\nLager 5") == [
        ("Red", "12", "Wine"), ("Water", None, "Wine"), ("White", "14", "Wine"), ("Lager", "5", "Beer")
    ]  # fmt: skip


def test_a_lone_digit_is_a_price_among_other_plain_prices() -> None:
    assert _rows("Red 5\nWhite 5.50") == [("Red", "5", None), ("White", "5.50", None)]


def test_lines_of_ornaments_and_an_empty_text_give_nothing() -> None:
    assert _rows("") == []
    assert _rows(" \n\n-----\n＊＊＊\n====") == []


def test_windows_and_old_line_ends_are_line_ends() -> None:
    assert _rows("親子丼 ¥980\r\n天丼 ¥990\r麦茶 ¥100") == _rows("親子丼 ¥980\n天丼 ¥990\n麦茶 ¥100")


@given(st.text())
def test_any_text_gives_named_lines_and_the_same_ones_again(text: str) -> None:
    lines = parse_menu_text(text)
    assert all(line.name.strip() for line in lines)
    assert all(line.price is None or line.price.strip() for line in lines)
    assert lines == parse_menu_text(text)


@given(st.lists(st.sampled_from(["親子丼", "天丼", "Pizza Margherita", "Menu 2"]), min_size=1), st.integers(10, 99999))
def test_every_priced_line_comes_back(names: list[str], price: int) -> None:
    lines = parse_menu_text("\n".join(f"{name} ¥{price}" for name in names))
    assert [(line.name, line.price) for line in lines] == [(name, f"¥{price}") for name in names]


@pytest.mark.parametrize("line", ["." * 200_000, " ." * 100_000 + "x", "1," * 100_000, "- " * 100_000, "#" * 200_000])
@pytest.mark.timeout(30)  # measured: milliseconds; quadratic time on such a line would take minutes
def test_a_hostile_line_comes_to_an_end(line: str) -> None:
    assert len(parse_menu_text(line)) <= 1
