"""How events are shown: a line each, in colours at a terminal and as JSON anywhere else."""

import re
import sys
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO, Protocol

import orjson
from rich.console import Console
from rich.text import Text

_SPACE = re.compile(r"\s+")
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green",
            "bright_magenta", "bright_yellow", "bright_blue")  # fmt: skip
# Of an id, as much as tells people apart: the front of a UUIDv7 is the time.
_ID_TAIL = 8


class Screen(Protocol):
    """Where events are shown."""

    def show(self, event: Mapping[str, Any]) -> None:
        """Show one."""

    def caught_up(self, position: int) -> None:
        """Say that what follows is new."""


class JsonLines:
    """One object a line, as the gateway shows it, written at once."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer

    def show(self, event: Mapping[str, Any]) -> None:
        """See Screen."""
        self._stream.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        self._stream.flush()

    def caught_up(self, position: int) -> None:
        """Nothing: the lines are events, and nothing else."""


class Terminal:
    """When, where, what, who, and what it says."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()

    def show(self, event: Mapping[str, Any]) -> None:
        """See Screen."""
        line = Text()
        line.append(_moment(event["created_at"]), style="dim")
        for name in (event["platform"], event["event_type"]):
            line.append(f" {name:<12}", style=_colour(name))
        who = event["person_id"] or event["link_id"] or ""
        line.append(f" {who[-_ID_TAIL:]:<{_ID_TAIL}} ", style="dim")
        if event["redacted_at"]:
            line.append(f"(redacted: {plain(event['redaction_reason'] or '')})", style="dim italic")
        else:
            line.append(_said(event["content"]))
        self._console.print(line, soft_wrap=True)

    def caught_up(self, position: int) -> None:
        """See Screen."""
        line = Text(f"-- that was all up to position {position}; what follows is new --")
        line.stylize("dim")
        self._console.print(line, soft_wrap=True)


def plain(text: str) -> str:
    """A text on one line, without what would command a terminal."""
    spaced = _SPACE.sub(" ", text)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
                   for letter in spaced)  # fmt: skip


def _said(content: Mapping[str, Any]) -> str:
    text = content.get("text")
    return plain(text if isinstance(text, str) else orjson.dumps(content).decode())


def _moment(text: str | None) -> str:
    if text is None:
        return " " * 14
    return datetime.fromisoformat(text).astimezone().strftime("%m-%d %H:%M:%S")


def _colour(name: str) -> str:
    """The same for a name wherever and whenever it is shown."""
    return _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
