"""What is looked for in the texts of events, as regular expressions that Postgres understands.

Case is folded character by character (Unicode's simple folding), and the two ways to write an
accent are one; `ß` and `ss` are two different texts. A word ends where letters, digits and
marks end. Scripts that put no spaces between words have none that could be told without a
dictionary: there a word is found wherever it occurs.
"""

import unicodedata
from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import groupby

MOST_WORDS = 32

# Thai to Lao, Myanmar, Hangul (which takes its particles without a space), Khmer, Tai Le to
# Tai Tham, everything CJK, Hangul again, compatibility and full-width forms.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x1950, 0x1AAF),
    (0x2E80, 0xA4CF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF),
    (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
# No letter beyond has a case, or belongs to a script that is written with spaces.
_END = 0x1F000


class Mode(Enum):
    """How a text is looked for."""

    WORDS = "words"
    SUBSTRING = "substring"


def patterns_of(query: str, mode: Mode) -> list[str]:
    """The expressions that all have to match an event's texts; none where there is no word.

    Nothing in a query is special: it is matched as it is written.
    """
    if mode is Mode.SUBSTRING:
        return [_literal(query)]
    return list(dict.fromkeys(_word(word) for chunk in query.split() for word in _words_in(chunk)))


def _words_in(chunk: str) -> Iterator[str]:
    """The words of a text without spaces; all of it where it has none, such as an emoji."""
    words = ["".join(characters) for kind, characters in groupby(chunk, _kind) if kind != "other"]
    yield from words or [chunk]


def _word(word: str) -> str:
    if _kind(word[0]) != "spaced":
        return _literal(word)
    letters = _letters()
    return f"(?<![{letters}])(?:{_literal(word)})(?![{letters}])"


def _literal(text: str) -> str:
    forms = dict.fromkeys([text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))])
    return "|".join("".join(map(_any_case, form)) for form in forms)


def _any_case(character: str) -> str:
    variants = _variants().get(_folded(character))
    if variants is not None:
        return f"[{variants}]"
    # In ASCII, what is no letter, digit or space may mean something to Postgres.
    is_plain = character.isalnum() or character.isspace() or not character.isascii()
    return character if is_plain else f"\\{character}"


def _folded(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


@cache
def _variants() -> dict[str, str]:
    """Everything that folds to a character, where that is more than itself."""
    found: dict[str, str] = {}
    for character in map(chr, range(_END)):
        if (folded := _folded(character)) != character:
            found[folded] = found.get(folded, folded) + character
    return found


def _kind(character: str) -> str:
    if character != "_" and unicodedata.category(character)[0] not in "LMN":
        return "other"
    point = ord(character)
    return "unspaced" if any(a <= point <= b for a, b in _UNSPACED) else "spaced"


@cache
def _letters() -> str:
    """What a word of a script with spaces goes on with, as the inside of a bracket."""
    ranges = []
    for is_letter, points in groupby(range(_END), lambda point: _kind(chr(point)) == "spaced"):
        if is_letter:
            first, *_, last = [*points] * 2
            ranges.append(chr(first) if first == last else f"{chr(first)}-{chr(last)}")
    return "".join(ranges)
