"""What is looked for, as data: personal data and secrets whose shape is public.

Patterns are ASCII. A key may be of any length (``MANY``): one that outgrows the cap of held text meets the overflow
rule, so that no end of it slips out.
"""

from __future__ import annotations

import ipaddress

import msgspec

from penstock.stages.redact.checksums import Verify, card, iban

MANY = 65535


class Detector(msgspec.Struct, frozen=True):
    """One shape of one ``kind``. ``verify`` answers how many of a candidate's characters are the thing."""

    kind: str
    pattern: str
    verify: Verify | None = None
    ascii_only: bool = True


def _ssn(text: str) -> int:
    area, group, serial = text[:3], text[4:6], text[7:]
    never = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return 0 if never else len(text)


def _ipv4(text: str) -> int:
    return len(text) if all(int(octet) < 256 for octet in text.split(".")) else 0


def _ipv6(text: str) -> int:
    """``abc::def`` is a valid address and far more often a name in a program: one digit is asked for."""
    for candidate in (text, text[:-1]):
        try:
            ipaddress.IPv6Address(candidate)
        except ValueError:
            continue
        return len(candidate) if any(letter.isdigit() for letter in candidate) else 0
    return 0


_HEX = "[0-9A-Fa-f]"
_PEM_HEADER = r"\s{0,4}(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): [^\r\n\\]{0,100}(?:\\[rn]|[\r\n]){1,8}"
_PEM_BODY = rf"[A-Za-z0-9+/=\s\\\x22']{{0,{MANY}}}+"
_JWT_REST = rf"[\w-]{{4,{MANY}}}+(?:\.[\w-]{{0,{MANY}}}+){{0,3}}"

GENERAL = (
    # Without an end line too: a key that was cut off, or that the body's characters do not cover, is still a key.
    Detector(
        "private_key",
        rf"-----BEGIN (?:[A-Z0-9]{{1,20}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----(?:{_PEM_HEADER}){{0,6}}{_PEM_BODY}"
        r"(?:-----END [A-Z0-9 ]{1,60}-----)?",
    ),
    Detector("jwt", rf"eyJ[\w-]{{8,128}}+\.{_JWT_REST}"),
    # A head with certificates in it. Not inside a word, which may hold many beginnings: each would be read to its end.
    Detector("jwt", rf"(?<![\w-])eyJ[\w-]{{129,{MANY}}}+\.{_JWT_REST}"),
    Detector("url_credentials", r"(?<=/)[^\s/?#@:\x22'<>]{0,128}:[^\s/?#\x22'<>]{1,256}(?=@)"),
    Detector(
        "email",
        r"[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9\u00c0-\u024f-]{1,63}\.){1,8}[A-Za-z]{2,24}",
    ),
    Detector("mac", rf"(?<![\w:-]){_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5}}(?!\w)"),
    Detector("mac", rf"(?<![\w.]){_HEX}{{4}}\.{_HEX}{{4}}\.{_HEX}{{4}}(?!\w)"),
    Detector("iban", r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ \xa0-]?[A-Za-z0-9]){11,30}", iban),
    Detector("credit_card", r"(?<![0-9])[2-6][0-9](?:[ \xa0.-]?[0-9]){11,17}(?![0-9])", card),
    Detector("ssn", r"(?<![0-9])[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}(?![0-9])", _ssn),
    Detector("ip", r"(?<![0-9.])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])", _ipv4),
    Detector("ip", rf"(?<![\w:.]){_HEX}{{1,4}}(?::{_HEX}{{0,4}}){{2,7}}(?:\.[0-9]{{1,3}}){{0,3}}", _ipv6),
    Detector("ip", rf"(?<![\w:.])::(?:{_HEX}{{1,4}}:){{0,6}}{_HEX}{{1,4}}(?:\.[0-9]{{1,3}}){{0,3}}", _ipv6),
    Detector("phone", r"(?<![\w+])\+[1-9](?:[ \xa0()./-]{0,3}[0-9]){6,14}(?![0-9])"),
    Detector("phone", r"(?<![0-9])00[1-9][0-9]{0,2}[ \xa0./-](?:[ \xa0()./-]{0,2}[0-9]){6,12}(?![0-9])"),
    Detector("phone", r"\([0-9]{3}\)[ .-]?[0-9]{3}[ .-][0-9]{4}(?![0-9])"),
    Detector("phone", r"(?<![0-9.])[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}(?![0-9])"),
)
"""In order of priority: where several begin at the same character, the first one that matches is it."""
