"""How the demo shows a timeline and the hits of a search."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kithctl.tail.screens import plain

_LONGEST_TEXT = 160
_WHEN = "when (UTC)"


def timeline(console: Console, name: str, events: Sequence[Mapping[str, Any]]) -> None:
    """What happened with a person, newest first, whatever platform it was on."""
    table = _table(_WHEN, "where", "what")
    for event in events:
        chat = event["metadata"].get("chat_name", "")
        said = event["content"].get("text") or f"({event['event_type']})"
        where = _short(f"{event['platform']} {chat}")
        table.add_row(_moment(event["occurred_at"]), where, _short(said))
    console.print()
    console.print(Text(f"{name}'s timeline, newest first", style="bold"))
    console.print(table)


def hits(console: Console, query: str, found: Sequence[Mapping[str, Any]]) -> None:
    """What a search has found, best first."""
    table = _table("score", "who", _WHEN, "what")
    for hit in found:
        who = hit["metadata"].get("sender_name", "")
        table.add_row(
            f"{hit['score']:.2f}", _short(who), _moment(hit["occurred_at"]), _short(hit["content"])
        )
    console.print()
    console.print(Text(query, style="bold"))
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in ("score", "who", _WHEN))
    return table


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%a %d %b %H:%M")


def _short(value: object) -> Text:
    # In metadata there may be anything.
    text = str(value)
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    # As Text, so that brackets in it are no markup.
    return Text(plain(shown))
