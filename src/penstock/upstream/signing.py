"""AWS: requests signed with SigV4, by botocore's own signer and with the credentials that botocore finds.

No client of botocore's is on a stream's path: signing is a call, made for each request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from penstock.upstream.origin import Endpoint
from penstock.upstream.renewing import CredentialError, Fetched

logger = logging.getLogger("penstock.upstream")

SERVICE = "bedrock"
LOOK_AGAIN = 60.0
"""Seconds for which what botocore gave is used: it renews its own credentials in time, when it is asked."""
INSTALL = "signing for AWS needs botocore: pip install 'penstock[aws]'"
_NOT_SIGNED = frozenset({"x-amzn-trace-id"})


class AwsKeys(msgspec.Struct, frozen=True):
    """An access key of AWS."""

    access_key: str
    secret_key: str
    token: str | None = None

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What must never reach a client; AWS quotes the signed headers in its errors."""
        return tuple(part.encode() for part in (self.access_key, self.secret_key, self.token) if part)


class Signer:
    """Signs for one region. Raises CredentialError when botocore is not installed."""

    def __init__(self, region: str):
        try:
            from botocore import auth, awsrequest, credentials
        except ImportError:
            raise CredentialError(INSTALL) from None
        self._auth: Any = auth
        self._request: Any = awsrequest.AWSRequest
        self._credentials: Any = credentials.Credentials
        self._region = region

    def sign(
        self, keys: AwsKeys, endpoint: Endpoint, headers: list[tuple[str, str]], body: bytes
    ) -> list[tuple[str, str]]:
        """``headers`` with the signature's own. Signed are the host, the content type and what is AWS's."""
        origin = endpoint.origin
        mine = [
            (name, value)
            for name, value in headers
            if name.lower() == "content-type" or (name.lower().startswith("x-amz") and name.lower() not in _NOT_SIGNED)
        ]
        url = f"{origin.scheme}://{origin.authority}{endpoint.path}"
        request = self._request(method="POST", url=url, data=body, headers={"host": origin.authority, **dict(mine)})
        credentials = self._credentials(keys.access_key, keys.secret_key, keys.token)
        self._auth.SigV4Auth(credentials, SERVICE, self._region).add_auth(request)
        signed = {name.lower(): value for name, value in request.headers.items() if name.lower() != "host"}
        others = [(name, value) for name, value in headers if name.lower() not in signed]
        return [*others, *signed.items()]


class AwsChain:
    """botocore's default chain: environment, shared files, SSO, a container's or an instance's role."""

    def __init__(self, provider: str):
        self._provider = provider
        self._found: Any = None

    async def fetch(self, refused: AwsKeys | None) -> Fetched[AwsKeys]:
        """The credentials as they are now; looked for anew where the last were refused. Raises CredentialError."""
        keys = await asyncio.to_thread(self._look, anew=refused is not None)
        return Fetched(keys, LOOK_AGAIN, LOOK_AGAIN * 0.75)

    def _look(self, *, anew: bool) -> AwsKeys:
        where = f"the AWS credentials of the provider {self._provider}"
        try:
            from botocore.session import Session
        except ImportError:
            raise CredentialError(INSTALL) from None
        try:
            if self._found is None or anew:
                self._found = Session().get_credentials()
            frozen = None if self._found is None else self._found.get_frozen_credentials()
        except Exception as error:
            # Of many kinds, and no two of one family: profiles, SSO, metadata services.
            logger.warning("%s: %s", where, error)
            raise CredentialError(f"{where} cannot be had: {type(error).__name__}") from error
        if frozen is None or not frozen.access_key:
            raise CredentialError(
                f"{where} are missing: set aws_access_key_id and aws_secret_access_key, an api_key, or what AWS's own "
                "tools look for"
            )
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token)
