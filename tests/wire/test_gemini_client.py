"""gemini, client side: requests, what is passed on of them, and everything that Penstock says itself."""

from __future__ import annotations

import json

import msgspec
import pytest

from penstock.errors import BadRequest, Fault
from penstock.testing.gemini import request, session
from penstock.usage import Usage
from penstock.wire.base import Body, View
from penstock.wire.gemini_client import GeminiClient, read_request, serves
from penstock.wire.gemini_errors import bad_request_body
from penstock.wire.gemini_wire import GeminiClientWire, GeminiFramer, GeminiUpstream
from penstock.wire.openai_chat_client import read_request as read_chat

WIRE, UPSTREAM = GeminiClientWire(), GeminiUpstream()

# -- requests ---------------------------------------------------------------------------------------------------------

PATHS = {
    "/v1beta/models/gemini-x:streamGenerateContent": ("gemini-x", True),
    "/v1/models/gemini-x:streamGenerateContent": ("gemini-x", True),
    "/v1alpha/models/gemini-x:generateContent": ("gemini-x", False),
    "/v1beta/models/org/team/x:generateContent": ("org/team/x", False),
    "/v1beta/models/models/x:generateContent": ("models/x", False),
    "/v1beta/models/gemma:4b:generateContent": ("gemma:4b", False),
    "/v1beta/models/sim?tokens=5&gap=1ms:streamGenerateContent": ("sim?tokens=5&gap=1ms", True),
    "/v1beta/tunedModels/mine:generateContent": ("tunedModels/mine", False),
}


