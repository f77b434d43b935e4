"""Objects of JSON transcripts as turns, by the names that programs give to the same things."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from knowledge_svc.extraction.parts import Turn

# Of several names in one object the first counts: Telegram's `date` has no zone, Slack's `user` is
# an id.
_TEXTS = ("text", "content", "transcript", "message", "body", "utterance")
_SPEAKERS = (
    "user_profile", "speaker", "speaker_label", "sender_name", "from", "sender", "author", "name",
    "role", "username", "user", "participant",
)  # fmt: skip
_NAMES = ("nickname", "real_name", "display_name", "name", "username", "role", "id")
_TIMES = (
    "date_unixtime", "timestamp_ms", "timestamp", "ts", "created_at", "create_time", "sent_at",
    "datetime", "date", "time", "start", "start_time", "startTime", "offset",
)  # fmt: skip
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,6}))?")
# No recording is three years long, and nobody chatted before 1973.
_FIRST_MOMENT = 1e8


def is_turn(members: Mapping[str, Any]) -> bool:
    """Whether an object has a text, and says who spoke or when."""
    has_text = any(isinstance(members.get(name), str | list) for name in _TEXTS)
    return has_text and any(members.get(name) is not None for name in (*_SPEAKERS, *_TIMES))


def turn_of(members: Mapping[str, Any], place: str) -> Turn | None:
    """An object as a turn, None where nothing is said in it."""
    text = next(filter(None, (_text(members.get(name)) for name in _TEXTS)), "")
    if not text:
        return None
    speaker = next(filter(None, (_name(members.get(name)) for name in _SPEAKERS)), None)
    said_at, seconds = None, None
    for name in _TIMES:
        value = members.get(name)
        if "utterances" in place and isinstance(value, int) and value < _FIRST_MOMENT:
            value = value / 1000
        said_at, seconds = _time(value)
        if said_at is not None or seconds is not None:
            break
    return Turn(text, speaker, said_at, seconds)


def _text(value: Any) -> str:
    """Text as it is, or the pieces of it: strings, and objects with a `text`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_pieces(value))
    return ""


def _pieces(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        piece = value.get("text") if isinstance(value, dict) else value
        if isinstance(piece, str):
            yield piece


def _name(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"Speaker {value}"
    if isinstance(value, dict):
        return next(filter(None, (_name(value.get(name)) for name in _NAMES)), None)
    return None


def _time(value: Any) -> tuple[str | None, float | None]:
    """A moment as ISO 8601, or seconds from the beginning; a moment without zone is in UTC."""
    if isinstance(value, str):
        if clock := _CLOCK.fullmatch(value.strip()):
            hours, minutes, seconds, fraction = clock.groups()
            whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
            return None, whole + float(f"0.{fraction or 0}")
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return _from_number(value.strip().removesuffix("s"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(), None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    return None, None


def _from_number(value: str | float) -> tuple[str | None, float | None]:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None, None
    if not math.isfinite(number) or number < 0:
        return None, None
    if number < _FIRST_MOMENT:
        return None, number
    # Seconds, milliseconds or finer: whichever puts it before the year 5138.
    while number >= 1e11:
        number /= 1000
    return datetime.fromtimestamp(number, UTC).isoformat(), None
