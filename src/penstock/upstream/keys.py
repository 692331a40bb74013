"""Keys that a program prints or a file holds."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import re
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from penstock.upstream.renewing import CredentialError, Fetched

logger = logging.getLogger("penstock.upstream")

COMMAND_TIME = 30.0
"""Seconds that a command may take."""
TTL = 300.0
"""Seconds that a printed key serves when neither it nor the configuration says."""
MARGIN = 30.0
"""Seconds before its expiry in which a key is no longer used: it must outlive the request on its way."""
FILE_TIME = 1.0
"""Seconds after which a file is looked at again."""
_LONGEST = 64 * 1024
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_TOKEN_FIELDS = ("token", "access_token", "accessToken", "id_token", "api_key", "key")
_EXPIRY_FIELDS = ("expires_on", "expires_at", "expiry", "expiration", "expirationTimestamp")


async def from_command(provider: str, command: tuple[str, ...], ttl: float | None) -> Fetched[str]:
    """The key that ``command`` prints: alone, or in a JSON object beside its expiry. Raises CredentialError."""
    where = f"api_key_command of the provider {provider}"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CredentialError(f"{where} cannot be run: {str(reason).lower()}") from error
    try:
        async with asyncio.timeout(COMMAND_TIME):
            printed, said = await process.communicate()
    except TimeoutError:
        raise CredentialError(f"{where} took longer than {COMMAND_TIME:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        # What it says may quote a secret: it is for the operator's log, not for a client.
        logger.warning("%s says: %s", where, " ".join(said[:400].decode("utf-8", "replace").split()))
        raise CredentialError(f"{where} failed with exit status {process.returncode}")
    return read_printed(printed, ttl, where, time.time())


def read_printed(printed: bytes, ttl: float | None, where: str, now: float) -> Fetched[str]:
    """What a command printed. ``now`` is Unix time. Raises CredentialError."""
    text = printed[: _LONGEST + 1].decode("utf-8", "replace").strip()
    expiry: float | None = None
    key: Any = text
    if text.startswith("{"):
        try:
            fields = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise CredentialError(f"{where} printed what is neither a key nor JSON") from None
        fields = fields["status"] if isinstance(fields.get("status"), dict) else fields
        key = next((fields[name] for name in _TOKEN_FIELDS if isinstance(fields.get(name), str)), "")
        expiry = _expiry(fields, now)
    if not isinstance(key, str) or len(key) > _LONGEST or not _VISIBLE.fullmatch(key):
        raise CredentialError(f"{where} printed no key: one line of visible ASCII, or a JSON object with a token")
    expiry = _expiry_of_jwt(key) if expiry is None else expiry
    if expiry is None:
        life = TTL if ttl is None else ttl
    else:
        life = expiry - now - MARGIN
        life = life if ttl is None else min(life, ttl)
    if life <= 0:
        # Expired, or about to be: it serves the requests that wait for it.
        return Fetched(key, FILE_TIME, FILE_TIME)
    return Fetched(key, life, life * 0.8)


def _expiry(fields: Mapping[str, Any], now: float) -> float | None:
    """When a key expires, in Unix time."""
    seconds = _number(fields.get("expires_in"))
    if seconds is not None:
        return now + seconds
    for name in _EXPIRY_FIELDS:
        value = fields.get(name)
        instant = _number(value)
        if instant is None and isinstance(value, str):
            with contextlib.suppress(ValueError):
                said = datetime.fromisoformat(value)
                instant = said.timestamp() if said.tzinfo else None
        if instant is not None:
            return instant
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d+)?", value):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _expiry_of_jwt(key: str) -> float | None:
    parts = key.split(".")
    if len(parts) != 3 or not key.startswith("eyJ"):
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return _number(claims.get("exp")) if isinstance(claims, dict) else None


async def from_file(provider: str, path: str) -> Fetched[str]:
    """The key in a file, blanks around it apart. Raises CredentialError."""
    where = f"api_key_file of the provider {provider}"
    try:
        held = await asyncio.to_thread(_read, path)
    except OSError as error:
        raise CredentialError(f"{where} cannot be read: {(error.strerror or str(error)).lower()}") from error
    key = held.decode("utf-8", "replace").strip()
    if not _VISIBLE.fullmatch(key):
        raise CredentialError(f"{where} holds no key: one line of visible ASCII")
    return Fetched(key, FILE_TIME, FILE_TIME)


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_LONGEST)
