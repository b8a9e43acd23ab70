"""Personal data in a prompt: addresses, numbers of people, cards and accounts.

Numbers are only reported when their own rule holds (a valid numbering plan, a Luhn or mod 97 checksum), because a
prompt is full of numbers that are nobody's.
"""

import re
from collections.abc import Iterator

import phonenumbers
from detect_secrets.plugins.ip_public import IPPublicDetector

from infra.providers.builtin.prompt.spans import Span

EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}[@＠][A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}(?![A-Za-z0-9-])"
)
# As cards are written: in one run, in fours, or in American Express's 4-6-5.
CARD = re.compile(
    r"(?<![\w.-])[2-6](?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{4}|\d{3}([ -])\d{6}\2\d{5})(?![ -]?\d)", re.ASCII
)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.ASCII)
SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])", re.ASCII)
MY_NUMBER = re.compile(r"(?:マイナンバー|個人番号)[^\d\n]{0,12}(\d{4}[ -]?\d{4}[ -]?\d{4})(?!\d)", re.ASCII)

# Candidates only; phonenumbers decides. With a plus any country; without one the national form of the regions below.
INTERNATIONAL_PHONE = re.compile(r"(?<![\w+＋])[+＋]\d(?:[ ().-]{0,2}\d){6,14}(?!\d)")
NATIONAL_PHONE = re.compile(
    r"(?<![\w.+＋-])(?:\(0\d{1,4}\)[ -]?|0\d{1,4}[ ()－ー–-]{1,2}|0(?=\d{9,10}(?!\d)))"
    r"\d{1,8}(?:[ ()－ー–.-]\d{2,4}){0,4}(?!\d)"
)
AMERICAN_PHONE = re.compile(r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\d-])", re.ASCII)
NATIONAL_REGIONS = ("JP", "GB", "FR", "DE")
# Each try costs about 0.1 ms; a text with more candidates than this is a table of numbers.
MAX_PHONE_TRIES = 2_000
# Length of an IBAN by country (SWIFT's IBAN registry): text that follows it in capitals is not part of it.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "BR": 29, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18,
    "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip


def find_personal_data(text: str) -> Iterator[Span]:
    """Every span that holds personal data; spans may overlap. Linear in the length of the text."""
    yield from (Span(*match.span(), "personal_data", "email") for match in EMAIL.finditer(text))
    yield from find_phones(text)
    for match in CARD.finditer(text):
        if has_luhn_checksum(match.group()):
            yield Span(*match.span(), "personal_data", "credit_card")
    yield from find_ibans(text)
    yield from (Span(*match.span(), "personal_data", "us_social_security") for match in SOCIAL_SECURITY.finditer(text))
    for match in MY_NUMBER.finditer(text):
        if has_my_number_checksum(match.group(1)):
            yield Span(*match.span(1), "personal_data", "jp_my_number")
    for pattern in IPPublicDetector.denylist:
        yield from (Span(*match.span(1), "personal_data", "ip_address") for match in pattern.finditer(text))


def find_phones(text: str) -> Iterator[Span]:
    """Telephone numbers that are valid in the numbering plan of their country."""
    tries = 0
    for pattern, regions in (
        (INTERNATIONAL_PHONE, (None,)),
        (NATIONAL_PHONE, NATIONAL_REGIONS),
        (AMERICAN_PHONE, ("US",)),
    ):
        for match in pattern.finditer(text):
            for region in regions:
                tries += 1
                if tries > MAX_PHONE_TRIES:
                    return
                if _is_phone(match.group(), region):
                    yield Span(*match.span(), "personal_data", "phone")
                    break


def _is_phone(candidate: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(candidate, region))
    except phonenumbers.NumberParseException:
        return False


def find_ibans(text: str) -> Iterator[Span]:
    """Bank account numbers with their country's length and a right checksum (ISO 13616: the number mod 97 is 1)."""
    for match in IBAN.finditer(text):
        wanted = IBAN_LENGTHS.get(match.group()[:2])
        if wanted is None:
            continue
        taken = [offset for offset, character in enumerate(match.group()) if character != " "][:wanted]
        number = "".join(match.group()[offset] for offset in taken)
        digits = "".join(str(int(character, 36)) for character in number[4:] + number[:4])
        if len(number) == wanted and int(digits) % 97 == 1:
            yield Span(match.start(), match.start() + taken[-1] + 1, "personal_data", "iban")


def has_luhn_checksum(number: str) -> bool:
    """Whether the digits (other characters are skipped) end in the check digit of ISO/IEC 7812."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + doubled) % 10 == 0


def has_my_number_checksum(number: str) -> bool:
    """Whether twelve digits end in the check digit of Japan's individual number (weights 6..2 and 7..2, mod 11)."""
    digits = [int(character) for character in number if character.isdigit()]
    weighted = sum(digit * weight for digit, weight in zip(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=False))
    rest = weighted % 11
    return digits[-1] == (0 if rest <= 1 else 11 - rest)
