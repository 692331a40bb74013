"""The redact stage: channels, actions, placeholders and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redact_plainly import cut, every_cut

from penstock.stages.contract import Block, Channel, Stage
from penstock.stages.redact.pattern import PatternError
from penstock.stages.redact.policy import KINDS, RedactPolicy, check_custom
from penstock.stages.redact.redactor import Redaction, Redactor
from penstock.stages.redact.vault import Unmask, Vault, beginnings

TEXT = Channel("text")
ADDRESS, CARD = "jane.doe@example.com", "4111 1111 1111 1111"


def redact(text: str, **policy) -> str | Block:
    return Redactor(RedactPolicy(detectors=("email", "credit_card"), **policy)).open().whole(text)


def answered(redaction: Redaction, pieces: list[str], channel: Channel = TEXT) -> str:
    return "".join([*(str(redaction.feed(channel, piece)) for piece in pieces), str(redaction.flush(channel))])


def test_it_is_a_stage():
    redactor = Redactor(RedactPolicy())
    assert isinstance(redactor.open(), Stage)
    assert redactor.name == "redact"


def test_a_match_is_replaced():
    assert redact(f"Ask {ADDRESS}.") == "Ask [email]."
    assert redact(f"Ask {ADDRESS}.", replace="<{kind} removed>") == "Ask <email removed>."
    assert redact(f"Ask {ADDRESS}.", replace="") == "Ask ."


def test_a_mask_leaves_the_last_four_of_what_is_long_enough():
    assert redact(f"Card {CARD}!", action="mask") == "Card ****1111!"
    assert redact("To a@b.co!", action="mask") == "To ****!"


def test_a_hash_is_the_same_for_the_same_text_and_key_only():
    once, again, other = (redact(ADDRESS, action="hash", hash_key=key) for key in ("k1", "k1", "k2"))
    assert once == again != other
    assert ADDRESS not in once and once.startswith("[email:") and len(once) == len("[email:]") + 16
    assert redact("\ud83d a@b.co", action="hash").startswith("\ud83d [email:")


def test_a_block_names_the_kind_and_not_the_text():
    assert redact(f"Hello. {ADDRESS}", action="block") == Block("email", "Hello. ")
    assert redact(f"Hello. {ADDRESS}", actions=(("credit_card", "block"),)) == "Hello. [email]"
    assert redact(f"{ADDRESS} {CARD}.", actions=(("credit_card", "block"),)) == Block("credit_card", "[email] ")


def test_each_kind_may_have_its_own_action():
    assert redact(f"{ADDRESS} {CARD}.", actions=(("credit_card", "mask"),)) == "[email] ****1111."


def test_channels_do_not_mix():
    redaction = Redactor(RedactPolicy(detectors=("email",))).open()
    other, call = Channel("text", choice=1), Channel("arguments", part=2)
    assert redaction.feed(TEXT, "jane.") == ""
    assert redaction.feed(other, "doe@example.com ") == "[email] "
    assert redaction.feed(call, "doe@") == ""
    assert [redaction.held(channel) for channel in (TEXT, other, call)] == [5, 0, 4]
    assert redaction.flush(TEXT) == "jane."
    assert redaction.flush(call) == "doe@"
    assert redaction.flush(Channel("refusal")) == ""
    assert redaction.findings() == {"email": 1}


def test_findings_count_by_kind():
    redaction = Redactor(RedactPolicy(detectors=KINDS)).open()
    answered(redaction, [f"{ADDRESS} {CARD} a@b.co ", f"{CARD}"])
    assert redaction.findings() == {"email": 2, "credit_card": 2}


def test_own_patterns_come_first():
    redactor = Redactor(
        RedactPolicy(detectors=("email",), custom=(("ticket", r"\bT-\d{4,8}\b"), ("boss", "jane.{0,20}")))
    )
    for pieces in every_cut("See T-12345, not T-1 or xT-12345; jane@example.com"):
        assert answered(redactor.open(), pieces) == "See [ticket], not T-1 or xT-12345; [boss]"


def test_own_patterns_know_all_of_unicode():
    redactor = Redactor(RedactPolicy(custom=(("name", "张伟|(?i:ÉMILE)"),)))
    for pieces in every_cut("是张伟和émile"):
        assert answered(redactor.open(), pieces) == "是[name]和[name]"


def test_a_pattern_wider_than_the_cap_is_refused():
    check_custom("a{1,100}", hold=101)
    with pytest.raises(PatternError, match=r"101 characters, and hold is 101"):
        check_custom("a{1,100}b", hold=101)


# Tokens: out with the prompt, back with the answer.

PROMPT = ["Write to jane.doe@example.com and to bob@example.com, again jane.doe@example.com"]


def tokenised() -> tuple[Redaction, list[str]]:
    redaction = Redactor(RedactPolicy(detectors=("email", "phone"), action="tokenise")).open()
    masked = redaction.prompt(PROMPT)
    assert not isinstance(masked, Block)
    return redaction, masked


def test_the_provider_sees_placeholders_that_are_stable():
    _, masked = tokenised()
    assert masked == ["Write to <EMAIL_1> and to <EMAIL_2>, again <EMAIL_1>"]


def test_the_client_sees_the_text_again_at_every_cut():
    for pieces in every_cut("Dear <EMAIL_1>, <EMAIL_2>!"):
        redaction, _ = tokenised()
        assert answered(redaction, pieces) == "Dear jane.doe@example.com, bob@example.com!"


def test_what_was_not_issued_stays_as_it_is_at_every_cut():
    text = "<EMAIL_3> <EMAIL_12 <<EMAIL_1>> <email_1> a < b <EMAIL_1"
    for pieces in every_cut(text):
        redaction, _ = tokenised()
        assert answered(redaction, pieces) == text.replace("<EMAIL_1>", "jane.doe@example.com")


def test_what_the_model_itself_says_stays_masked():
    redaction, _ = tokenised()
    assert answered(redaction, list("Call +1 555 123 4567, <PHONE_1>")) == "Call <PHONE_1>, <PHONE_1>"


def test_only_the_beginning_of_an_issued_placeholder_is_held():
    redaction, _ = tokenised()
    assert redaction.feed(TEXT, "x <EMAI") == "x "
    assert redaction.held(TEXT) == 5
    assert redaction.feed(TEXT, "N ") == "<EMAIN "
    assert redaction.feed(TEXT, "<PHONE ") == "<PHONE "


def test_a_placeholder_that_the_client_wrote_itself_is_never_issued():
    redaction = Redactor(RedactPolicy(detectors=("email",), action="tokenise")).open()
    assert redaction.prompt(["Keep <EMAIL_1>.", "a@b.co"]) == ["Keep <EMAIL_1>.", "<EMAIL_2>"]
    assert answered(redaction, ["<EMAIL_1> <EMAIL_2>"]) == "<EMAIL_1> a@b.co"


def test_a_blocked_prompt_says_so():
    redaction = Redactor(RedactPolicy(detectors=("email",), action="block")).open()
    assert redaction.prompt(["fine", "to a@b.co"]) == Block("email", "to ")


def test_a_block_in_the_answer_keeps_what_was_unmasked():
    redaction = Redactor(
        RedactPolicy(detectors=("email", "ssn"), action="tokenise", actions=(("ssn", "block"),))
    ).open()
    redaction.prompt(["a@b.co"])
    assert redaction.feed(TEXT, "To <EMAIL_1>: 123-45-6789 <") == Block("ssn", "To a@b.co: ")


@given(
    st.lists(st.sampled_from(["<EMAIL_1>", "<EMAIL_1", "<", ">", "EMAIL_", "12>", "日", "<IP_1>", "x"]), max_size=12),
    st.lists(st.integers(0, 100), max_size=8),
)
def test_unmasking_does_not_depend_on_the_split(parts, places):
    vault = Vault()
    for number in range(12):
        vault.placeholder("email", f"m{number}")
    vault.placeholder("ip", "::1")
    texts, text = vault.texts, "".join(parts)
    expected = text
    for placeholder, original in texts.items():
        expected = expected.replace(placeholder, original)
    for pieces in (list(text), cut(text, *places), [text]):
        unmask = Unmask(texts, beginnings(texts))
        assert "".join([*(unmask.feed(piece) for piece in pieces), unmask.flush()]) == expected


def test_the_steps_that_the_page_shows_are_those_that_are_taken():
    page = (Path(__file__).parents[2] / "docs" / "guardrails.md").read_text("utf-8")
    table = page.partition("step by step")[2].partition("| --- |")[2]
    rows = [
        [cell.strip().strip("`") for cell in line.split("|")[1:4]] for line in table.splitlines()[1:] if "|" in line
    ]
    redaction = Redactor(RedactPolicy(detectors=("email",))).open()
    text = ""
    for delta, out, held in rows[:-1]:
        text += delta
        assert redaction.feed(TEXT, delta) == out
        assert redaction.held(TEXT) == len(held)
        assert text.endswith(held)
    assert [redaction.flush(TEXT)] == [row[1] for row in rows[-1:]]
    assert len(rows) == 7
