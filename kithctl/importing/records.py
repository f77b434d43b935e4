"""What a reader finds in a file, one after the other, in the order of the file."""

from dataclasses import dataclass
from typing import Any

from kithctl.failure import Failure


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send; `place` is its line, or its number among a chat export's messages."""

    place: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the file that is no message of a person, which is fine."""

    place: int
    why: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that was to be a message and cannot be read as one."""

    place: int
    problem: str


Record = Message | Skipped | Malformed


class UnreadableFile(Failure):
    """The file breaks off, or is not what it was taken for; what comes after is not known."""
