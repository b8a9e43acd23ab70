"""Currencies: the signs and words by which menus name them, and the ISO 4217 codes and decimals behind those."""

import re

from babel.core import Locale, UnknownLocaleError
from babel.numbers import get_currency_precision, get_territory_currencies
from langcodes import Language

from infra.providers.builtin.menu.question import Tongue

# Several signs name more than one currency; those stand in SHARED with the language subtags that decide.
SIGNS = {
    "円": "JPY", "えん": "JPY", "yen": "JPY", "€": "EUR", "euros": "EUR", "euro": "EUR", "£": "GBP",
    "us$": "USD", "a$": "AUD", "au$": "AUD", "c$": "CAD", "ca$": "CAD", "nz$": "NZD", "hk$": "HKD", "nt$": "TWD",
    "s$": "SGD", "r$": "BRL", "mx$": "MXN", "$": "USD", "cn¥": "CNY", "rmb": "CNY", "元": "CNY", "块": "CNY",
    "人民币": "CNY", "¥": "JPY", "chf": "CHF", "sfr": "CHF", "fr.": "CHF", "₩": "KRW", "원": "KRW", "₹": "INR",
    "฿": "THB", "บาท": "THB", "₫": "VND", "₽": "RUB", "руб": "RUB", "₺": "TRY", "₱": "PHP", "₪": "ILS", "₴": "UAH",
    "zł": "PLN", "kč": "CZK", "kr": "SEK", "rp": "IDR", "rm": "MYR",
}  # fmt: skip
CODES = (
    "JPY EUR USD GBP CNY CHF KRW AUD CAD NZD HKD TWD SGD SEK NOK DKK ISK PLN CZK HUF RON BGN TRY RUB UAH ILS INR THB "
    "VND IDR MYR PHP BRL MXN ARS CLP COP PEN ZAR EGP MAD TND AED SAR KWD BHD OMR JOD QAR"
).split()
SHARED = {
    "¥": {"zh": "CNY"},
    "元": {"ja": "JPY"},
    "kr": {"da": "DKK", "nb": "NOK", "no": "NOK", "nn": "NOK", "is": "ISK"},
}
# Languages of so many countries that the language alone says little about the money.
WIDESPREAD = frozenset({"en", "es", "fr", "pt", "ar", "de", "zh"})


def _pattern(sign: str) -> str:
    # A word such as "rm" or "kr" must not be found inside another word.
    word = sign.isascii() and sign.isalpha()
    return rf"(?<![^\W\d_]){sign}(?![^\W\d_])" if word else re.escape(sign)


# Longest first, so that US$ is not read as $.
_SIGN = "|".join(map(_pattern, sorted([*SIGNS, *(code.lower() for code in CODES)], key=len, reverse=True)))
SIGN_PATTERN = f"(?:{_SIGN})"


def currency_of(sign: str, source: Tongue | None) -> tuple[str, float]:
    """The ISO 4217 code of a sign on a menu in `source`, and how sure that is."""
    sign = sign.lower()
    if sign.upper() in CODES:
        return sign.upper(), 0.98
    if sign == "$":
        return _dollar(source)
    if sign in SHARED:
        language = source.language if source else ""
        return SHARED[sign].get(language, SIGNS[sign]), 0.95 if source else 0.8
    return SIGNS[sign], 0.98


def usual_currency(source: Tongue | None) -> tuple[str, float] | None:
    """The currency of the country where a language is mostly spoken, for prices without a sign; None if unknown."""
    if source is None:
        return None
    language = Language.get(source.tag)
    territory = language.territory or language.maximize().territory
    found = get_territory_currencies(territory) if territory else []
    if not found:
        return None
    if language.territory:
        return found[0], 0.6
    return found[0], 0.3 if source.language in WIDESPREAD else 0.5


def decimals_of(currency: str) -> int:
    """How many decimals the currency has by ISO 4217 (0 for the yen, 2 for the euro)."""
    return get_currency_precision(currency)


def locale_of(target: Tongue) -> Locale:
    """The CLDR locale to write a price in: the tag's own, else its language's, else English."""
    for tag in (target.tag, target.language):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def _dollar(source: Tongue | None) -> tuple[str, float]:
    usual = usual_currency(source)
    if usual and source and "-" in source.tag and usual[0].endswith("D"):
        return usual[0], 0.85
    return "USD", 0.9
