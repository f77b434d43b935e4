"""What readers find in files, before it is cut into chunks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from knowledge_svc.domain.extraction import ExtractionFailed, FailureReason
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.ocr import Ocr

# Whatever ends a line or a page somewhere.
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Control characters, lone surrogates, non-characters, soft hyphens and byte order marks: nothing
# that can be read, and some of it no database takes.
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\ud800-\udfff\ufeff\ufffe\uffff]")
# The splitter would look from each blank of a run at each other.
_BLANKS = re.compile(r"[^\S\n]{17,}")
_BLANK_LINES = re.compile(r"\n\s*\n")
_MOST_TITLE_CHARACTERS = 200


@dataclass(frozen=True)
class Text:
    """Running text, line ends included; of a file with pages that of a page, from 1 on."""

    text: str
    page: int | None = None


@dataclass(frozen=True)
class Turn:
    """What one speaker said at once; `said_at` and `seconds` are as in Chunk."""

    text: str
    speaker: str | None = None
    said_at: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Title:
    """What the file calls itself; the first one counts."""

    text: str


@dataclass(frozen=True)
class Pages:
    """How many pages there are, blank ones included."""

    count: int


Part = Text | Turn | Title | Pages


@dataclass(frozen=True)
class Given:
    """What a reader may use beside the file."""

    limits: Limits
    ocr: Ocr | None = None


class Reader(Protocol):
    """A module that reads files of some format."""

    def read(self, file: BinaryIO, given: Given) -> Iterator[Part]:
        """The parts of a seekable file, in order; raises ExtractionFailed.

        All texts of one page follow one another; turns and texts do not mix. Anything else that
        is raised counts as a broken file.
        """
        ...


def readable(text: str) -> str:
    """The text with `\\n` for every line end, no long run of blanks, and all readable."""
    text = _UNREADABLE.sub("", _LINE_ENDS.sub("\n", text))
    return _BLANK_LINES.sub("\n\n", _BLANKS.sub(" ", text))


def on_one_line(text: str, most: int = _MOST_TITLE_CHARACTERS) -> str:
    """The text for a title or a name: blanks folded, and cut where it is too long."""
    folded = " ".join(readable(text).split())
    return folded if len(folded) <= most else folded[: most - 1] + "…"


def broken(detail: str) -> ExtractionFailed:
    """The file is not what it should be."""
    return ExtractionFailed(FailureReason.BROKEN, detail)


def encrypted(detail: str) -> ExtractionFailed:
    """The file opens with a password only."""
    return ExtractionFailed(FailureReason.ENCRYPTED, detail)


def too_much(detail: str) -> ExtractionFailed:
    """There is more in the file than one document may have."""
    return ExtractionFailed(FailureReason.TOO_MUCH, detail)
