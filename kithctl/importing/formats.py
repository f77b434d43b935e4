"""Which formats can be read, and how a file tells its own."""

import codecs
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import BinaryIO

import ijson

from kithctl.importing import ndjson, telegram
from kithctl.importing.records import Record, UnreadableFile


class Format(StrEnum):
    """What a file may be."""

    AUTO = "auto"
    NDJSON = "ndjson"
    TELEGRAM = "telegram"


READERS: dict[Format, Callable[[BinaryIO], Iterator[Record]]] = {
    Format.NDJSON: ndjson.read,
    Format.TELEGRAM: telegram.read,
}

# Keys of the outermost object that only one of the formats has.
_TELLING = {
    **dict.fromkeys(("platform", "sender_id", "text"), Format.NDJSON),
    **dict.fromkeys(("messages", "chats", "left_chats", "about"), Format.TELEGRAM),
    **dict.fromkeys(("personal_information", "contacts"), Format.TELEGRAM),
}
_HEAD_BYTES = 1 << 16


def detect(file: BinaryIO) -> Format:
    """The format of a file, which is left at its start.

    Raises UnreadableFile where the first object has no key that tells.
    """
    head = file.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8)
    file.seek(0)
    if not head.strip():
        return Format.NDJSON
    try:
        for prefix, event, value in ijson.parse(head, multiple_values=True):
            if not prefix and event == "map_key" and value in _TELLING:
                return _TELLING[value]
            if not prefix and event in ("end_map", "start_array"):
                break
    except ijson.JSONError:
        pass  # cut off in the middle, or no JSON at all: nothing has told what it is
    raise UnreadableFile(
        "the file looks neither like message bodies nor like a Telegram export; --format says which"
    )
