"""Which messages are worth knowing."""

import time

import pytest

from gateway.flows.relevance import Decision, irrelevance, should_store_as_knowledge
from gateway.models.messages import Message
from kith.identity.v1 import person_pb2
from tests.support.messages import a_message

GRANTED, DENIED = person_pb2.CONSENT_STATE_GRANTED, person_pb2.CONSENT_STATE_DENIED


def decide(default: str = "allow", consent: dict[str, int] | None = None, **changes: object):
    message = Message.model_validate(a_message(**changes))
    purposes = person_pb2.Consent(purposes=consent or {})  # type: ignore[arg-type]
    return should_store_as_knowledge(message, purposes, default)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "I'm vegan",
        "I like jazz",
        "Thanks, I moved to Lisbon",
        "see https://example.org for my favourite pasta",
        "🎉 I got the job!",
        "Спасибо, я живу в Риме",
        "我喜欢爵士乐",
        "我吃素",
        "猫が好き",
        "채식해요",
        "أنا أعيش في القاهرة",
        "אני גר בתל אביב",
        "ฉันชอบกินข้าวผัดมาก",
        "/home/ada is where my files are",
        "!!! I am moving house",
        "x" * 500,
    ],
)
def test_what_somebody_says_about_themselves_is_knowledge(text: str):
    assert irrelevance(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/start", "command"),
        ("/remember@my_bot I like jazz", "command"),
        ("!help", "command"),
        ("https://example.org/a?b=c", "link"),
        ("www.example.org", "link"),
        ("<https://example.org> https://example.com", "link"),
        ("👍", "emoji"),
        ("👍🏽 👨‍👩‍👧 ❤️", "emoji"),
        ("1️⃣", "emoji"),
        ("<:party:123456>", "emoji"),
        ("hi", "greeting"),
        ("Heyyyy!!!", "greeting"),
        ("Good morning, everyone 👋", "greeting"),
        ("Ｈｅｌｌｏ", "greeting"),
        ("grüß dich", "greeting"),
        ("¡Buenos días!", "greeting"),
        ("Привет!", "greeting"),
        ("السلام عليكم", "greeting"),
        ("שלום", "greeting"),
        ("नमस्ते", "greeting"),
        ("你好", "greeting"),
        ("谢谢！", "greeting"),
        ("おはようございます。", "greeting"),
        ("안녕하세요~", "greeting"),
        ("hahahahaha", "greeting"),
        ("ㅋㅋㅋㅋ", "greeting"),
        ("哈哈哈哈", "greeting"),
        ("no way", "too_short"),
        ("ok then", "too_short"),
        ("vegan", "too_short"),
        ("...", "too_short"),
        ("12345", "too_short"),
        ("去吧", "too_short"),
        ("   ", "too_short"),
    ],
)
def test_what_says_nothing_about_anybody_is_not(text: str, reason: str):
    assert irrelevance(text) == reason


@pytest.mark.parametrize(
    "text",
    ["ha" * 16000, "a+" * 16000, "z" * 32000, "<a:" * 10000, "hi " * 10000, "http://" * 4000],
)
def test_no_text_makes_the_rules_slow(text: str):
    started = time.perf_counter()

    irrelevance(text)

    assert time.perf_counter() - started < 0.2


def test_the_caller_knows_better_than_the_rules():
    assert decide(text="hi", store_as_knowledge=True) == Decision(True, "asked_for")
    assert decide(store_as_knowledge=False) == Decision(False, "declined")


@pytest.mark.parametrize("purpose", ["messages", "knowledge"])
def test_consent_comes_before_everything(purpose: str):
    decision = decide(consent={purpose: DENIED}, store_as_knowledge=True)

    assert decision == Decision(False, "consent_denied")


def test_what_was_never_decided_is_as_the_deployment_says():
    both = {"messages": GRANTED, "knowledge": GRANTED}

    assert decide("allow").wanted
    assert not decide("deny").wanted
    assert not decide("deny", {"knowledge": GRANTED}).wanted
    assert decide("deny", both).wanted
