"""Requests of other wires, written for Gemini: what is carried, and what is refused by the client's own name for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import BadRequest
from penstock.wire.conversation import (
    Conversation,
    Format,
    ImagePart,
    Message,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from penstock.wire.gemini_translate import NO_SIGNATURE, request_body
from penstock.wire.openai_chat_client import read_request
from penstock.wire.openai_chat_translate import conversation as of_chat


def written(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    fields.setdefault("messages", (Message("user", (TextPart("Hi"),)),))
    return json.loads(request_body(Conversation(**fields), model))


def contents(*messages: Message, model: str = "gemini-2.5-flash") -> list[dict[str, Any]]:
    return written(model, messages=messages)["contents"]


def from_chat(model: str = "gemini-2.5-flash", **body: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
    return json.loads(request_body(of_chat(read_request(json.dumps(body).encode())), model))


def refused(**body: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        from_chat(**body)
    return caught.value


# -- turns ------------------------------------------------------------------------------------------------------------


def test_the_least_request():
    assert written() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_system_words_are_an_instruction():
    assert written(system=("Be", "brief"))["systemInstruction"] == {"parts": [{"text": "Be"}, {"text": "brief"}]}


def test_turns_and_empty_texts():
    assert contents(
        Message("user", (TextPart("a"), TextPart(""), TextPart("b"))),
        Message("assistant", (TextPart(""),)),
        Message("assistant", (TextPart("c"),)),
        Message("user", (TextPart(""),)),
    ) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": ""}]},
    ]


CALL = ToolCallPart("c1", "f", '{"a":1}')


def test_calls_and_results_have_their_names():
    assert contents(
        Message("assistant", (TextPart("so"), CALL, ToolCallPart("c2", "g", ""))),
        Message(
            "user",
            (
                TextPart("and"),
                ToolResultPart("c1", (TextPart('{"x":1}'),)),
                ToolResultPart("c2", (TextPart("no"),), is_error=True),
            ),
        ),
    ) == [
        {
            "role": "model",
            "parts": [
                {"text": "so"},
                {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"output": {"x": 1}}}},
                {"functionResponse": {"id": "c2", "name": "g", "response": {"error": "no"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and"}]},
    ]


@pytest.mark.parametrize(
    ("text", "output"), [("sunny", "sunny"), ("[1]", [1]), ("{bad", "{bad"), ("5", "5"), ("", ""), ('"x"', '"x"')]
)
def test_what_a_tool_gave(text, output):
    (_, result) = contents(Message("assistant", (CALL,)), Message("user", (ToolResultPart("c1", (TextPart(text),)),)))
    assert result["parts"][0]["functionResponse"]["response"] == {"output": output}


def test_a_result_names_its_tool_itself_or_its_call_does():
    (content,) = contents(Message("user", (ToolResultPart("c9", (TextPart("x"),), name="f"),)))
    assert content["parts"][0]["functionResponse"]["name"] == "f"
    with pytest.raises(BadRequest, match="c9") as caught:
        contents(Message("user", (ToolResultPart("c9", (TextPart("x"),)),)))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("arguments", ["{", "[1]", "7"])
def test_arguments_that_are_no_object_are_refused(arguments):
    with pytest.raises(BadRequest):
        contents(Message("assistant", (ToolCallPart("c1", "f", arguments),)))


def test_images_in_results():
    image = ImagePart(data="iVBO", media_type="image/png")
    (_, content) = contents(
        Message("assistant", (CALL,)), Message("user", (ToolResultPart("c1", (TextPart("x"), image)),))
    )
    assert content["parts"][0]["functionResponse"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    ]
    with pytest.raises(BadRequest):
        contents(
            Message("assistant", (CALL,)),
            Message("user", (ToolResultPart("c1", (ImagePart(url="https://x/y.png"),)),)),
        )


# -- thoughts ---------------------------------------------------------------------------------------------------------


def test_signatures_go_back_where_they_were():
    call = ToolCallPart("c1", "f", "{}", "S2")
    (content,) = contents(Message("assistant", (ThinkingPart("hm", "S1"), TextPart("a"), call)))
    assert content["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "a", "thoughtSignature": "S1"},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "S2"},
    ]


def test_a_signature_without_a_part_behind_it():
    (content,) = contents(Message("assistant", (TextPart("a"), ThinkingPart("", "S1"))))
    assert content["parts"] == [{"text": "a"}, {"text": "", "thoughtSignature": "S1"}]


def test_withheld_reasoning_of_another_provider_stays_behind():
    (content,) = contents(Message("assistant", (ThinkingPart(signature="X", redacted=True), TextPart("a"))))
    assert content["parts"] == [{"text": "a"}]


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("gemini-3-pro-preview", NO_SIGNATURE),
        ("gemini-3.5-flash", NO_SIGNATURE),
        ("gemini-flash-latest", NO_SIGNATURE),
        ("gemini-2.5-pro", None),
        ("sim", None),
    ],
)
def test_calls_that_lost_their_signature(model, signature):
    """Gemini 3 refuses them; the first of a turn has the word that Google documents for it."""
    (content,) = contents(Message("assistant", (CALL, ToolCallPart("c2", "g", "{}"))), model=model)
    assert content["parts"][0].get("thoughtSignature") == signature
    assert "thoughtSignature" not in content["parts"][1]


# -- images -----------------------------------------------------------------------------------------------------------

IMAGES = {
    "data": (
        "data:image/png;base64,iVBO",
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
    ),
    "https": ("https://x/y.JPG?z=1", {"fileData": {"fileUri": "https://x/y.JPG?z=1", "mimeType": "image/jpeg"}}),
    "https without a type": ("https://x/y", {"fileData": {"fileUri": "https://x/y"}}),
    "Google's storage": ("gs://b/o.webp", {"fileData": {"fileUri": "gs://b/o.webp", "mimeType": "image/webp"}}),
}


def with_image(url: str, **more: Any) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url, **more}}
    return from_chat(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, part]}])


@pytest.mark.parametrize(("url", "part"), IMAGES.values(), ids=IMAGES)
def test_images(url, part):
    assert with_image(url)["contents"][0]["parts"] == [{"text": "?"}, part]


@pytest.mark.parametrize("url", ["http://x/y.png", "ftp://x", "file:///etc/passwd", "y.png"])
def test_images_that_gemini_cannot_fetch_are_refused(url):
    with pytest.raises(BadRequest, match="https:// or gs://") as caught:
        with_image(url)
    assert caught.value.param == "messages"


def test_detail_is_one_for_the_request():
    assert with_image("https://x/y", detail="low")["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert with_image("https://x/y", detail="high")["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}
    assert "generationConfig" not in with_image("https://x/y", detail="auto")
    several = tuple(ImagePart(url="https://x/y", detail=detail) for detail in ("low", "high"))
    with pytest.raises(BadRequest, match="one detail"):
        contents(Message("user", several))


# -- tools ------------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/A"}},
    "$defs": {"A": {}},
    "additionalProperties": False,
}


def test_schemas_go_as_they_are():
    body = written(tools=(Tool("f", "does f", SCHEMA), Tool("g")))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does f", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]


CHOICES = {
    "nothing said": (None, False, {"mode": "AUTO"}),
    "auto": (ToolChoice("auto"), False, {"mode": "AUTO"}),
    "none": (ToolChoice("none"), False, {"mode": "NONE"}),
    "required": (ToolChoice("required"), False, {"mode": "ANY"}),
    "named": (ToolChoice("named", "f"), False, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    "strict": (None, True, {"mode": "VALIDATED"}),
    "strict and required": (ToolChoice("required"), True, {"mode": "ANY"}),
}


@pytest.mark.parametrize(("choice", "strict", "config"), CHOICES.values(), ids=CHOICES)
def test_the_choice_of_tools(choice, strict, config):
    body = written(tools=(Tool("f", strict=strict or None),), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_without_tools():
    assert "toolConfig" not in written(tool_choice=ToolChoice("none"))
    with pytest.raises(BadRequest) as caught:
        written(tool_choice=ToolChoice("required"))
    assert caught.value.param == "tool_choice"


def test_parallel_calls_cannot_be_forbidden():
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "tools" in from_chat(tools=tools, parallel_tool_calls=True)
    assert refused(tools=tools, parallel_tool_calls=False).param == "parallel_tool_calls"


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_have_google_s_names():
    body = written(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=("a", "b"),
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0,
    )
    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 3,
        "seed": 7,
        "frequencyPenalty": 0.1,
        "presencePenalty": 0,
        "stopSequences": ["a", "b"],
    }


def test_the_form_of_the_answer():
    assert written(format=Format())["generationConfig"] == {"responseMimeType": "application/json"}
    assert written(format=Format(SCHEMA, "x", True))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }


EFFORTS = {
    ("gemini-2.5-flash", "low"): {"thinkingBudget": 1024, "includeThoughts": True},
    ("gemini-2.5-flash", "high"): {"thinkingBudget": 24576, "includeThoughts": True},
    ("gemini-2.5-flash", "none"): {"thinkingBudget": 0, "includeThoughts": False},
    ("gemini-3-flash-preview", "minimal"): {"thinkingLevel": "minimal", "includeThoughts": True},
    ("gemini-3.1-pro-preview", "minimal"): {"thinkingLevel": "low", "includeThoughts": True},
    ("gemini-3-flash-preview", "medium"): {"thinkingLevel": "medium", "includeThoughts": True},
    ("gemini-3-flash-preview", "none"): {"thinkingBudget": 0, "includeThoughts": False},
    ("models/gemini-flash-latest", "high"): {"thinkingLevel": "high", "includeThoughts": True},
}


@pytest.mark.parametrize(("asked", "config"), EFFORTS.items(), ids=map(" ".join, EFFORTS))
def test_effort_is_a_budget_or_a_level(asked, config):
    model, effort = asked
    assert from_chat(model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == config


def test_a_budget_is_a_budget():
    budget = written(thinking_budget=2048)["generationConfig"]["thinkingConfig"]
    assert budget == {"thinkingBudget": 2048, "includeThoughts": True}
    assert written(thinking_budget=0)["generationConfig"]["thinkingConfig"]["includeThoughts"] is False
    with pytest.raises(BadRequest):
        written(thinking_budget=1, effort="low")


REFUSED = {
    "reasoning_effort": {"reasoning_effort": "xhigh"},
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "audio": {"audio": {"voice": "x"}},
    "modalities": {"modalities": ["text", "audio"]},
    "logit_bias": {"logit_bias": {"1": 1}},
}


@pytest.mark.parametrize(("param", "body"), REFUSED.items(), ids=REFUSED)
def test_what_has_no_place_here_is_refused_by_name(param, body):
    error = refused(**body)
    assert (error.status, error.code, error.param) == (400, "unsupported_field", param)


def test_every_field_of_a_conversation_is_carried_or_refused():
    """A field that someone adds is not dropped in silence."""
    carried = {
        "tools", "tool_choice", "parallel_tools", "max_tokens", "temperature", "top_p", "top_k", "stop", "seed",
        "frequency_penalty", "presence_penalty", "format", "effort", "thinking_budget", "system", "messages", "names",
        "user",  # left behind: it only names the end user to the provider
    }  # fmt: skip
    for name in set(Conversation.__struct_fields__) - carried:
        with pytest.raises(BadRequest):
            written(**{name: "x"})
