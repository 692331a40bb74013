"""National identity and tax numbers that carry a check digit."""

from __future__ import annotations

from penstock.stages.redact.checksums import luhn, mod11_10, verhoeff, weighted, whole
from penstock.stages.redact.detectors import Detector

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_CF_ODD = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ), strict=True)
)  # fmt: skip


def _varied(digits: str) -> bool:
    """No number has one digit only, though the sums would allow it."""
    return len(set(digits)) > 1


def _cpf(text: str) -> bool:
    first = weighted(text, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(text, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return _varied(text) and text[9:] == f"{first}{second}"


def _dni(text: str) -> bool:
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == text[-1]


def _nir(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return 97 - int(number) % 97 == int(text[13:])


def _codice_fiscale(text: str) -> bool:
    total = sum(
        int(letter, 36) - (10 if letter.isalpha() else 0) if place % 2 else _CF_ODD[letter]
        for place, letter in enumerate(text[:15])
    )
    return chr(ord("A") + total % 26) == text[15]


def _bsn(text: str) -> bool:
    return _varied(text) and weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _pesel(text: str) -> bool:
    return _varied(text) and weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _resident(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[weighted(text[:17], weights) % 11] == text[17]


def _tfn(text: str) -> bool:
    return _varied(text) and weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _tax_de(text: str) -> bool:
    return _varied(text[:10]) and mod11_10(text)


def _varied_luhn(text: str) -> bool:
    return _varied(text) and luhn(text)


_ALONE, _END = "(?<![A-Za-z0-9])", "(?![A-Za-z0-9])"

_CHECKED = (
    (r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf),  # Brazil: CPF
    (r"[0-9]{11}", lambda text: _cpf(text) or _pesel(text) or _tax_de(text)),  # Brazil; Poland: PESEL; Germany: IdNr
    (r"[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}", _tax_de),  # Germany: IdNr
    (r"[0-9XYZxyz][0-9]{7}-?[A-Za-z]", _dni),  # Spain: DNI, NIE
    (r"[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", _nir),  # France: NIR
    (r"[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", _codice_fiscale),  # Italy
    (r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", verhoeff),  # India: Aadhaar
    (r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]", _resident),  # China: resident identity number
    (r"[0-9]{6}[-+][0-9]{4}", _varied_luhn),  # Sweden: personnummer
    (r"(?:19|20)[0-9]{6}-[0-9]{4}", lambda text: _varied_luhn(text[2:])),  # Sweden, with the century
    (r"[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}", lambda text: _varied_luhn(text) or _tfn(text)),  # Canada: SIN; Australia: TFN
    (r"[0-9]{9}", lambda text: _bsn(text) or _tfn(text)),  # Netherlands: BSN; Australia
)

NATIONAL_IDS = (
    *(Detector("national_id", f"{_ALONE}{pattern}{_END}", whole(check)) for pattern, check in _CHECKED),
    # The United Kingdom's insurance number has no check digit.
    Detector(
        "national_id",
        rf"{_ALONE}[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z]"
        rf" ?[0-9]{{2}} ?[0-9]{{2}} ?[0-9]{{2}} ?[A-Da-d]{_END}",
    ),
)
