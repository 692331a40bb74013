"""How a provider knows the gateway: keys, commands and files that give keys, AWS's credentials."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from penstock.config.reading import MASK, Field, Section
from penstock.wire.azure import WIRES as AZURE_WIRES
from penstock.wire.bedrock_wires import region_of

KEY = ("api_key", "api_key_command", "api_key_file")
AWS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
CREDENTIALS = (*KEY, "api_key_ttl", "api_version", "region", *AWS)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_VERSION = re.compile(r"[A-Za-z0-9.-]{1,64}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")
_COMMAND = "a list of a program and its arguments, such as [vault, read, -field=key, secret/llm]"


def credential(field: Field | None) -> str | None:
    """A secret that travels in a header: visible ASCII. None when absent, null or refused."""
    if field is None or field.null:
        return None
    allowed = "the credential itself, without spaces or line breaks"
    text = field.text(allowed)
    if text is not None and not _VISIBLE.fullmatch(text):
        field.fail(allowed=allowed)
        return None
    if text == MASK:
        field.report.warn(field.key, f"{MASK} is a mask from `penstock check --show`, not a credential")
    return text


def read_credentials(section: Section, wire: str | None, base_url: str | None) -> dict[str, Any]:
    """The fields of `Provider` that are about credentials."""
    read: dict[str, Any] = {"api_key": credential(section.get("api_key", secret=True))}
    read["api_key_command"] = _command(section.get("api_key_command"))
    read["api_key_file"] = _text(section.get("api_key_file"), "the path of a file that holds the key")
    given = [name for name in KEY if read[name]]
    for name in given[1:]:
        _fail(section, name, f"{given[0]} gives the key already", "one of " + ", ".join(KEY))
    read["api_key_ttl"] = section.deadline("api_key_ttl", None)
    if read["api_key_ttl"] is not None and not read["api_key_command"]:
        _fail(section, "api_key_ttl", "only the key of api_key_command grows old", "leave it out")
    read["api_version"] = _azure(section, wire)
    return read | _aws(section, wire, base_url, given)


def _fail(section: Section, name: str, message: str, allowed: str) -> None:
    field = section.get(name, secret=True)
    if field is not None:
        field.fail(message, found="", allowed=allowed)


def _text(field: Field | None, allowed: str) -> str | None:
    if field is None or field.null:
        return None
    text = field.text(allowed)
    if text == "":
        field.fail(allowed=allowed)
    return text or None


def _command(field: Field | None) -> tuple[str, ...]:
    if field is None or field.null:
        return ()
    words = [item.text("text on one line") for item in field.items(_COMMAND)]
    if not words or not words[0]:
        field.fail(found="", allowed=_COMMAND)
    return tuple(word for word in words if word is not None)


def _azure(section: Section, wire: str | None) -> str | None:
    field = section.get("api_version")
    if field is None or field.null:
        return None
    allowed = "a version of the Azure OpenAI API, such as 2024-10-21"
    version = field.text(allowed)
    if wire is not None and wire not in AZURE_WIRES:
        field.fail("only Azure OpenAI has versions", found="", allowed=f"with the wires {' and '.join(AZURE_WIRES)}")
    elif version is not None and not _VERSION.fullmatch(version):
        field.fail(allowed=allowed)
    return version


def _aws(section: Section, wire: str | None, base_url: str | None, keys: list[str]) -> dict[str, Any]:
    """Credentials and region of AWS; without any, requests are signed with what AWS's own chain finds."""
    names = ("region", *AWS)
    bedrock = wire is None or wire.startswith("bedrock-")
    if not bedrock:
        for name in names:
            _fail(section, name, f"{wire} is not a wire of AWS", "with bedrock-converse and bedrock-invoke")
        return {}
    read: dict[str, Any] = {name: credential(section.get(name, secret=True)) for name in AWS}
    given = [name for name in AWS if read[name]]
    if given and keys:
        _fail(section, given[0], f"{keys[0]} stands in place of a signature", "one of the two")
    for name in AWS[:2] if given else ():
        if not read[name]:
            message, allowed = f"missing beside {given[0]}", "the id and the secret of an access key"
            section.report.problem(f"{section.place.key}.{name}", section.place.line, message=message, allowed=allowed)
    region = read["region"] = _text(section.get("region"), "a region of AWS, such as us-east-1")
    if region is not None and not _REGION.fullmatch(region) and (field := section.get("region")) is not None:
        field.fail(allowed="a region of AWS, such as us-east-1")
    unnamed = base_url is not None and region_of(urlsplit(base_url).hostname or "") is None
    if wire is not None and unnamed and region is None and not keys:
        message, allowed = "missing: the base URL does not name it", "a region of AWS, such as us-east-1"
        section.report.problem(f"{section.place.key}.region", section.place.line, message=message, allowed=allowed)
    return read
