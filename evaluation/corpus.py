"""The conversation and the questions about it, as files."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Said:
    """A message; its id is its session's number and its place in it."""

    message_id: str
    session: str
    speaker: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Asked:
    """A question, and the messages that answer it."""

    question: str
    evidence: frozenset[str]


def conversation() -> Iterator[Said]:
    """Every message in order. Those of a session share a time, as in many a transcript."""
    session, at, place = "", datetime.fromtimestamp(0, UTC), 0
    for line in _lines("conversation.txt"):
        if line.startswith("=="):
            session, at, place = line.split()[1], datetime.fromisoformat(line.split("| ")[1]), 0
            continue
        place += 1
        speaker, text = line.split(": ", 1)
        yield Said(f"{session}:{place}", session, speaker, text, at)


def questions() -> tuple[list[Asked], list[Asked]]:
    """Those that may be tuned on, and those that may not."""
    asked = [
        Asked(question, frozenset(evidence.split()))
        for question, evidence in (line.split(" | ") for line in _lines("questions.txt"))
    ]
    return asked[0::2], asked[1::2]


def _lines(name: str) -> Iterator[str]:
    for line in (_FOLDER / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line
