"""Which messages are worth knowing: a policy of its own, pure and without any model.

Consent decides first, then the caller, then rules: commands, bare links, emoji, greetings
and very short texts are not knowledge.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from gateway.flows.courtesies import COURTESIES
from gateway.models.messages import Message
from kith.identity.v1 import person_pb2

ConsentDefault = Literal["allow", "deny"]

# How much a letter says, by script: a Chinese character is a word, a kana or a Hangul block a
# syllable. A text of less than LEAST says nothing worth knowing, however it is written.
LEAST = 7.0
LEAST_OF_ONE_WORD = 12.0
# A text with so many letters is never a short one.
LONG = 80
_HEAVY = (
    (re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 3.0),
    (re.compile(r"[\uac00-\ud7af]"), 2.0),
    (re.compile(r"[\u3040-\u30ff]"), 1.5),
)

_COMMAND = re.compile(r"[/!][^\W\d_][\w@-]*(\s|$)")
_LINK = re.compile(r"<?(?:[a-z][a-z0-9+.-]{1,15}://|www\.)\S+>?", re.IGNORECASE)
# Discord writes its own emoji as <:name:id>, and a keycap is a digit with marks.
_EMOJI = re.compile(r"<a?:\w+:\d+>|[0-9#*]\ufe0f?\u20e3")
# The letters that people laugh with, by script.
_LAUGHTER = (
    *("ha", "he", "hi", "ja", "je", "lo", "ха", "хе", "ах", "w", "5", "ه", "ח"),
    *("\u110f", "\u1112", "哈", "呵", "嘿", "笑"),
)
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_RUN = re.compile(r"(.)\1{2,}")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a message becomes knowledge, and why."""

    wanted: bool
    reason: str


def allows(consent: person_pb2.Consent, purposes: tuple[str, ...], default: ConsentDefault) -> bool:
    """Whether somebody allows all of the purposes; one without a decision is the default's."""
    for purpose in purposes:
        state = consent.purposes.get(purpose, person_pb2.CONSENT_STATE_UNSET)
        granted = state == person_pb2.CONSENT_STATE_GRANTED
        denied = state == person_pb2.CONSENT_STATE_DENIED
        if denied or (default == "deny" and not granted):
            return False
    return True


def allows_text(consent: person_pb2.Consent, default: ConsentDefault) -> bool:
    """Whether what somebody says may be kept at all."""
    return allows(consent, ("messages",), default)


def allows_knowledge(consent: person_pb2.Consent, default: ConsentDefault) -> bool:
    """Whether what somebody says may become knowledge, and be found as such."""
    return allows(consent, ("messages", "knowledge"), default)


def should_store_as_knowledge(
    message: Message, consent: person_pb2.Consent, default: ConsentDefault = "allow"
) -> Decision:
    """The decision on one message of somebody who consents to this much."""
    if not allows_knowledge(consent, default):
        return Decision(False, "consent_denied")
    if message.store_as_knowledge is not None:
        asked = message.store_as_knowledge
        return Decision(asked, "asked_for" if asked else "declined")
    reason = irrelevance(message.text)
    return Decision(False, reason) if reason else Decision(True, "relevant")


def irrelevance(text: str) -> str | None:
    """Why a text is not worth knowing; None if it is."""
    # What the beginning of a long text says is enough.
    text = text.strip()[:4096]
    if _COMMAND.match(text):
        return "command"
    without_links = _LINK.sub(" ", text)
    if _is_long(without_links):
        return None
    words = _words(_EMOJI.sub(" ", without_links))
    if not words:
        if without_links != text:
            return "link"
        return "emoji" if _has_symbols(text) else "too_short"
    if _is_courtesy(words):
        return "greeting"
    return "too_short" if _is_too_short(words) else None


def _is_long(text: str) -> bool:
    """Whether there are enough different letters that no rule about short texts matters."""
    letters = list(islice((character for character in text if character.isalpha()), LONG))
    return len(letters) == LONG and len(set(letters)) > 4


def _words(text: str) -> list[str]:
    """Runs of letters, marks and digits, in one spelling: case, width and stretching aside."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    spaced = "".join(
        character if character == "'" or unicodedata.category(character)[0] in "LMN" else " "
        for character in plain
    )
    stripped = (word.strip("'") for word in spaced.split())
    # A mark alone is the variation selector of an emoji.
    return [word for word in stripped if any(unicodedata.category(c)[0] in "LN" for c in word)]


def _has_symbols(text: str) -> bool:
    return bool(_EMOJI.search(text)) or any(
        unicodedata.category(character) in ("So", "Sk", "Cs", "Cn") for character in text
    )


def _is_courtesy(words: list[str]) -> bool:
    """Whether nothing is said but hello, thanks, yes and the like, stretched or not."""
    said = " ".join(words)
    if said in _COURTESIES or _RUN.sub(r"\1", said) in _COURTESIES:
        return True
    # "hi there everyone", "ok thanks": courtesies one after the other.
    return all(_RUN.sub(r"\1", word) in _COURTESIES or _is_laughter(word) for word in words)


def _is_laughter(word: str) -> bool:
    return any(set(word) <= set(letters) for letters in _LAUGHTER)


def _is_too_short(words: list[str]) -> bool:
    letters = "".join(words)
    extra = sum(len(script.findall(letters)) * (weight - 1) for script, weight in _HEAVY)
    if len(words) == 1 and not extra:
        return len(letters) < LEAST_OF_ONE_WORD
    return len(letters) + extra < LEAST


_COURTESIES = frozenset(" ".join(_words(phrase)) for phrase in COURTESIES)
