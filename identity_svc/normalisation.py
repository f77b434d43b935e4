"""One spelling for one platform id: a table of rules, and the one function that applies them.

Normalising what is normalised already changes nothing, so answers can be asked with.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from identity_svc.domain.people import Account
from svckit.errors import InvalidRequest

MOST_CHARACTERS = 256


@dataclass(frozen=True)
class Rule:
    """What a platform ignores in its ids."""

    case: bool = False
    leading_at: bool = False


_HANDLES = Rule(case=True, leading_at=True)
_NAMES = Rule(case=True)
_EXACT = Rule()

# Platforms that are not here take their ids literally. Ids of digits come through every
# rule as they are, so that a platform may have both numbers and handles.
RULES: Mapping[str, Rule] = {
    "bluesky": _HANDLES,
    "email": _NAMES,
    "github": _HANDLES,
    "gitlab": _HANDLES,
    "instagram": _HANDLES,
    "mastodon": _HANDLES,
    "reddit": _NAMES,
    "telegram": _HANDLES,
    "threads": _HANDLES,
    "twitch": _HANDLES,
    "twitter": _HANDLES,
    "x": _HANDLES,
}


def account(platform: str, given: str, field: str = "platform_id") -> Account:
    """The account that an id, as the platform or a person gives it, stands for.

    `platform` is in lower case. Raises InvalidRequest, naming `field`, for an id that is
    empty, too long or holds control characters.
    """
    # Before anything else is done with it; composition may lengthen a text, hence again below.
    _check_length(given, field)
    rule = RULES.get(platform, _EXACT)
    text = unicodedata.normalize("NFC", given.strip())
    if not text.isprintable() and any(unicodedata.category(each) == "Cc" for each in text):
        raise InvalidRequest(field, "holds a control character")
    if rule.leading_at:
        while text.startswith("@"):
            text = text[1:].lstrip()
    if rule.case:
        text = unicodedata.normalize("NFC", text.lower())
    if not text:
        raise InvalidRequest(field, "is required")
    _check_length(text, field)
    return Account(platform, text, given)


def _check_length(text: str, field: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequest(
            field, f"is {len(text)} characters long; at most {MOST_CHARACTERS} are allowed"
        )
