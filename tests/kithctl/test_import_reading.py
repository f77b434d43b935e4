"""What is read from the files that can be imported."""

import io
import json

import pytest

from kithctl.importing import ndjson, telegram
from kithctl.importing.formats import Format, detect
from kithctl.importing.records import Malformed, Message, Skipped, UnreadableFile


def a_telegram_message(**changes):
    message = {
        "id": 11,
        "type": "message",
        "date": "2024-03-01T10:00:00",
        "date_unixtime": "1709287200",
        "from": "Noor",
        "from_id": "user900",
        "text": "hello",
    }
    return {**message, **changes}


def an_export(*messages):
    return {"name": "Flat", "type": "private_group", "id": 77, "messages": list(messages)}


def read_telegram(export):
    text = export if isinstance(export, str) else json.dumps(export, indent=1)
    return list(telegram.read(io.BytesIO(text.encode())))


def read_lines(text):
    return list(ndjson.read(io.BytesIO(text.encode())))


def test_a_telegram_message_becomes_the_body_of_a_message():
    (record,) = read_telegram(an_export(a_telegram_message()))

    assert record == Message(
        1,
        {
            "platform": "telegram",
            "sender_id": "900",
            "text": "hello",
            "timestamp": "2024-03-01T10:00:00Z",
            "message_id": "11",
            "session_id": "77",
            "metadata": {"sender_name": "Noor", "chat_name": "Flat"},
        },
    )


def test_pieces_and_entities_of_a_text_are_joined():
    text = ["see ", {"type": "link", "text": "https://kith.example"}, " ", {"type": "bold"}, "💛"]

    (record,) = read_telegram(an_export(a_telegram_message(text=text)))

    assert record.body["text"] == "see https://kith.example 💛"


def test_edits_replies_and_forwards_stand_in_the_metadata():
    message = a_telegram_message(
        edited="2024-03-01T11:00:00",
        edited_unixtime="1709290800",
        reply_to_message_id=9,
        forwarded_from="Ada",
    )

    (record,) = read_telegram(an_export(message))

    assert record.body["metadata"] == {
        "sender_name": "Noor",
        "chat_name": "Flat",
        "edited_at": "2024-03-01T11:00:00Z",
        "reply_to_message_id": "9",
        "forwarded_from": "Ada",
    }


def test_an_old_export_without_unix_times_is_read_as_utc():
    message = a_telegram_message()
    del message["date_unixtime"]

    (record,) = read_telegram(an_export(message))

    assert record.body["timestamp"] == "2024-03-01T10:00:00Z"


@pytest.mark.parametrize(
    ("sender", "expected"), [("user5", "5"), ("channel5", "channel5"), (5, "5")]
)
def test_senders_are_named_by_their_id(sender, expected):
    (record,) = read_telegram(an_export(a_telegram_message(from_id=sender)))

    assert record.body["sender_id"] == expected


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "service", "action": "create_group"}, "service message"),
        ({"type": "unsupported"}, "unsupported message"),
        ({"text": "", "photo": "photos/1.jpg"}, "without text"),
        ({"text": [{"type": "bold", "text": " "}]}, "without text"),
        ({"from_id": None}, "without sender"),
    ],
)
def test_what_is_no_message_of_a_person_is_skipped(changes, why):
    assert read_telegram(an_export(a_telegram_message(**changes))) == [Skipped(1, why)]


@pytest.mark.parametrize("changes", [{"date_unixtime": "soon"}, {"id": None}])
def test_a_message_that_lacks_what_it_needs_is_malformed(changes):
    (record,) = read_telegram(an_export(a_telegram_message(**changes)))

    assert isinstance(record, Malformed)


