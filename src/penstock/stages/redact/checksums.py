"""Check digits. Each takes the text of a candidate, separators included, and answers how many of its characters
from the start are the thing: 0 = none, less than all where a candidate is longer than what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable

Verify = Callable[[str], int]

_VERHOEFF_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_P = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def luhn(digits: str) -> bool:
    """ISO/IEC 7812: payment cards, Canada's SIN, Sweden's personal number."""
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(digit), 10)) for digit in even)) % 10 == 0


_LETTERS = {ord("A") + place: str(10 + place) for place in range(26)}


def mod97(text: str) -> bool:
    """ISO 13616: the country and check digits go to the end, letters count from A = 10."""
    return int((text[4:] + text[:4]).translate(_LETTERS)) % 97 == 1


def verhoeff(digits: str) -> bool:
    """India's Aadhaar number."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[place % 8][int(digit)])])
    return check == 0


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of the digits times their weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def mod11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10: Germany's tax number."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def bare(text: str) -> str:
    """Letters and digits only, capitals."""
    return re.sub(r"[^0-9A-Za-z]", "", text).upper()


def whole(check: Callable[[str], bool]) -> Verify:
    """All of the candidate, or nothing."""

    def verify(text: str) -> int:
        return len(text) if check(bare(text)) else 0

    return verify


def card(text: str) -> int:
    """The longest run of 13 to 19 digits from the start that is a number of a known range and passes Luhn. It may end
    only where a group of digits ends: ``4111 1111 1111 1111 12`` is a card and a 12."""
    for group in reversed(list(re.finditer(r"[0-9]+", text))):
        digits = bare(text[: group.end()])
        if len(digits) < 13:
            return 0
        if len(set(digits)) > 1 and luhn(digits):
            return group.end()
    return 0


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip


def iban(text: str) -> int:
    """As many characters as the country's account numbers have, if they pass; a word may follow them."""
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    seen = 0
    for place, letter in enumerate(text):
        seen += letter.isalnum()
        if seen == length:
            return place + 1 if mod97(bare(text[: place + 1])) else 0
    return 0
