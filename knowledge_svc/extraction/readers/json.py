"""JSON: transcripts in the shapes that are about, else the strings in it.

A transcript is a list of objects that have a text and say who spoke or when; where it stands does
not matter. So these are read: a bare list, JSON Lines, Whisper's `segments`, `messages` of chat
APIs, Discord and Telegram (one chat or all), Slack's files, `utterances` of speech services.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import ijson

from knowledge_svc.extraction.parts import Given, Part, Text, broken, too_much
from knowledge_svc.extraction.readers.turns import is_turn, turn_of

# A string that goes on in the next block is read anew from its beginning.
_BLOCK = 4 << 20
_MARK = b"\xef\xbb\xbf"
# Nothing that people write is deeper, and each level costs in every path.
_MOST_DEPTH = 64

_Event = tuple[str, str, Any]


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    try:
        place = _place_of_turns(_events(file))
        if place is None:
            yield from _strings(_events(file))
        else:
            for value in ijson.items(_events(file), place):
                if isinstance(value, dict) and (turn := turn_of(value, place)):
                    yield turn
    except ijson.JSONError as error:
        raise broken("it is no JSON") from error
    except UnicodeDecodeError as error:
        raise broken("it is not in UTF-8") from error


def _events(file: BinaryIO) -> Iterator[_Event]:
    file.seek(0)
    file.seek(len(_MARK) if file.read(len(_MARK)) == _MARK else 0)
    basic = ijson.basic_parse(file, buf_size=_BLOCK, use_float=True, multiple_values=True)
    events: Iterator[_Event] = ijson.parse(_shallow(basic))
    return events


def _shallow(events: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    depth = 0
    for event, value in events:
        if event in ("start_map", "start_array"):
            depth += 1
            if depth > _MOST_DEPTH:
                raise too_much(f"it is nested deeper than {_MOST_DEPTH} levels")
        elif event in ("end_map", "end_array"):
            depth -= 1
        yield event, value


def _place_of_turns(events: Iterator[_Event]) -> str | None:
    """The path of the first objects in a list that are turns; of nested ones the outermost."""
    found: str | None = None
    opened: list[tuple[str, dict[str, Any]]] = []
    for place, event, value in events:
        if event == "start_map":
            _note(opened, place, {})
            opened.append((place, {}))
        elif event == "end_map":
            place, members = opened.pop()
            if _is_listed(place) and is_turn(members):
                found = place
            if found is not None and not any(place.endswith("item") for place, _ in opened):
                return found
        elif event == "start_array":
            _note(opened, place, [])
        elif event not in ("map_key", "end_array"):
            _note(opened, place, value)
    return found


def _note(opened: list[tuple[str, dict[str, Any]]], place: str, value: Any) -> None:
    """Remember a member of the innermost object, only the kind of it where it has parts."""
    if opened and not place.endswith(".item"):
        opened[-1][1][place.rpartition(".")[2]] = value


def _is_listed(place: str) -> bool:
    """Whether objects there stand in a list, of something longer than words."""
    return place in ("", "item") or (place.endswith(".item") and "words" not in place.split("."))


def _strings(events: Iterator[_Event]) -> Iterator[Part]:
    for _, event, value in events:
        if event == "string" and value.strip():
            yield Text(value + "\n")
