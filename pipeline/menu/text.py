"""A menu as text: which lines are dishes, which are headings, and where a price begins.

The rules, in the order in which they apply to a line (blank lines only separate, lines of ornaments are left out):

1. Marked headings: `# x`, `■ x` (□ ◆ ◇ ▼ ▽), `【x】` 《x》 〈x〉 ≪x≫ [x], `== x ==`, `-- x --`, `~ x ~`, `x:`. A line
   that ends in a price is never a heading, whatever it begins with.
2. Bullets and numbering (`-` `*` `•` `・` `●` `★`, `1.` `2)` `③`) are taken off.
3. A price stands at the end, after spaces, tabs, dots, dashes or a colon, or directly after the name when it has a
   currency sign; or at the beginning with a sign (`¥980 親子丼`). A line that is only a price belongs to the line
   above it. After one space, a year is part of the name (`Barolo 2018`), and so is a lone digit (`Menu 2`), unless
   the text has other prices without a sign.
4. In a text with prices, an unmarked line without one is a heading when the next line has a price; but only if it
   follows a blank line wherever the text uses blank lines, and not at all in a text with marked headings. Directly
   below a dish, a line in brackets, in lower case or with several commas describes that dish and is left out. A
   first line that stands alone above a heading is the menu's title and is left out. Everything else is a dish.
5. In a text without any price every line is a dish, unless it is marked as a heading.

A heading holds until the next one.
"""

import re
import unicodedata
from collections.abc import Sequence

import msgspec

_SIGN = (
    r"(?:US|A|AU|C|CA|NZ|HK|NT|S|R)?\$|CN¥|[¥€£₩₹฿₫₽₺₱₪₴]|円|元|块|원|บาท|(?<![A-Za-z])(?:CHF|SFr\.?|Fr\.|EUR|USD|GBP|JPY|CNY"
    r"|RMB|KRW|SEK|NOK|DKK|PLN|CZK|AUD|CAD|kr|zł|Kč|euros?|yen)(?![A-Za-z])"
)
_NUMBER = r"\d{1,3}(?:[,.'\u2019 ]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d{1,7}(?:[.,]\d{1,2})?(?!\d)"
_DASH = r"(?:[.,]\s?[-\u2013\u2014]{1,2})?"
_KANJI = "[〇一二三四五六七八九十百千万]{1,9}(?=円)"
_TAX = (
    r"(?:\s*[(\[]?\s*(?:税込み?|税抜き?|税別|内税|外税|[+]\s?税|TTC|HT|tax incl\w*|incl\w*\.? tax|\+\+?)"
    r"(?:\s?(?:[¥$€£]\s?)?\d[\d,.]*\s?円?)?\s*[)\]]?)?"
)
_SIGNED = (
    rf"(?:税込み?|税抜き?)?\s?(?:(?:{_SIGN})\s?(?:{_NUMBER}){_DASH}(?:\s?(?:{_SIGN}))?"
    rf"|(?:(?:{_NUMBER}){_DASH}|{_KANJI}|\d+(?:\.\d)?万(?:\d+千?)?)\s?(?:{_SIGN}))"
)
_MARKET = r"\(?(?:時価|时价|時價|시가|market\s?price|m\.?p\.|prix du jour|selon arrivage|prezzo di mercato|s/m)\)?"
_OPEN = r"\s?[~\u301c\u2013-]?"
# A second price after a slash or a dash: two sizes, or a range. Its size may stand before it.
_MORE = (
    rf"(?:\s*[/|~\u301c\u2013-]\s*[^\W\d]{{0,10}}\s?(?:{_SIGNED}|(?:{_NUMBER})){_TAX}{_OPEN}"
    rf"|\s+[^\W\d]{{0,10}}\s?{_SIGNED}{_TAX}{_OPEN})*"
)
_GAP_CHARACTERS = " \t.\u2026\u2025·・_-\u2013\u2014\u2500\u2015:：|,、"
_GAP = r"[\s.\u2026\u2025·・_\-\u2013\u2014\u2500\u2015:：|,、]"
_TAIL_SIGNED = re.compile(rf"(?P<gap>{_GAP}*)(?P<price>(?:{_SIGNED}|{_MARKET}){_TAX}{_OPEN}{_MORE})\s*$", re.IGNORECASE)
_TAIL_RANGE = re.compile(
    rf"(?P<gap>{_GAP}+)(?P<price>(?:{_NUMBER})\s?[~\u301c\u2013/-]\s?{_SIGNED}{_TAX}{_OPEN})\s*$", re.IGNORECASE
)
_TAIL_BARE = re.compile(
    rf"(?P<gap>{_GAP}+)(?P<price>(?:{_NUMBER}){_DASH}{_TAX}{_OPEN}(?:\s?[/|]\s?(?:{_NUMBER}))*)\s*$", re.IGNORECASE
)
_HEAD_SIGNED = re.compile(rf"^(?P<price>{_SIGNED}{_TAX}){_GAP}+(?P<name>\S.*)$", re.IGNORECASE)
_BARE = re.compile(rf"^(?:{_NUMBER}){_DASH}{_TAX}{_OPEN}$", re.IGNORECASE)

_HEADINGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"^#{1,6}\s*(?P<title>.+?)\s*#*$",
        r"^[■□◆◇▼▽]+\s*(?P<title>.+?)\s*[■□◆◇▼▽]*$",
        r"^[【《〈≪\[](?P<title>[^【】《》〈〉≪≫\[\]]+)[】》〉≫\]]$",
        r"^([=~\u301c*_\-\u2500\u2014])\1*\s*(?P<title>[^=~\u301c*_\-\u2500\u2014].*?)\s*\1+$",
        r"^(?P<title>.+?)\s*[:：]$",
    )
)
_BULLET = re.compile(
    r"^(?:[-*•・●○◦▪‣–—>☆★→✓■□◆◇▼▽]+\s*|[\u2460-\u2473]\s*|\(?\d{1,3}[.)](?=\s)\s*|\d{1,3}[.)](?=[^\d\s.,)])|#{1,6}\s*)+"
)
_LONE_DIGIT = re.compile(r"^(?P<name>.*\S) (?P<price>\d)$")
_YEAR = re.compile(r"^(?:19|20)\d\d$")


# The API takes prices of up to 100 characters; the rest is room for the dots before them.
LONGEST_PRICE = 160
LONGEST_HEADING = 200


class MenuLine(msgspec.Struct, frozen=True):
    """A dish as the text has it; `category` is the heading above it."""

    name: str
    price: str | None = None
    category: str | None = None


class _Line(msgspec.Struct, frozen=True):
    """A line read by itself: a heading's title, or a name with or without a price, or only a price."""

    name: str
    price: str | None = None
    marked: bool = False
    after_blank: bool = False


def parse_menu_text(text: str) -> list[MenuLine]:
    """The dishes of a menu in their order; an empty list when there is none. Lengths are not limited here.

    Takes some 20 µs a line, so a caller that serves others should parse more than a few hundred lines in a thread.
    """
    lines = _with_prices_below(_read(text))
    priced = any(line.price for line in lines)
    marked = any(line.marked for line in lines)
    spaced = any(line.after_blank for line in lines[1:])
    dishes: list[MenuLine] = []
    category: str | None = None
    below_dish = False
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else None
        describes = below_dish and _describes(line)
        if line.marked or (priced and not marked and not describes and _heads(line, following, spaced, index == 0)):
            category, below_dish = line.name, False
        elif not (priced and describes) and not (priced and index == 0 and _entitles(lines, marked, spaced)):
            dishes.append(MenuLine(line.name, line.price, category))
            below_dish = line.price is not None
    return dishes


