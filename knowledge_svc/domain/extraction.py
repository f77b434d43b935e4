"""What text comes out of a file, in pieces that are each found by themselves."""

from dataclasses import dataclass
from enum import Enum


class FailureReason(Enum):
    """Why no text came out of a file; a document's record carries the word."""

    BROKEN = "BROKEN"
    ENCRYPTED = "ENCRYPTED"
    # More text, pages or unpacked bytes than one document may have.
    TOO_MUCH = "TOO_MUCH"
    TIMED_OUT = "TIMED_OUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    # The process that reads files ended without a word.
    CRASHED = "CRASHED"
    # There is nothing but pictures or blanks in it.
    NO_TEXT = "NO_TEXT"


class ExtractionFailed(Exception):
    """The file is as it is: trying again would end the same way.

    `detail` is for people, in one line, without text of the file or of a library.
    """

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Chunk:
    """A piece of a document's text, whole sentences where it can, 1 byte to 8 KiB.

    `start` and `end` are offsets in characters in the text of the page where there are pages,
    else in the text of the document; neighbours overlap. `page` counts from 1. Of a transcript
    each chunk has its speakers in order of speaking, and when the first of them spoke: ISO 8601
    in `said_at` where the file tells the time of day, else seconds from the beginning.
    """

    number: int
    content: str
    start: int
    end: int
    page: int | None = None
    speakers: tuple[str, ...] = ()
    said_at: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Outline:
    """What is known of a document once its text is out."""

    chunks: int
    characters: int
    pages: int | None = None
    title: str | None = None
