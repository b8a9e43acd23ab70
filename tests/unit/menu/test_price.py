"""Prices in the forms that menus write them in."""

from typing import Any

import pytest

from tests.unit.menu.conftest import Ask


def _price(ask: Ask, text: str | None, source: str | None = "ja", target: str = "en") -> tuple[Any, float]:
    return ask("price", price=text, source=source, target=target)


@pytest.mark.parametrize(
    ("text", "minor", "currency"),
    [
        ("¥980", 980, "JPY"),
        ("￥９８０", 980, "JPY"),
        ("1,280円", 1280, "JPY"),
        ("１，２８０円", 1280, "JPY"),
        ("八百円", 800, "JPY"),
        ("千二百五十円", 1250, "JPY"),
        ("二八〇円", 280, "JPY"),
        ("1万2千円", 12000, "JPY"),
        ("1.2万円", 12000, "JPY"),
        ("¥980.00", 980, "JPY"),
        ("€ 12,50", 1250, "EUR"),
        ("12.50€", 1250, "EUR"),
        ("12,5 EUR", 1250, "EUR"),
        ("1.234,56 €", 123456, "EUR"),
        ("1.280 €", 128000, "EUR"),
        ("$9.95", 995, "USD"),
        ("$1,234.50", 123450, "USD"),
        ("HK$ 68", 6800, "HKD"),
        ("£8", 800, "GBP"),
        ("12.- CHF", 1200, "CHF"),
        ("CHF 12.50", 1250, "CHF"),
        ("Fr. 1'200.-", 120000, "CHF"),
        ("₩12,000", 12000, "KRW"),
        ("38元", 3800, "CNY"),
        ("1.250 KWD", 1250, "KWD"),
        ("٩٨٠ EGP", 98000, "EGP"),
    ],
)
def test_an_amount_is_read_in_minor_units(ask: Ask, text: str, minor: int, currency: str) -> None:
    source = "ja" if currency == "JPY" else "zh"
    result, confidence = _price(ask, text, source)
    assert (result["amount_minor"], result["currency"]) == (minor, currency)
    assert result["market"] is False
    assert confidence > 0.8


@pytest.mark.parametrize(
    ("text", "minor", "tax"),
    [
        ("980円", 980, None),
        ("980円(税込)", 980, "included"),
        ("税込1,078円", 1078, "included"),
        ("980円（税抜）", 980, "excluded"),
        ("980円+税", 980, "excluded"),
        ("12,50 € TTC", 1250, "included"),
        ("980円(税込1,078円)", 980, "excluded"),
        ("1,078円(税抜980円)", 1078, "included"),
    ],
)
def test_tax_is_told_when_the_menu_tells_it(ask: Ask, text: str, minor: int, tax: str | None) -> None:
    result, _ = _price(ask, text)
    assert (result["amount_minor"], result["tax"]) == (minor, tax)


@pytest.mark.parametrize(
    ("text", "target", "formatted"),
    [
        ("980円", "en", "¥980"),
        ("980円", "ja", "￥980"),
        ("€ 12,50", "en", "€12.50"),
        ("€ 12,50", "it", "12,50\xa0€"),
        ("€ 12,50", "de-AT", "€\xa012,50"),
        ("¥1,200~", "en", "from ¥1,200"),
        ("¥1,200～", "ja", "￥1,200～"),
        ("$5", "tlh", "$5.00"),
    ],
)
def test_a_price_is_written_for_the_target_language(ask: Ask, text: str, target: str, formatted: str) -> None:
    assert _price(ask, text, target=target)[0]["formatted"] == formatted


@pytest.mark.parametrize("text", ["時価", "market price", "Market Price", "M.P.", "prix du jour", "(時価)"])
def test_a_market_price_has_no_amount(ask: Ask, text: str) -> None:
    result, confidence = _price(ask, text)
    assert result == {
        "amount_minor": None, "currency": None, "formatted": "Market price", "tax": None, "market": True
    }  # fmt: skip
    assert confidence > 0.9


@pytest.mark.parametrize(
    ("source", "currency", "minor"), [("ja", "JPY", 12), ("it", "EUR", 1200), ("ko", "KRW", 12), ("en-GB", "GBP", 1200)]
)
def test_a_plain_number_takes_the_currency_of_the_menus_language(
    ask: Ask, source: str, currency: str, minor: int
) -> None:
    result, confidence = _price(ask, "12", source)
    assert (result["currency"], result["amount_minor"]) == (currency, minor)
    assert 0 < confidence <= 0.6


def test_the_same_yen_sign_means_yuan_on_a_chinese_menu(ask: Ask) -> None:
    assert _price(ask, "¥38", "zh")[0]["currency"] == "CNY"


def test_the_lowest_of_several_prices_is_where_it_starts(ask: Ask) -> None:
    for text in ("グラス 600円/ボトル 3,200円", "ボトル 3,200円 グラス 600円", "¥600-¥800"):
        result, confidence = _price(ask, text)
        assert (result["amount_minor"], result["formatted"]) == (600, "from ¥600")
        assert confidence < 0.8


@pytest.mark.parametrize(
    "text", [None, "", " ", "-", "ask", "お問い合わせください", "¥12.50", "12 people", "50%", "9" * 30 + "円", "円"]
)
def test_no_price_and_no_readable_price_are_unknown(ask: Ask, text: str | None) -> None:
    assert _price(ask, text) == (None, 0.0)


def test_a_plain_number_on_a_menu_of_unknown_language_is_unknown(ask: Ask) -> None:
    assert ask("price", "xyzzy", price="12", source=None) == (None, 0.0)
