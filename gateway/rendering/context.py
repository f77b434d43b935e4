"""What a prompt needs, as lines of Markdown: each item is one of a list, whatever it says."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.answers.context import FoundMemoryAnswer
from gateway.answers.events import EventAnswer
from gateway.answers.knowledge import HitAnswer, NeighbourAnswer
from gateway.answers.people import LinkAnswer

HEADINGS = {
    "profile": "## Who they are\n",
    "memories": "## What is remembered of them\n",
    "knowledge": "## What they said before that may matter now\n",
    "messages": "## The latest messages\n",
}


def trait(key: str, value: Any) -> str:
    """A key of somebody's metadata."""
    shown = value if isinstance(value, str) else orjson.dumps(value).decode()
    return _line(f"{key}: {shown}")


def link(answer: LinkAnswer) -> str:
    """One of somebody's platform ids."""
    return _line(f"on {answer['platform']}: {answer['platform_id']}")


def memory(answer: FoundMemoryAnswer) -> str:
    """Something remembered."""
    return _line(f"{answer['key']}: {answer['value']} ({_day(answer['occurred_at'])})")


def hit(answer: HitAnswer) -> str:
    """Something known."""
    return _line(f"[{_day(answer['occurred_at'])}, {answer['namespace']}] {answer['content']}")


def neighbour(answer: NeighbourAnswer) -> str:
    """What was said beside something known."""
    where = "before" if answer["distance"] < 0 else "after"
    return _line(f"({where} that) {answer['content']}", indent="  ")


def message(answer: EventAnswer) -> str:
    """Something said."""
    content: Mapping[str, Any] = answer["content"]
    when = (answer["occurred_at"] or "")[:16].replace("T", " ")
    return _line(f"[{when}] {content.get('role', 'user')}: {content['text']}")


def _day(moment: str | None) -> str:
    return (moment or "")[:10]


def _line(text: str, indent: str = "") -> str:
    """An item of a list; what has several lines stays inside of it."""
    return f"{indent}- " + f"\n{indent}  ".join(text.splitlines()) + "\n"
