"""One spelling for one platform id: a table of rules, and the one function that applies them.

Normalising what is normalised already changes nothing, so answers can be asked with.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import phonenumbers

from identity_svc.domain.people import Account
from svckit.errors import InvalidRequest

MOST_CHARACTERS = 256


@dataclass(frozen=True)
class Rule:
    """How a platform writes its ids, and what it ignores in them; applied in this order."""

    # One `@` or more before the id.
    leading_at: bool = False
    # Spellings, and what each is rewritten to, as long as one that matches the whole id changes it.
    spellings: tuple[tuple[re.Pattern[str], str], ...] = ()
    # The punctuation of phone numbers with their country code.
    phone: bool = False
    case: bool = False


def _spelling(pattern: str, written: str) -> tuple[re.Pattern[str], str]:
    return re.compile(pattern, re.IGNORECASE | re.ASCII), written


_EXACT = Rule()
_NAMES = Rule(case=True)
_HANDLES = Rule(case=True, leading_at=True)
# Which country a number without its code belongs to, nobody knows: it is taken literally.
_NUMBERS = Rule(phone=True, case=True, spellings=(_spelling(r"(?:tel|sms):\s*(.+)", r"\1"),))
_WHATSAPP = Rule(
    phone=True,
    spellings=(
        # A number has its country code with or without a plus; behind it may stand an agent
        # and a device.
        _spelling(r"\+?([1-9]\d{4,14})(?:\.\d+)?(?::\d+)?@(?:s\.whatsapp\.net|c\.us)", r"+\1"),
        _spelling(r"([1-9]\d{6,14})(?:\.\d+)?(?::\d+)?", r"+\1"),
        _spelling(r"(?:whatsapp|tel):\s*(.+)", r"\1"),
        # A hidden number's stand-in: an account of its own until somebody links the two.
        _spelling(r"(\d+)(?:\.\d+)?(?::\d+)?@lid", r"\1@lid"),
    ),
)
_SLACK = Rule(
    # Ids of users are unique in their team; alone they are another spelling of nothing.
    spellings=tuple(
        (re.compile(pattern, re.ASCII), r"\g<team>:\g<user>")
        for pattern in (
            r"(?P<team>[TE][A-Z0-9]+)\s*[:/|.@-]\s*(?P<user>[UWB][A-Z0-9]+)",
            r"(?P<user>[UWB][A-Z0-9]+)\s*[:/|.@-]\s*(?P<team>[TE][A-Z0-9]+)",
        )
    )
)

# Platforms that are not here take their ids literally. Ids of digits come through every
# rule but WhatsApp's as they are, so that a platform may have both numbers and handles.
RULES: Mapping[str, Rule] = {
    "bluesky": _HANDLES,
    "email": _NAMES,
    "github": _HANDLES,
    "gitlab": _HANDLES,
    "imessage": _NUMBERS,
    "instagram": _HANDLES,
    "mastodon": _HANDLES,
    "phone": _NUMBERS,
    "reddit": _NAMES,
    "signal": _NUMBERS,
    "slack": _SLACK,
    "sms": _NUMBERS,
    "telegram": _HANDLES,
    "threads": _HANDLES,
    "twitch": _HANDLES,
    "twitter": _HANDLES,
    "whatsapp": _WHATSAPP,
    "x": _HANDLES,
}

_PHONE = re.compile(r"[+＋][\d\s().\-/\u2010-\u2015\u2212]+")
_MOST_DIGITS = 15

# What shows nothing around an id: blanks, and the marks for the direction of writing and the
# like that address books wrap numbers in, and that come along when these are copied.
_AROUND = "".join(filter(str.isspace, map(chr, range(0x10000)))) + (
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)


def account(platform: str, given: str, field: str = "platform_id") -> Account:
    """The account that an id, as the platform or a person gives it, stands for.

    `platform` is in lower case. Raises InvalidRequest, naming `field`, for an id that is
    empty, too long or holds control characters.
    """
    # Before anything else is done with it; composition may lengthen a text, hence again below.
    _check_length(given, field)
    text = unicodedata.normalize("NFC", given.strip(_AROUND))
    if not text.isprintable() and any(unicodedata.category(each) == "Cc" for each in text):
        raise InvalidRequest(field, "holds a control character")
    text = _applied(RULES.get(platform, _EXACT), text)
    if not text:
        raise InvalidRequest(field, "is required")
    _check_length(text, field)
    return Account(platform, text, given)


def _applied(rule: Rule, text: str) -> str:
    if rule.leading_at:
        while text.startswith("@"):
            text = text[1:].lstrip(_AROUND)
    while (rewritten := _rewritten(rule, text)) != text:
        text = rewritten
    if rule.phone and _PHONE.fullmatch(text):
        text = _e164(text)
    if rule.case:
        text = unicodedata.normalize("NFC", text.lower())
    return text


def _rewritten(rule: Rule, text: str) -> str:
    matches = ((pattern.fullmatch(text), written) for pattern, written in rule.spellings)
    return next((match.expand(written).strip(_AROUND) for match, written in matches if match), text)


def _e164(text: str) -> str:
    """A number that begins with a plus as `+` and digits; what is none stays as it is."""
    digits = "+" + "".join(str(unicodedata.decimal(each)) for each in text if each.isdecimal())
    if not 2 <= len(digits) <= 1 + _MOST_DIGITS + 1:
        return text
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        # A country code that the package does not know yet.
        return digits
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    # Where a prefix can be taken off twice, none is taken off.
    return written if written == _parsed_again(written) else digits


def _parsed_again(written: str) -> str:
    try:
        number = phonenumbers.parse(written, None)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _check_length(text: str, field: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequest(
            field, f"is {len(text)} characters long; at most {MOST_CHARACTERS} are allowed"
        )
