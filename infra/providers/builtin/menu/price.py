"""The price rule: a menu's price as minor units of an ISO 4217 currency, and written for the target language.

Of several prices (a range, two sizes) the lowest counts and is written as "from". 980円(税込1,078円) is 980 without
tax, because the tax mark belongs to the other amount.
"""

import re
from decimal import Decimal

import msgspec
from babel.numbers import format_currency

from infra.providers.builtin.menu.amounts import (
    KANJI_NUMBER,
    NUMBER,
    minor_units,
    plain_digits,
    read_kanji,
    read_number,
)
from infra.providers.builtin.menu.currencies import SIGN_PATTERN, currency_of, decimals_of, locale_of, usual_currency
from infra.providers.builtin.menu.question import UNKNOWN, Known, Question, Tongue

_MARKET = re.compile(
    r"時価|时价|時價|market\s*price|\bm\.?p\.?$|prix du (?:jour|marché)"
    r"|selon arrivage|prezzo (?:di|del) (?:mercato|giorno)|secondo mercato"
    r"|precio (?:de|del) mercado|seg[uú]n mercado|\bs/?m$|tagespreis|시가",
    re.IGNORECASE,
)
_INCLUDED = re.compile(
    r"税込み?|内税|tax incl\w*|incl\w*\.?(?: of)? tax|\bttc\b|iva incl\w*|含税|inkl\.? mwst", re.IGNORECASE
)
_EXCLUDED = re.compile(
    r"税抜き?|税別|外税|[+]\s*税|tax excl\w*|excl\w*\.? tax|[+]\s*tax|plus tax|\bht\b|[+]\s*iva"
    r"|iva escl\w*|zzgl\.? mwst",
    re.IGNORECASE,
)
_DASH = r"(?:[.,]\s?[-\u2013\u2014]{1,2})?"
_AMOUNT = re.compile(
    rf"(?P<tens>{NUMBER})\s?万\s?(?:(?P<ones>{NUMBER})(?P<thousand>千)?)?\s?(?P<man>{SIGN_PATTERN})"
    rf"|(?P<before>{SIGN_PATTERN})\s?(?P<first>{NUMBER}){_DASH}(?![\d%])(?:\s?(?P<both>{SIGN_PATTERN}))?"
    rf"|(?<![\d.,])(?P<second>{NUMBER}){_DASH}\s?(?P<after>{SIGN_PATTERN})"
    rf"|(?P<kanji>{KANJI_NUMBER})\s?(?P<yen>円|元)",
    re.IGNORECASE,
)
_BARE = re.compile(rf"(?:{KANJI_NUMBER}|{NUMBER}){_DASH}")
_OPEN_END = re.compile(r"[~\u301c\u2013\u2014-]\s*$|から$|より$|起$|\+$")
# What may stand beside a number without a sign for it still to be a price.
_BESIDE = re.compile(r"^[\s~\u301c\u2013\u2014().,/+-]*$")
_FROM = {
    "en": "from {}",
    "ja": "{}～",
    "it": "da {}",
    "fr": "à partir de {}",
    "es": "desde {}",
    "de": "ab {}",
    "zh": "{}起",
}
_AT_MARKET = {
    "en": "Market price",
    "ja": "時価",
    "it": "Prezzo di mercato",
    "fr": "Prix du jour",
    "es": "Precio de mercado",
    "de": "Tagespreis",
    "zh": "时价",
}


class Amount(msgspec.Struct, frozen=True):
    """One amount of a price text; `start` and `end` are its span."""

    value: Decimal
    currency: str
    certainty: float
    start: int
    end: int


def answer(question: Question) -> Known:
    """`{"amount_minor", "currency", "formatted", "tax", "market"}`; no price or no readable one is unknown.

    A price at the market's rate has no amount, and no currency.
    """
    text = plain_digits(question.dish.price or "").strip()
    if not text:
        return UNKNOWN
    if _MARKET.search(text):
        formatted = _AT_MARKET.get(question.target.language, text)
        return {"amount_minor": None, "currency": None, "formatted": formatted, "tax": None, "market": True}, 0.95
    amounts = _signed(text, question.source) or _bare(text, question.source)
    if not amounts:
        return UNKNOWN
    main, confidence, several = _main(text, amounts)
    minor = minor_units(main.value, decimals_of(main.currency))
    if minor is None:
        return UNKNOWN
    locale = locale_of(question.target)
    formatted = format_currency(main.value, main.currency, locale=locale)
    if several or _OPEN_END.search(text):
        formatted = _FROM.get(question.target.language, "{}+").format(formatted)
    result = {"amount_minor": minor, "currency": main.currency, "formatted": formatted, "tax": _tax(text, amounts)}
    return {**result, "market": False}, round(confidence, 3)


def _signed(text: str, source: Tongue | None) -> list[Amount]:
    """The amounts that stand beside a currency's sign."""
    found = []
    for match in _AMOUNT.finditer(text):
        part = match.groupdict()
        sign = part["both"] or part["before"] or part["after"] or part["man"] or part["yen"]
        # "¥980円" names its money twice; the sign after the number is the more definite one.
        currency, certainty = currency_of(sign, source)
        decimals = decimals_of(currency)
        if part["kanji"]:
            value = read_kanji(part["kanji"])
        elif part["tens"]:
            tens, ones = read_number(part["tens"], 1), read_number(part["ones"] or "0", 0)
            scale = 1000 if part["thousand"] else 1
            value = tens * 10_000 + ones * scale if tens is not None and ones is not None else None
        else:
            value = read_number(part["first"] or part["second"], decimals)
        if value is not None:
            found.append(Amount(value, currency, certainty, match.start(), match.end()))
    return found


def _bare(text: str, source: Tongue | None) -> list[Amount]:
    """A number alone takes the currency of the menu's language, if nothing but tax marks stands beside it."""
    usual = usual_currency(source)
    rest = _EXCLUDED.sub(" ", _INCLUDED.sub(" ", text))
    numbers = list(_BARE.finditer(rest))
    if usual is None or not numbers or not _BESIDE.match(_BARE.sub(" ", rest)):
        return []
    currency, certainty = usual
    found = []
    for match in numbers:
        written = match.group().rstrip(".,-\u2013\u2014 ")
        value = read_number(written, decimals_of(currency)) if written[:1].isdigit() else read_kanji(written)
        if value is not None:
            found.append(Amount(value, currency, certainty, match.start(), match.end()))
    return found


def _main(text: str, amounts: list[Amount]) -> tuple[Amount, float, bool]:
    """The amount that counts, the confidence in it, and whether it is the lowest of several."""
    outside = [amount for amount in amounts if text.rfind("(", 0, amount.start) <= text.rfind(")", 0, amount.start)]
    candidates = [amount for amount in outside or amounts if amount.currency == (outside or amounts)[0].currency]
    main = min(candidates, key=lambda amount: amount.value)
    several = len({amount.value for amount in candidates}) > 1
    return main, main.certainty * (0.7 if several else 1.0), several


def _tax(text: str, amounts: list[Amount]) -> str | None:
    excluded = _EXCLUDED.search(text)
    mark = excluded or _INCLUDED.search(text)
    if mark is None:
        return None
    # In 980円(税込1,078円) the mark and an amount of its own share a bracket: the first amount is then the other kind.
    opened, closed = text.rfind("(", 0, mark.start()), text.find(")", mark.end())
    inside = any(opened < amount.start < closed for amount in amounts)
    of_other = opened > amounts[0].start and inside
    return "excluded" if bool(excluded) != of_other else "included"
