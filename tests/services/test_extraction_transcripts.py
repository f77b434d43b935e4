"""Transcripts in the shapes that programs write them: who spoke, when, and what."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.extraction import extracted
from tests.support.files import a_conversation, a_json, a_whisper_transcript

_JSON = "application/json"
_ANN_AND_BOB = "Ann: Shall we go?\nBob: Yes, at noon."
_NOON = "2024-05-01T12:00:00+00:00"

_SHAPES: dict[str, Any] = {
    "a list": [
        {"speaker": "Ann", "text": "Shall we go?", "timestamp": "2024-05-01T12:00:00Z"},
        {"speaker": "Bob", "text": "Yes, at noon.", "timestamp": "2024-05-01T12:00:05Z"},
    ],
    "a chat API": {
        "model": "some-model",
        "messages": [
            {"role": "Ann", "content": "Shall we go?", "created_at": 1714564800},
            {"role": "Bob", "content": [{"type": "text", "text": "Yes, at noon."}]},
        ],
    },
    "one chat of Telegram": {
        "name": "Bob", "type": "personal_chat", "messages": [
            {"type": "service", "action": "phone_call", "actor": "Ann", "text": "",
             "date": "2024-05-01T14:00:00", "date_unixtime": "1714564799"},
            {"type": "message", "from": "Ann", "date": "2024-05-01T14:00:00",
             "date_unixtime": "1714564800",
             "text": ["Shall we ", {"type": "bold", "text": "go"}, "?"]},
            {"type": "message", "from": "Bob", "date": "2024-05-01T14:00:05",
             "date_unixtime": "1714564805", "text": "Yes, at noon."},
        ],
    },
    "all chats of Telegram": {
        "about": "Here is your data.",
        "chats": {"list": [
            {"name": "Bob", "id": 1, "messages": [
                {"from": "Ann", "date_unixtime": "1714564800", "text": "Shall we go?"}]},
            {"name": "Others", "id": 2, "messages": [
                {"from": "Bob", "date_unixtime": "1714564805", "text": "Yes, at noon."}]},
        ]},
    },
    "a channel of Slack": [
        {"type": "message", "user": "U01", "ts": "1714564800.000000", "text": "Shall we go?",
         "user_profile": {"real_name": "Ann"},
         "attachments": [{"text": "a preview", "author_name": "x", "ts": 1, "from": "x"}]},
        {"type": "message", "user": "Bob", "ts": "1714564805.000000", "text": "Yes, at noon."},
    ],
    "Discord": {
        "guild": {"name": "home"}, "messages": [
            {"timestamp": "2024-05-01T14:00:00+02:00", "content": "Shall we go?",
             "author": {"id": "1", "name": "ann1", "nickname": "Ann"}},
            {"timestamp": "2024-05-01T14:00:05+02:00", "content": "Yes, at noon.",
             "author": {"id": "2", "name": "Bob", "nickname": None}},
        ],
    },
    "Messenger": {
        "participants": [{"name": "Ann"}, {"name": "Bob"}], "messages": [
            {"sender_name": "Ann", "timestamp_ms": 1714564800000, "content": "Shall we go?"},
            {"sender_name": "Bob", "timestamp_ms": 1714564805000, "content": "Yes, at noon."},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", list(_SHAPES))
async def test_a_chat_is_read_whatever_wrote_it(shape: str, tmp_path: Path) -> None:
    found = await extracted(a_json(_SHAPES[shape]), _JSON, tmp_path)

    (chunk,) = found.chunks
    assert chunk.content == _ANN_AND_BOB
    assert chunk.speakers == ("Ann", "Bob")
    assert chunk.seconds is None
    expected = "2024-05-01T14:00:00+02:00" if shape == "Discord" else _NOON
    assert chunk.said_at == expected


async def test_json_lines_are_read(tmp_path: Path) -> None:
    lines = b"\n".join(map(a_json, _SHAPES["a list"]))

    found = await extracted(lines, "application/x-ndjson", tmp_path)

    assert found.chunks[0].content == _ANN_AND_BOB


_RECORDINGS: dict[str, tuple[str, bytes]] = {
    "Whisper": (_JSON, a_json({"text": "Hello there. Good day.", "segments": [
        {"start": 1.5, "end": 2.0, "text": " Hello there.", "tokens": [1, 2],
         "words": [{"word": " Hello", "start": 1.5, "end": 1.7, "text": "Hello"}]},
        {"start": 2.0, "end": 3.0, "text": " Good day."}], "language": "en"})),
    "utterances in milliseconds": (_JSON, a_json({"text": "Hello there. Good day.",
        "words": [{"text": "Hello", "start": 1500, "end": 1700, "speaker": "A"}],
        "utterances": [{"speaker": None, "text": "Hello there.", "start": 1500},
                       {"speaker": None, "text": "Good day.", "start": 2000}]})),
    "clock times": (_JSON, a_json([{"text": "Hello there.", "start": "00:00:01.5"},
                                   {"text": "Good day.", "start": "00:00:02"}])),
    "WebVTT": ("text/vtt", b"\xef\xbb\xbfWEBVTT - talk\n\nNOTE nobody reads this\n\n1\n"
               b"00:01.500 --> 00:02.000 align:start\nHello <i>there</i>.\n\n"
               b"00:00:02.000 --> 00:00:03.000\nGood day."),
    "SubRip": ("application/x-subrip", b"1\r\n00:00:01,500 --> 00:00:02,000\r\nHello there.\r\n\r\n"
               b"2\r\n00:00:02,000 --> 00:00:03,000\r\nGood day.\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(_RECORDINGS))
async def test_a_recording_is_read_with_seconds(name: str, tmp_path: Path) -> None:
    media_type, content = _RECORDINGS[name]

    found = await extracted(content, media_type, tmp_path)

    (chunk,) = found.chunks
    assert chunk.content == "Hello there.\nGood day."
    assert (chunk.seconds, chunk.said_at, chunk.speakers) == (1.5, None, ())


async def test_subtitles_say_who_speaks(tmp_path: Path) -> None:
    vtt = (
        b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Ann &amp; Bob>We <b>agree</b>\nof course</v>\n"
    )

    found = await extracted(vtt, "text/vtt", tmp_path)

    assert found.chunks[0].content == "Ann & Bob: We agree\nof course"


async def test_a_long_chat_tells_of_each_chunk_when_it_began(tmp_path: Path) -> None:
    turns = [(("Ann", "Bob")[n % 2], f"Message {n:04} of this chat.") for n in range(2_000)]

    found = await extracted(a_conversation(turns), _JSON, tmp_path)

    chunk = found.having("Message 1234 ")
    first = int(chunk.content.partition("Message ")[2][:4])
    assert chunk.said_at == f"2020-09-{13 + (12 * 60 + 26 + first) // 1440:02}" + (
        f"T{(12 * 60 + 26 + first) // 60 % 24:02}:{(26 + first) % 60:02}:40+00:00"
    )
    assert chunk.content.count("\n") > 15


async def test_a_long_turn_keeps_its_speaker_and_time(tmp_path: Path) -> None:
    talk = "And so it went on and on. " * 200

    found = await extracted(a_whisper_transcript(["Welcome.", talk, "Thank you."]), _JSON, tmp_path)

    assert [chunk.seconds for chunk in found.chunks] == [0.0, *[4.0] * (len(found.chunks) - 2), 8.0]
    assert all(chunk.content.endswith("on.") for chunk in found.chunks[1:-1])


async def test_json_that_is_no_transcript_is_the_strings_in_it(tmp_path: Path) -> None:
    handbook = {"title": "Handbook", "pages": 3, "parts": [{"heading": "Rest", "body": "Sleep."}]}

    found = await extracted(a_json(handbook), _JSON, tmp_path)

    assert found.chunks[0].content == "Handbook\nRest\nSleep."


async def test_odd_times_and_speakers_do_no_harm(tmp_path: Path) -> None:
    odd = [
        {"text": "one", "timestamp": value, "speaker": speaker}
        for value, speaker in [
            (True, True), (-1, ["x"]), (1e300, {}), ("soon", 0), ("9" * 400, "\x00"), ({}, " "),
            ("99:99", {"name": {"name": "Eve"}}), ("2024-13-45", 1e9), (None, None),
        ]
    ]  # fmt: skip

    found = await extracted(a_json(odd), _JSON, tmp_path)

    assert found.outline.chunks == 1
    assert found.chunks[0].speakers == ("Speaker 0", "Eve")
