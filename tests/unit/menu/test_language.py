"""The language of a menu, told from its script, the lexicon and small words."""

import pytest

from infra.providers.builtin.provider import BuiltinProvider


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["サーモン", "まぐろ"], "ja"),
        (["親子丼", "天丼", "牛丼"], "ja"),
        (["枝豆", "冷奴"], "ja"),
        (["番茄炒蛋", "叉烧饭"], "zh"),
        (["宫保鸡丁", "鱼香肉丝"], "zh"),
        (["김치찌개", "비빔밥"], "ko"),
        (["борщ", "пельмени"], "ru"),
        (["вареники з вишнею", "сирники її"], "uk"),
        (["Μουσακάς"], "el"),
        (["ผัดไทย"], "th"),
        (["Pizza Margherita", "Insalata di mare", "Spaghetti alle vongole"], "it"),
        (["Soupe à l'oignon", "Sole meunière", "Salade du jour"], "fr"),
        (["Gambas al ajillo", "Tortilla española", "Ensalada de la casa"], "es"),
        (["Schnitzel mit Pommes", "Würstchen und Brot", "Salat nach Art des Hauses"], "de"),
        (["Chicken salad with rice", "Fried egg and tomato on bread"], "en"),
        (["親子丼 Oyakodon", "天丼 Tendon"], "ja"),
    ],
)
def test_a_language_is_told(provider: BuiltinProvider, texts: list[str], language: str) -> None:
    assert provider.detect_language(texts) == language


@pytest.mark.parametrize("texts", [[], [""], ["123 ¥ !!"], ["xyzzy"], ["Blorf", "Zxqwv"]])
def test_what_cannot_be_told_is_not_guessed(provider: BuiltinProvider, texts: list[str]) -> None:
    assert provider.detect_language(texts) is None
