"""`kith demo`, and the conversation that is shipped with it."""

import io
from collections import Counter
from datetime import datetime

from rich.console import Console

from kithctl.demo import screens, story
from kithctl.demo.command import QUESTIONS
from tests.support.command import kith
from tests.support.stack import Stack, stack

__all__ = ["stack"]

# What a search must bring up among the first three, for each of the questions.
ANSWERS = ("I'm allergic to walnuts", "leaves Santa Apolónia at 8:39", "an Olympus OM-1")


def test_the_conversation_is_large_enough_to_look_around_in():
    messages = story.messages()

    assert len(messages) >= 200
    assert {message["platform"] for message in messages} == {"discord", "telegram"}
    assert len({message["session_id"] for message in messages}) == 5
    assert min(Counter(m["metadata"]["sender_name"] for m in messages).values()) >= 40


def test_every_message_has_an_id_of_its_own_and_comes_in_order():
    messages = story.messages()

    ids = {(message["session_id"], message["message_id"]) for message in messages}
    moments = [datetime.fromisoformat(message["timestamp"]) for message in messages]
    assert len(ids) == len(messages)
    assert moments == sorted(moments)


def test_everybody_who_speaks_is_introduced_by_the_same_name():
    accounts = {
        (platform, person[platform]): person["name"]
        for person in story.people()
        for platform in ("discord", "telegram")
    }

    for message in story.messages():
        account = (message["platform"], message["sender_id"])
        assert accounts[account] == message["metadata"]["sender_name"]


def test_what_others_have_imported_is_shown_as_it_is_said():
    written = io.StringIO()
    console = Console(file=written, width=200)
    moment = "2026-01-01T10:00:00Z"
    event = {"platform": "telegram", "event_type": "message", "occurred_at": moment,
             "content": {"text": "[/b] \x1b[2J"}, "metadata": {"chat_name": "[/] us"}}  # fmt: skip
    hit = {"score": 1.0, "metadata": {"sender_name": "Ada [/red]"}, "occurred_at": moment,
           "content": "[/]"}  # fmt: skip

    screens.timeline(console, "Maya", [event])
    screens.hits(console, "who?", [hit])

    told = written.getvalue()
    for said in ("telegram [/] us", "[/b] \N{REPLACEMENT CHARACTER}[2J", "Ada [/red]"):
        assert said in told


async def test_it_shows_a_timeline_over_both_platforms_and_answers(tmp_path, stack: Stack):
    async with stack.listening() as url:
        first = await kith("demo", "--gateway", url, home=tmp_path, COLUMNS="300")
        again = await kith("demo", "--gateway", url, home=tmp_path, COLUMNS="300")

    assert (first.status, first.errors) == (0, "")
    assert "247 messages are new, 0 were there already" in first.output
    assert "0 messages are new, 247 were there already" in again.output
    timeline, *searches = _parts(first.output, ("Maya's timeline", *QUESTIONS))
    assert "discord #flat" in timeline
    assert "telegram Lin's 30th" in timeline
    for answer, shown in zip(ANSWERS, searches, strict=True):
        best = "\n".join(shown.splitlines()[4:7])
        assert answer in best


async def test_it_works_for_somebody_who_imported_the_file_by_hand(tmp_path, stack: Stack):
    file = story.FOLDER / "conversation.ndjson"
    async with stack.listening() as url:
        imported = await kith("import", file, "--gateway", url, home=tmp_path)
        finished = await kith("demo", "--gateway", url, home=tmp_path)

    assert imported.summary["new"] == 247
    assert finished.status == 0, finished.errors
    assert "0 messages are new, 247 were there already" in finished.output


async def test_where_nothing_runs_it_says_what_to_do(tmp_path):
    finished = await kith("demo", "--gateway", "http://127.0.0.1:1", home=tmp_path)

    assert (finished.status, finished.output) == (1, "")
    assert finished.errors == (
        "kith: nothing answers at http://127.0.0.1:1; start it with `make run`\n"
    )


def _parts(output: str, headings: tuple[str, ...]) -> list[str]:
    """The output cut before each of the headings."""
    starts = [output.index(heading) for heading in headings]
    return [output[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
