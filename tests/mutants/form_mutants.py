"""Small lies about frames that are alike, and about windows that move: name, law, file, old, new, killer."""

from __future__ import annotations

_FORMS = "stages/test_edit_forms.py"
_PLAYS = "stages/test_check_plays.py"

FORMS = [
    (
        "a form outlives a frame of another",
        "redaction",
        "wire/edit.py",
        "        self._form = None\n        data = sse.payload(frame)",
        "        data = sse.payload(frame)",
        _FORMS,
    ),
    (
        "two texts are one",
        "redaction",
        "wire/edit_forms.py",
        "if len(keys) == 1 and len(frame)",
        "if keys and len(frame)",
        _FORMS,
    ),
    (
        "padding stays when its text has changed",
        "redaction",
        "wire/edit_forms.py",
        'if "padding" in parts.re.groupindex:',
        "if False:",
        _FORMS,
    ),
    (
        "numbers are the provider's",
        "redaction",
        "wire/openai_responses_edit.py",
        "said + self._shift if self._shift else None",
        "None",
        _FORMS,
    ),
    (
        "a delta that is left out has its number",
        "redaction",
        "wire/openai_responses_edit.py",
        '                self._shift -= 1\n                return b""',
        '                return b""',
        _FORMS,
    ),
    (
        "the later copies have the provider's text",
        "redaction",
        "wire/openai_responses_edit.py",
        "self._said.setdefault(spot.place, []).append(out)",
        "self._said.setdefault(spot.place, []).append(seen.text)",
        _FORMS,
    ),
    (
        "an instant is that of an earlier line",
        "redaction",
        "wire/ollama_chat_edit.py",
        'self._top["created_at"] = seen.parts["instant"].decode()',
        "pass",
        _FORMS,
    ),
    (
        "the text of a channel is still the provider's",
        "redaction",
        "wire/edit.py",
        "        self._text_changed(spot.place)\n        return seen.written",
        "        return seen.written",
        _FORMS,
    ),
    (
        "a window gives away more than half",
        "moderation",
        "stages/moderate/checks.py",
        "(self._policy.characters + 1) // 2 if self._full",
        "1 if self._full",
        _PLAYS,
    ),
    (
        "a window that is not full is even",
        "moderation",
        "stages/moderate/checks.py",
        "self._full = not idle and (self._full or behind > self._most)",
        "self._full = True",
        _PLAYS,
    ),
    (
        "a window shows words in bursts",
        "moderation",
        "stream/checked.py",
        "allowed = max(allowed, head)",
        "pass",
        _PLAYS,
    ),
]
