"""Azure OpenAI: OpenAI's wires at other addresses, with the key in another header.

Without an API version in the configuration a provider on Azure is addressed as OpenAI is, which its ``/openai/v1``
takes.
"""

from __future__ import annotations

from urllib.parse import quote

WIRES = ("openai-chat", "openai-responses")
"""The wires that Azure speaks so."""


def path_of(wire: str, base_path: str, path: str, model: str, version: str) -> str:
    """The whole path of a request, with its query. ``base_path`` is that of the base URL, ``path`` what the wire puts
    behind it.

    Chat is asked of a deployment, by the name of the ``model``; Responses name it in the body. A base that ends in
    ``/openai/v1``, or names a deployment itself, is taken as it is.
    """
    base = base_path.rstrip("/")
    if not base.endswith("/v1") and "/openai/deployments/" not in base:
        base = base.removesuffix("/openai") + "/openai"
        if wire == "openai-chat":
            base += f"/deployments/{quote(model, safe='')}"
    mark = "&" if "?" in path else "?"
    return f"{base}{path}{mark}api-version={version}"


def credentials(key: str) -> list[tuple[str, str]]:
    """The header that carries a key; a token of Entra ID, which is a JWT, goes as a bearer token."""
    if key.startswith("eyJ") and key.count(".") == 2:
        return [("authorization", f"Bearer {key}")]
    return [("api-key", key)]