def test_an_export_of_an_account_has_many_chats():
    family = an_export(a_telegram_message(id=1), a_telegram_message(id=2))
    saved = {"type": "saved_messages", "id": 5, "messages": [a_telegram_message(id=1)]}
    left = {**an_export(a_telegram_message(id=3)), "id": 6, "name": None}
    export = {
        "about": "Here is the data you requested.",
        "contacts": {"list": [{"user_id": 1, "messages": [{"id": 0}]}]},
        "chats": {"about": "", "list": [family, saved]},
        "left_chats": {"about": "", "list": [left]},
    }

    records = read_telegram(export)

    assert [record.place for record in records] == [1, 2, 3, 4]
    assert [(r.body["session_id"], r.body["message_id"]) for r in records] == [
        ("77", "1"), ("77", "2"), ("5", "1"), ("6", "3"),
    ]  # fmt: skip
    assert [r.body["metadata"].get("chat_name") for r in records] == ["Flat", "Flat", None, None]


def test_an_export_that_breaks_off_says_after_which_message():
    text = json.dumps(an_export(a_telegram_message(), a_telegram_message(id=12)))

    with pytest.raises(UnreadableFile, match="not whole JSON after message 1"):
        read_telegram(text[: text.index('"id": 12')])


def test_json_without_chats_is_no_export():
    with pytest.raises(UnreadableFile, match="no Telegram export"):
        read_telegram({"hello": []})


def test_a_large_export_is_not_held_in_memory():
    class Endless:
        """An export of a quarter of a gigabyte that exists only while it is read."""

        read_bytes = 0

        def __init__(self) -> None:
            self._rest = iter(self._pieces())

        def _pieces(self):
            yield b'{"name":"Flat","id":77,"messages":['
            message = json.dumps(a_telegram_message(text="x" * 4000)).encode()
            for _ in range(60_000):
                yield message + b","
            yield message + b"]}"

        def read(self, size: int = -1) -> bytes:
            piece = next(self._rest, b"") if size else b""
            self.read_bytes += len(piece)
            return piece

    export = Endless()

    first = next(telegram.read(export))

    assert first.place == 1
    assert export.read_bytes < 1 << 20


def test_lines_are_message_bodies_and_blank_ones_are_passed_over():
    records = read_lines('{"text": "a"}\n\n  \n{"text": "b", "metadata": {"k": 1}}')

    assert records == [Message(1, {"text": "a"}), Message(4, {"text": "b", "metadata": {"k": 1}})]


def test_a_line_that_is_no_object_is_malformed_and_the_next_one_is_read():
    records = read_lines('{"text": \n[1]\n{"text": "b"}\n')

    assert [type(record) for record in records] == [Malformed, Malformed, Message]
    assert [record.place for record in records] == [1, 2, 3]


def test_a_line_that_is_too_long_is_malformed_and_not_held():
    records = read_lines("x" * (3 * ndjson.MOST_LINE_BYTES) + '\n{"text": "b"}\n')

    assert records == [
        Malformed(1, f"is longer than {ndjson.MOST_LINE_BYTES} bytes"),
        Message(2, {"text": "b"}),
    ]


def test_the_longest_line_may_be_the_last_and_have_no_end():
    line = json.dumps({"text": "x" * 100})
    text = line + " " * (ndjson.MOST_LINE_BYTES - len(line))

    assert read_lines(text) == [Message(1, {"text": "x" * 100})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Format.NDJSON),
        ('{"platform": "discord", "sender_id"', Format.NDJSON),
        ('\ufeff{"metadata": {"messages": 1}, "text": "a"}\n{"text": "b"}', Format.NDJSON),
        ('{"platform": broken', Format.NDJSON),
        ('{\n "name": "Flat",\n "id": 1,\n "messages": [', Format.TELEGRAM),
        ('{"about": "Here is the data', Format.TELEGRAM),
    ],
)
def test_a_file_tells_its_format(text, expected):
    file = io.BytesIO(text.encode())

    assert detect(file) is expected
    assert file.tell() == 0


@pytest.mark.parametrize("text", ["hello", "[]", '{"a": 1}\n{"text": "b"}', "\0"])
def test_a_file_that_tells_nothing_is_not_guessed_at(text):
    with pytest.raises(UnreadableFile, match="--format"):
        detect(io.BytesIO(text.encode()))
