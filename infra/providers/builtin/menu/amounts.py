"""Amounts: the numbers of a menu's prices, with Western or Japanese digits and any decimal separator."""

import re
import unicodedata
from decimal import Decimal

# 1,280 or 1.280,50 or 1'200 or 1 280: groups of three; else a plain number with at most three decimals.
NUMBER = r"\d{1,3}(?:[,.' ]\d{3})+(?:[.,]\d{1,2})?|\d{1,12}(?:[.,]\d{1,3})?"
KANJI_NUMBER = "[〇一二三四五六七八九十百千万壱弐参]{1,12}"
# JavaScript and JSON readers hold integers exactly up to here; no dish costs more.
MOST_MINOR_UNITS = 2**53

_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")} | {"壱": 1, "弐": 2, "参": 3}
_UNITS = {"十": 10, "百": 100, "千": 1000}


def plain_digits(text: str) -> str:
    """NFKC (full-width digits, brackets and yen signs become plain ones), and every decimal digit as 0-9."""
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def read_number(text: str, decimals: int) -> Decimal | None:
    """A NUMBER as a decimal. `decimals` is the currency's; it settles whether 1.250 is a thousand or one and a quarter.

    None when the number has more decimals than the currency has.
    """
    compact = text.replace("'", "").replace(" ", "")
    last = max(compact.rfind(","), compact.rfind("."))
    if last < 0:
        return Decimal(compact)
    separator, fraction = compact[last], compact[last + 1 :]
    grouped = len(fraction) == 3 and (decimals < 3 or compact.count(separator) > 1)
    if grouped:
        return Decimal(re.sub("[,.]", "", compact))
    if len(fraction) > decimals and fraction.strip("0"):
        return None
    return Decimal(f"{re.sub('[,.]', '', compact[:last])}.{fraction}")


def read_kanji(text: str) -> Decimal | None:
    """八百 is 800, 千二百 is 1200, 二八〇 is 280; None when the characters are in no sensible order."""
    if all(char in _DIGITS for char in text):
        return Decimal("".join(str(_DIGITS[char]) for char in text))
    total, section, digit = 0, 0, 0
    for char in text:
        if char in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[char]
        elif char == "万":
            total, section, digit = total + max(section + digit, 1) * 10_000, 0, 0
        else:
            section, digit = section + max(digit, 1) * _UNITS[char], 0
    return Decimal(total + section + digit)


def minor_units(amount: Decimal, decimals: int) -> int | None:
    """980 yen are 980, 12.50 euros are 1250; None when it is not a whole number of minor units or beyond reason."""
    minor = amount.scaleb(decimals)
    return int(minor) if minor == minor.to_integral_value() and minor < MOST_MINOR_UNITS else None
