"""What lets a provider's requests in: the credential, and how a request carries it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from penstock.stream.inputs import Headers
from penstock.upstream.origin import Endpoint
from penstock.upstream.renewing import Renewing

Fields = list[tuple[str, str]]
T = TypeVar("T")
SECRET_LENGTH = 8
"""Letters of the shortest secret."""
_REMEMBERED = 12
_STALE = (b"ExpiredToken", b"UnrecognizedClient", b"InvalidSignature", b"InvalidClientTokenId")


class Secrets:
    """What a provider might echo and nobody may see: the credentials, of those that are renewed the latest. Short ones
    are left out: they are none, but words ("ollama")."""

    def __init__(self, *configured: bytes):
        self._configured = tuple(secret for secret in configured if len(secret) >= SECRET_LENGTH)
        self._renewed: deque[bytes] = deque(maxlen=_REMEMBERED)

    def add(self, *secrets: bytes) -> None:
        """More of them; the oldest are forgotten."""
        self._renewed.extend(s for s in secrets if len(s) >= SECRET_LENGTH and s not in self._renewed)

    def __iter__(self) -> Iterator[bytes]:
        return iter((*self._configured, *self._renewed))


class Authority(Generic[T]):
    """The credential of one provider: ``fixed``, or from ``renewing``.

    ``sign`` is given a credential, where the request goes, its headers and its body, and gives the headers with the
    credential in them.
    """

    def __init__(
        self,
        sign: Callable[[T, Endpoint, Fields, bytes], Fields],
        *,
        fixed: T | None = None,
        renewing: Renewing[T] | None = None,
    ):
        self.sign = sign
        self._fixed = fixed
        self._renewing = renewing

    @property
    def renews(self) -> bool:
        """Another credential may be had where one is refused."""
        return self._renewing is not None

    def at_hand(self) -> T | None:
        """The credential, where it need not be waited for."""
        return self._fixed if self._renewing is None else self._renewing.at_hand()

    async def get(self, refused: T | None = None) -> T:
        """The credential; another one than ``refused``, if there is one. Raises CredentialError."""
        if self._renewing is not None:
            return await self._renewing.get(refused)
        assert self._fixed is not None
        return self._fixed

    def refuses(self, status: int, headers: Headers) -> bool:
        """Whether an answer means that the credential is not good (any more): 401, and of AWS 403 in words of the
        credential and not of what it may do."""
        if status != 403:
            return status == 401
        return any(name == b"x-amzn-errortype" and value.startswith(_STALE) for name, value in headers)

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._renewing is not None:
            await self._renewing.close()