@pytest.mark.parametrize(("path", "meant"), PATHS.items(), ids=PATHS)
def test_the_model_and_the_method_are_in_the_path(path, meant):
    assert serves(path)
    asked = read_request(path, "", b'{"contents":[]}')
    assert (asked.model, asked.stream) == meant
    assert asked.include_usage


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/x:countTokens",
        "/v1beta/models/x",
        "/v1beta/models/:generateContent",
        "/v1beta/files/x:generateContent",
        "/v2/models/x:generateContent",
        "/v1/chat/completions",
        "/v1/models",
    ],
)
def test_other_paths_are_not_of_this_wire(path):
    assert not serves(path)
    with pytest.raises(BadRequest):
        read_request(path, "", b"{}")


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"null"])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(BadRequest) as caught:
        request_of(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def request_of(body: bytes, query: str = "alt=sse", path: str = "/v1beta/models/m:streamGenerateContent"):
    return read_request(path, query, body)


QUERIES = {
    "": ("", True),
    "alt=sse": ("?alt=sse", False),
    "alt=json": ("?alt=json", True),
    "key=SECRET": ("", True),
    "alt=sse&key=SECRET": ("?alt=sse", False),
    "access_token=SECRET&alt=sse": ("?alt=sse", False),
    "$alt=sse": ("?$alt=sse", False),
    "%24alt=json%3Benum-encoding%3Dint": ("?$alt=json;enum-encoding=int", True),
    "alt=sse&prettyPrint=false": ("?alt=sse&prettyPrint=false", False),
}


@pytest.mark.parametrize(("query", "wanted"), QUERIES.items(), ids=QUERIES)
def test_the_form_is_in_the_query_and_credentials_go_no_further(query, wanted):
    asked = request(query)
    path = UPSTREAM.path(asked, "gemini-x")
    assert path == "/v1beta/models/gemini-x:streamGenerateContent" + wanted[0]
    told = session(query)
    assert told.array is wanted[1]
    kind = b"application/json; charset=UTF-8" if wanted[1] else b"text/event-stream; charset=utf-8"
    assert told.content_type == kind
    assert dict(UPSTREAM.headers(asked))["accept"] == kind.decode().partition(";")[0]
    assert "SECRET" not in path


@pytest.mark.parametrize("query", ["", "alt=json", "alt=sse", "key=k&$alt=json"])
def test_a_whole_answer_is_made_of_events(query):
    asked = request(query, stream=False)
    assert UPSTREAM.path(asked, "m") == "/v1beta/models/m:streamGenerateContent?alt=sse"
    assert session(query, stream=False).array is False


def test_a_client_of_another_wire_gets_events():
    asked = read_chat(b'{"model":"m","stream":true,"messages":[]}')
    assert UPSTREAM.path(asked, "m").endswith("?alt=sse")
    assert dict(UPSTREAM.headers(asked))["accept"] == "text/event-stream"


def test_an_alt_that_nobody_speaks_is_refused():
    with pytest.raises(BadRequest) as caught:
        request("alt=proto")
    assert caught.value.param == "alt"


MODELS = {
    "gemini-x": "models/gemini-x",
    "models/gemini-x": "models/gemini-x",
    "tunedModels/mine": "tunedModels/mine",
    "org/x": "models/org/x",
    "gemma:4b": "models/gemma:4b",
    "sim?tokens=5&gap=1ms": "models/sim%3Ftokens%3D5%26gap%3D1ms",
    "ü#x": "models/%C3%BC%23x",
}


@pytest.mark.parametrize(("model", "path"), MODELS.items(), ids=MODELS)
def test_a_model_s_name_is_safe_in_a_path(model, path):
    assert UPSTREAM.path(request(), model) == f"/v1beta/{path}:streamGenerateContent?alt=sse"


def test_the_body_is_the_client_s_own():
    body = b'{"contents":[{"parts":[{"text":"\\u00fc"}]}],"x":{"y":1.0},"generationConfig":null}'
    assert UPSTREAM.body(request_of(body), "other", ask_usage=True) == body


def test_credentials_are_in_a_header():
    assert UPSTREAM.credentials("SECRET") == [("x-goog-api-key", "SECRET")]


def test_a_gemini_client_is_served_by_gemini_only():
    with pytest.raises(BadRequest) as caught:
        WIRE.conversation(request())
    assert caught.value.code == "unsupported_wire"
    assert "gemini providers only" in caught.value.message
    with pytest.raises(BadRequest):
        session().writer()


# -- what Penstock says -----------------------------------------------------------------------------------------------

CUT = Fault("it was cut", "upstream_cut", "server_error", 502, outcome="upstream_cut")


def test_an_error_frame_is_what_google_genai_raises_on():
    frame = session().error_frame(CUT)
    assert frame.startswith(b'data: {"error":{"code":502,') and frame.endswith(b"}\r\n\r\n")
    body = json.loads(frame[6:])
    assert list(body) == ["error"]
    assert body["error"]["status"] == "UNAVAILABLE" and body["error"]["message"] == "it was cut"
    (info,) = body["error"]["details"]
    assert info["reason"] == "UPSTREAM_CUT"
    assert info["metadata"] == {"stream": "st_play", "outcome": "upstream_cut", "type": "server_error"}
    assert session().cuts_after_error


def test_an_error_in_an_array_is_its_last_element_and_closes_it():
    told = session("")
    assert not told.cuts_after_error
    assert json.loads(told.error_frame(CUT))[0]["error"]["code"] == 502
    told.begun = True
    rest = told.error_frame(CUT)
    assert rest.startswith(b',\r\n{"error":{"code":502,')
    assert len(json.loads(b"[{}" + rest)) == 2


def test_an_error_body_has_the_form_that_was_asked_for():
    assert json.loads(session().error_body(CUT))["error"]["code"] == 502
    assert json.loads(session("").error_body(CUT))[0]["error"]["code"] == 502
    assert json.loads(session("", stream=False).error_body(CUT))["error"]["code"] == 502


WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@pytest.mark.parametrize(("status", "word"), WORDS.items(), ids=str)
def test_every_status_has_its_word(status, word):
    body = json.loads(session().error_body(Fault("x", "c", status=status)))
    assert (body["error"]["code"], body["error"]["status"]) == (status, word)
    if status < 500:
        refusal = json.loads(bad_request_body(BadRequest("x", status=status, code="c"), "st_1"))
        assert (refusal["error"]["code"], refusal["error"]["status"]) == (status, word)


def test_a_provider_s_own_error_keeps_its_words_and_its_hint():
    hint = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    report = UPSTREAM.error(
        json.dumps(
            [
                {
                    "error": {
                        "code": 429,
                        "message": "slow down",
                        "status": "RESOURCE_EXHAUSTED",
                        "details": [hint],
                        "x": 1,
                    }
                }
            ]
        ).encode()
    )
    assert report.retry_after == 7
    fault = Fault(report.message, report.code, report.type, report.status, None, "upstream_error", report.fields)
    said = json.loads(session().error_body(fault))["error"]
    assert (said["code"], said["status"], said["message"], said["x"]) == (429, "RESOURCE_EXHAUSTED", "slow down", 1)
    assert said["details"][0] == hint
    assert said["details"][1]["reason"] == "UPSTREAM_ERROR"


def test_the_end_of_the_gateway_says_when_to_come_back():
    fault = Fault("going down", "shutdown", "server_error", 503, outcome="shutdown")
    details = json.loads(session().error_body(fault))["error"]["details"]
    assert details[-1]["retryDelay"] == "1s"


def test_a_refusal_names_the_field():
    said = json.loads(WIRE.refusal(BadRequest("no", param="alt", code="invalid_request"), "st_1"))["error"]
    assert (said["code"], said["status"], said["message"]) == (400, "INVALID_ARGUMENT", "no")
    assert said["details"][0]["fieldViolations"] == [{"field": "alt", "description": "no"}]
    assert said["details"][1]["metadata"] == {"stream": "st_1", "code": "invalid_request"}


def test_keepalives_are_blank_lines_and_there_are_none_in_an_array():
    assert session().keepalive() == b"\r\n"
    assert session("").keepalive() == b""
    assert session().skipped() == session().end_marker() == b""


def test_a_stopped_answer_is_finished():
    usage = Usage(input=5, output=2, reasoning=3, cache_read=4)
    frame = session().stop_frames("r1", "gemini-x", usage)
    body = json.loads(frame.removeprefix(b"data: "))
    assert frame.endswith(b"\r\n\r\n")
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert body["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 14,
    }
    assert (body["modelVersion"], body["responseId"]) == ("gemini-x", "r1")
    told = session("")
    assert len(json.loads(told.stop_frames("", "", None))) == 1
    told.begun = True
    assert len(json.loads(b"[{}" + told.stop_frames("", "", None))) == 2


# -- what a body is ---------------------------------------------------------------------------------------------------

BODIES = {
    "events": (b"data: {}", Body.STREAM),
    "an array": (b"[{", Body.STREAM),
    "an array behind space": (b"\r\n [{", Body.STREAM),
    "an array behind a mark": (b"\xef\xbb\xbf[", Body.STREAM),
    "a document": (b"{", Body.WHOLE),
    "a page": (b"<html>", Body.WHOLE),
    "nothing yet": (b"\r\n", Body.UNKNOWN),
}


@pytest.mark.parametrize(("start", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/json; charset=UTF-8", b""])
def test_what_a_body_is_its_first_characters_say(start, body, kind):
    assert UPSTREAM.sniff(start, kind) is body


def test_a_document_in_place_of_a_stream_is_one_chunk():
    body = b'{\n "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]\n}'
    (frame,) = UPSTREAM.whole(body)
    one = UPSTREAM.decoder(View(), session())
    handed_on, events = one.decode(frame)
    assert handed_on == frame and events[0].text == "Hi"
    assert one.incomplete(clean=True) is None


def test_an_error_in_place_of_a_stream():
    assert UPSTREAM.whole(b'{"error":{"code":500,"message":"x","status":"INTERNAL"}}').status == 500
    assert UPSTREAM.whole(b"<html>") is None
    assert UPSTREAM.whole(b'{"x":1}') is None
    assert UPSTREAM.error(b"<html>") is None
    assert UPSTREAM.error(b"[]") is None


@pytest.mark.parametrize("start", [b"", b"\r\n", b"\n \n"])
def test_the_framer_waits_for_the_first_character(start):
    framer = GeminiFramer(1 << 20)
    assert framer.feed(start) == []
    assert framer.pending == len(start)
    assert framer.feed(b'[{"a":1}]') == [start + b'[{"a":1}', b"]"]
    other = GeminiFramer(1 << 20)
    other.feed(start)
    frames = other.feed(b"data: {}\n\n")
    assert b"".join(frames) == start + b"data: {}\n\n"
    waiting = GeminiFramer(1 << 20)
    waiting.feed(start)
    assert waiting.close() == start


def test_the_session_is_the_client_s():
    told = WIRE.session(request(), "st_1")
    assert isinstance(told, GeminiClient)
    assert msgspec.json.decode(told.fold().answer()) == {}
