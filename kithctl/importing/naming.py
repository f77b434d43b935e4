"""Gives messages that bring no id one that another import of the same file gives them again."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from kithctl.importing.records import Message, Record
from svckit import ids

_NAMED_BY = (
    "platform", "group_id", "session_id", "sender_id", "role", "to_sender_id", "timestamp", "text",
)  # fmt: skip


def named(records: Iterable[Record]) -> Iterator[Record]:
    """The same records, each message with a `message_id`.

    Messages that say the same count up in the order of the file, so that each of them is kept.
    """
    # A database without a name is SQLite's own temporary file: memory stays bounded. The thread
    # that drops this generator, and so closes the file, may be another than the one that read.
    counts = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        counts.execute("CREATE TABLE seen (name TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        for record in records:
            if isinstance(record, Message) and not record.body.get("message_id"):
                yield replace(record, body=record.body | {"message_id": _name(record.body, counts)})
            else:
                yield record
    finally:
        counts.close()


def _name(body: dict[str, Any], counts: sqlite3.Connection) -> str:
    name = ids.named("import", *(str(body.get(field, "")) for field in _NAMED_BY))
    (times,) = counts.execute(
        "INSERT INTO seen VALUES (?, 1) "
        "ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times",
        (name,),
    ).fetchone()
    return name if times == 1 else ids.derived(name, str(times))
