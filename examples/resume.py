"""Ask, and go on when the connection breaks: python resume.py http://127.0.0.1:8080 "Hello"."""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

WAIT, TRIES = 0.5, 8


def answer(base_url: str, prompt: str, model: str = "gpt-4o") -> Iterator[str]:
    """The pieces of the answer. Raises RuntimeError when it ends with an error."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
    headers = {"content-type": "application/json", "x-penstock-resume": "on"}
    request = urllib.request.Request(f"{base_url}/v1/chat/completions", json.dumps(body).encode(), headers)
    response = urllib.request.urlopen(request)
    stream, seen, tries = response.headers["x-penstock-stream"], 0, 0
    while True:
        try:
            with response:
                for data in events(response):
                    seen, tries = seen + 1, 0
                    if data == "[DONE]":
                        return
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise RuntimeError(chunk["error"]["message"])
                    for choice in chunk["choices"]:
                        yield choice["delta"].get("content") or ""
        except (OSError, http.client.HTTPException):
            pass  # The connection broke.
        response = go_on(f"{base_url}/v1/streams/{stream}/events?after={seen}", tries)
        tries += 1


def go_on(url: str, tries: int) -> "urllib.response.addinfourl":
    """The rest of the stream, as soon as the gateway can be reached."""
    while True:
        time.sleep(min(WAIT * 2**tries, 10) if tries else 0)
        tries += 1
        try:
            return urllib.request.urlopen(url)
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error
        except OSError:
            if tries > TRIES:
                raise


def events(response: "urllib.response.addinfourl") -> Iterator[str]:
    """The data of each event that is whole; comments have none."""
    data: list[str] = []
    for line in response:
        text = line.decode().rstrip("\r\n")
        if text.startswith("data: "):
            data.append(text[6:])
        elif not text and data:
            yield "\n".join(data)
            data = []


if __name__ == "__main__":
    for piece in answer(sys.argv[1], sys.argv[2]):
        print(piece, end="", flush=True)
    print()
