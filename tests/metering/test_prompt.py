"""Prompts: text to the token, images by rule, the rest flagged."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest
from mixed import VOCABULARIES

from penstock.metering.encodings import encoding_of, seed_of
from penstock.metering.images import Image, image_size, image_tokens
from penstock.metering.prompt import Counted, Prompt, count
from penstock.metering.tally import Meter
from penstock.stream.asked import prompt_of, tier_of
from penstock.wire.registry import CLIENT_WIRES

WIRES = {wire.name: wire for wire in CLIENT_WIRES}


def meter(model: str) -> Meter:
    own = encoding_of(model)
    name = own.name if own else "o200k_base"
    return Meter(model, lambda: VOCABULARIES.load(name), None if own else seed_of(model))


def asked(model: str, wire: str = "openai-chat", path: str = "/v1/chat/completions", **body) -> Counted:
    request = WIRES[wire].read(path, "", json.dumps({"model": model, "stream": True, **body}).encode())
    counted = count(prompt_of(WIRES[wire], request), meter(model))
    assert counted is not None
    return counted


HELLO = [{"role": "user", "content": "Hello world"}]


@pytest.mark.parametrize(
    ("model", "messages", "tokens"),
    [
        ("gpt-4o", HELLO, 9),
        ("gpt-3.5-turbo", [{"role": "user", "content": "Hey, what is up?"}], 13),
        ("gpt-4o", [{"role": "user", "content": "Say hello in one word"}], 12),
        ("gpt-5-mini", [{"role": "system", "content": "You are a helpful assistant"},
                        {"role": "user", "content": "Say hi in Portuguese"}], 19),
    ],
)  # fmt: skip
def test_text_is_counted_as_openai_reports_it(model, messages, tokens):
    """The numbers are those of recordings."""
    assert asked(model, messages=messages) == Counted(tokens, True)


def test_other_models_are_estimated():
    counted = asked("claude-sonnet-4-5", messages=HELLO)
    assert counted == Counted(round(9 * 1.2), False)


def test_tools_are_counted_and_flagged():
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    counted = asked("gpt-4o", messages=HELLO, tools=tools)
    assert counted.tokens > 15 and not counted.exact
    assert counted.warnings == ("prompt: tools are counted as their JSON",)


def test_a_request_that_only_its_provider_understands_is_counted_by_its_texts():
    counted = asked("gpt-4o", messages=[{"role": "user", "content": [{"type": "odd", "word": "Hello"}]}])
    assert counted.warnings == ("prompt: counted as all texts of the request",)
    assert counted.tokens > 3


def test_a_long_prompt_is_counted_in_slices():
    breaths: list[None] = []
    prompt = Prompt(texts=("word " * 10_000,), messages=1)
    counted = count(prompt, meter("gpt-4o"), lambda: breaths.append(None))
    assert counted == Counted(10_001 + 7, True)
    assert len(breaths) == 13


def test_without_a_vocabulary_there_is_no_count():
    assert count(Prompt(), Meter("m", lambda: None)) is None


@pytest.mark.parametrize(("tier", "wanted"), [("flex", "flex"), (None, ""), (7, "")])
def test_the_service_tier(tier, wanted):
    body = json.dumps({"model": "m", "messages": HELLO, "service_tier": tier}).encode()
    assert tier_of(WIRES["openai-chat"].read("/v1/chat/completions", "", body)) == wanted


# -- images -----------------------------------------------------------------------------------------------------------


def png(width: int, height: int) -> str:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return base64.b64encode(data).decode()


def jpeg(width: int, height: int) -> str:
    app = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return base64.b64encode(b"\xff\xd8" + app + frame).decode()


GIF = base64.b64encode(b"GIF89a" + struct.pack("<HH", 30, 20) + b"\0\0\0").decode()


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(1024, 768), (1024, 768)),
        (jpeg(640, 480), (640, 480)),
        (GIF, (30, 20)),
        (png(0, 5), None),
        ("AAAA", None),
        ("", None),
        ("\u00e9\u00e9\u00e9\u00e9", None),
        (base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10").decode(), None),
        (base64.b64encode(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9).decode(), None),
    ],
)
def test_sizes(data, size):
    assert image_size(data) == size


@pytest.mark.parametrize(
    ("model", "image", "tokens"),
    [
        ("gpt-4o", Image(png(1024, 1024)), 765),
        ("gpt-4o", Image(png(2048, 4096)), 1105),
        ("gpt-4o", Image(png(4096, 8192), "low"), 85),
        ("gpt-4o", Image("", "low"), 85),
        ("gpt-4o", Image(), None),
        ("gpt-4o-mini", Image(png(512, 512)), 2833 + 5667),
        ("gpt-4.1-mini", Image(png(512, 512)), None),
        ("claude-sonnet-4-5", Image(png(200, 200)), 53),
        ("claude-sonnet-4-5", Image(png(8000, 8000)), 1600),
        ("gemini-2.5-flash", Image(png(200, 200)), None),
    ],
)
def test_tokens_of_images(model, image, tokens):
    """The first two numbers are those of OpenAI's guide."""
    assert image_tokens(model, image) == tokens


def test_an_image_without_a_known_size_is_flagged():
    part = [{"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}, {"type": "text", "text": "?"}]
    counted = asked("gpt-4o", messages=[{"role": "user", "content": part}])
    assert counted.warnings == ("prompt: images that are not counted: 1",)
    assert counted.images == 1 and not counted.exact


def test_an_image_in_the_request_is_counted():
    url = "data:image/png;base64," + png(1024, 1024)
    part = [{"type": "image_url", "image_url": {"url": url}}]
    assert asked("gpt-4o", messages=[{"role": "user", "content": part}]) == Counted(765 + 7, True, 1)
