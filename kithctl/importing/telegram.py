"""Reads the `result.json` of a Telegram export: of one chat, or of a whole account.

The file may be far larger than memory, so it is read as a stream of JSON events; Telegram writes
a chat's `id` and `name` before its `messages`, and that order is relied upon.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import ijson

from kithctl.importing.records import Malformed, Message, Record, Skipped, UnreadableFile

# Where a chat stands: alone in the file, or in one of an account's two lists.
_CHATS = ("", "chats.list.item", "left_chats.list.item")

Event = tuple[str, str, Any]


def read(file: BinaryIO) -> Iterator[Record]:
    """The records of an export; raises UnreadableFile where it breaks off or has no chats."""
    number = 0
    try:
        for chat, message in _messages(ijson.parse(file, use_float=True)):
            number += 1
            yield _record(number, chat, message)
    except ijson.JSONError as error:
        why = str(error).partition("\n")[0]
        raise UnreadableFile(f"the file is not whole JSON after message {number}: {why}") from error


def _messages(events: Iterator[Event]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each message with what its chat's head says, `id` and `name`."""
    chat_at = {_within(chat, "messages.item"): chat for chat in _CHATS}
    head_at = {_within(chat, name): name for chat in _CHATS for name in ("id", "name")}
    lists = {_within(chat, "messages") for chat in _CHATS}
    chat: dict[str, Any] = {}
    found = False
    for prefix, event, value in events:
        if event == "start_map" and prefix in _CHATS:
            chat = {}
        elif prefix in head_at:
            chat[head_at[prefix]] = value
        elif event == "start_map" and prefix in chat_at:
            yield chat, _built(prefix, events)
        elif event == "start_array" and (prefix in lists or prefix == "chats.list"):
            found = True
    if not found:
        raise UnreadableFile(
            "the file is no Telegram export: it has neither `messages` nor `chats`"
        )


def _within(chat: str, name: str) -> str:
    return f"{chat}.{name}" if chat else name


def _built(prefix: str, events: Iterator[Event]) -> dict[str, Any]:
    """The object that has just begun at prefix."""
    builder = ijson.ObjectBuilder()
    builder.event("start_map", None)
    for at, event, value in events:
        builder.event(event, value)
        if event == "end_map" and at == prefix:
            break
    built: dict[str, Any] = builder.value
    return built


def _record(number: int, chat: dict[str, Any], message: dict[str, Any]) -> Record:
    kind = message.get("type")
    if kind != "message":
        return Skipped(number, "service message" if kind == "service" else "unsupported message")
    text = _flattened(message.get("text"))
    if not text.strip():
        return Skipped(number, "without text")
    sender = message.get("from_id")
    if not sender:
        return Skipped(number, "without sender")
    if chat.get("id") is None or message.get("id") is None:
        return Malformed(number, "has no id, or its chat has none before its messages")
    try:
        timestamp = _moment(message, "date")
        edited_at = _moment(message, "edited")
    except (ValueError, TypeError, OverflowError):
        return Malformed(number, "has a date that cannot be read")
    body = {
        "platform": "telegram",
        "sender_id": str(sender).removeprefix("user"),
        "text": text,
        "timestamp": timestamp,
        "message_id": str(message["id"]),
        "session_id": str(chat["id"]),
        "metadata": {
            "sender_name": message.get("from"),
            "chat_name": chat.get("name"),
            "reply_to_message_id": _text_or_none(message.get("reply_to_message_id")),
            "forwarded_from": message.get("forwarded_from"),
            "edited_at": edited_at,
        },
    }
    return Message(number, _without_none(body))


def _flattened(text: Any) -> str:
    """A message's text: a string, or pieces that are strings or entities with a `text`."""
    if isinstance(text, str):
        return text
    if not isinstance(text, list):
        return ""
    pieces = (piece.get("text") if isinstance(piece, dict) else piece for piece in text)
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _moment(message: dict[str, Any], name: str) -> str | None:
    """A time of a message as ISO 8601, None where it has none.

    Old exports lack the `…_unixtime` and say the local time of whoever made them, without the
    zone; taken as UTC, so that every import of the file means the same.
    """
    seconds, local = message.get(f"{name}_unixtime"), message.get(name)
    if seconds is not None:
        moment = datetime.fromtimestamp(int(seconds), UTC)
    elif local is not None:
        moment = datetime.fromisoformat(local).replace(tzinfo=UTC)
    else:
        return None
    return moment.isoformat().replace("+00:00", "Z")


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in body.items()
        if value is not None
    }