def _read(text: str) -> list[_Line]:
    lines: list[_Line] = []
    blank = False
    rows = [raw.replace("\u3000", " ").replace("\ufeff", "").strip() for raw in text.splitlines()]
    read = [_one(row) if any(unicodedata.category(char)[0] in "LN" for char in row) else None for row in rows]
    bare = any(line is not None and line.price is not None and _BARE.match(line.price) for line in read)
    for row, line in zip(rows, read, strict=True):
        if line is None:
            blank = blank or not row
            continue
        if bare and line.price is None and not line.marked and (digit := _LONE_DIGIT.match(line.name)):
            line = _Line(digit["name"], digit["price"])
        lines.append(msgspec.structs.replace(line, after_blank=blank))
        blank = False
    return lines


def _one(row: str) -> _Line:
    stripped = row[_bullet_end(row) :].strip() or row
    name, price = _divide(stripped)
    if price is None and len(row) <= LONGEST_HEADING:
        for heading in _HEADINGS:
            if match := heading.match(row):
                return _Line(match["title"].strip(), None, True)
    return _Line(name, price)


def _bullet_end(row: str) -> int:
    match = _BULLET.match(_plain(row[:LONGEST_PRICE]))
    return match.end() if match else 0


def _divide(line: str) -> tuple[str, str | None]:
    """A line's name and price. The price keeps its characters, except that full-width digits and signs become plain.

    Only the last LONGEST_PRICE characters are searched: the patterns take quadratic time over a long line of dots.
    """
    start = max(0, len(line) - LONGEST_PRICE)
    tail = _plain(line[start:])
    found = [match for pattern in (_TAIL_SIGNED, _TAIL_RANGE) if (match := pattern.search(tail))]
    if found:
        match = min(found, key=lambda match: match.start("price"))
        return _cut(line, start + match.start("gap")), match["price"].strip()
    if head := _HEAD_SIGNED.match(_plain(line[:LONGEST_PRICE])):
        return line[head.start("name") :].strip(), head["price"].strip()
    if _BARE.match(tail) and not start:
        return "", tail
    bare = _TAIL_BARE.search(tail)
    if bare and not _belongs_to_name(bare["gap"], bare["price"], tail[: bare.start("gap")]):
        return _cut(line, start + bare.start("gap")), bare["price"].strip()
    return line, None


def _cut(line: str, end: int) -> str:
    return line[:end].rstrip(_GAP_CHARACTERS)


def _plain(line: str) -> str:
    """The line with full-width ASCII and the yen sign made plain, one character for one, so that places stay."""
    return "".join(chr(ord(char) - 0xFEE0) if "！" <= char <= "～" else {"￥": "¥"}.get(char, char) for char in line)


def _belongs_to_name(gap: str, number: str, before: str) -> bool:
    if not before or (before[-1].isdigit() and gap.strip()):
        return True  # a time, a telephone number: 11:30-14:00
    if gap != " ":
        return False
    return len(number) == 1 or (bool(_YEAR.match(number)) and before.isascii())


def _with_prices_below(lines: Sequence[_Line]) -> list[_Line]:
    """Lines that are only a price, joined to the line above; without one they say nothing and are left out."""
    joined: list[_Line] = []
    for line in lines:
        if line.name or line.price is None:
            joined.append(line)
        elif joined and joined[-1].price is None and not joined[-1].marked:
            joined[-1] = msgspec.structs.replace(joined[-1], price=line.price)
    return joined


def _heads(line: _Line, following: _Line | None, spaced: bool, first: bool) -> bool:
    """Whether an unmarked line is a heading of the priced lines that follow it."""
    if line.price or following is None or not following.price:
        return False
    return not spaced or line.after_blank or first


def _describes(line: _Line) -> bool:
    """Whether a line directly below a dish tells what is in it."""
    if line.price or line.marked or line.after_blank:
        return False
    return line.name[0] in "(（※*" or line.name[0].islower() or sum(line.name.count(comma) for comma in ",、，") >= 2


def _entitles(lines: Sequence[_Line], marked: bool, spaced: bool) -> bool:
    """Whether the first line is the menu's title: it stands alone above a heading."""
    if lines[0].price or len(lines) < 3:
        return False
    heading = lines[1].marked or (not marked and _heads(lines[1], lines[2], spaced, False))
    return heading and (lines[1].after_blank or lines[1].marked)
