"""Text and turns cut into chunks, each with its exact place.

A chunk of running text is whole paragraphs or sentences where they fit (Unicode's rules, with
dictionaries for scripts without blanks), else whole words. A chunk of a transcript is whole
turns; only a turn that is too long by itself is cut like text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from semantic_text_splitter import TextSplitter

from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, FailureReason, Outline
from knowledge_svc.extraction.chunker import CHARACTERS, OVERLAP
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.parts import (
    Pages,
    Part,
    Text,
    Title,
    Turn,
    on_one_line,
    readable,
    too_much,
)

_WINDOW = 16_384
_MOST_NAME_CHARACTERS = 80

_splitter = TextSplitter(CHARACTERS - OVERLAP)
# What stands before a sentence, and before a word. After a dot a sentence begins with no small
# letter.
_SENTENCE = re.compile(
    r"(?:[.…][\"'”’»)\]]*\s+(?![a-zß-ÿа-я])|[!?؟۔।]+[\"'”’»)\]]*\s+|[。！？｡]+[”’」』）]*\s*|\n\s*)(?=\S)"
)
_WORD = re.compile(r"\s+(?=\S)")


class Chunking:
    """Makes the chunks of one document; `outline` is right once they are all out."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._chunks = 0
        self._read = 0
        self._characters = 0
        self._pages: int | None = None
        self._title: str | None = None

    def chunks_of(self, parts: Iterable[Part]) -> Iterator[Chunk]:
        """The chunks in order, each as soon as it is known; raises ExtractionFailed."""
        for number, chunk in enumerate(self._cut(parts)):
            if number == self._limits.chunks:
                raise too_much(f"it has more than {self._limits.chunks} chunks")
            yield replace(chunk, number=number)
            self._chunks = number + 1
        if not self._chunks:
            raise ExtractionFailed(FailureReason.NO_TEXT, "there is no text in it")

    @property
    def outline(self) -> Outline:
        """What is known of the document."""
        return Outline(self._chunks, self._characters, self._pages, self._title)

    def _cut(self, parts: Iterable[Part]) -> Iterator[Chunk]:
        text, turns = _RunningText(), _Turns()
        for part in parts:
            match part:
                case Title():
                    self._title = self._title or on_one_line(part.text) or None
                case Pages():
                    self._pages = part.count
                case Turn():
                    self._count(part.text)
                    yield from turns.add(part)
                case Text():
                    self._count(part.text)
                    if part.page != text.page:
                        yield from text.rest()
                        self._characters += text.characters
                        text = _RunningText(part.page)
                    yield from text.add(part.text)
        yield from text.rest()
        yield from turns.rest()
        self._characters += text.characters + turns.characters

    def _count(self, text: str) -> None:
        self._read += len(text)
        if self._read > self._limits.characters:
            raise too_much(f"it has more than {self._limits.characters} characters of text")


class _RunningText:
    """The text of one page, or of a document without pages, as it comes.

    It is cut a window at a time: time grows with a window's square where nothing in it tells
    where to cut, and memory stays flat.
    """

    def __init__(self, page: int | None = None, start: int = 0) -> None:
        self.page = page
        # What is held begins with what the next chunk may repeat. Places are in it, from its start.
        self._held = ""
        self._start = start
        self._uncut = 0
        self._last_end = 0
        self._pieces: list[str] = []
        self._size = 0

    @property
    def characters(self) -> int:
        """How many there are; right after `rest`."""
        return self._start + len(self._held)

    def add(self, text: str) -> Iterator[Chunk]:
        self._pieces.append(text)
        self._size += len(text)
        if self._size < _WINDOW:
            return
        self._join()
        while len(self._held) - self._uncut >= _WINDOW:
            at = self._uncut
            spans = _splitter.chunk_indices(self._held[at : at + _WINDOW])
            # The last one may go on behind the window, so the next window begins with it.
            ends_open = len(spans) > 1 or (len(spans) == 1 and spans[0][0] > 0)
            yield from self._chunks(spans[:-1] if ends_open else spans)
            self._uncut = at + (spans[-1][0] if ends_open else _WINDOW)
        self._forget(max(0, self._last_end - OVERLAP))

    def rest(self) -> Iterator[Chunk]:
        self._join()
        yield from self._chunks(_splitter.chunk_indices(self._held[self._uncut :]))

    def _join(self) -> None:
        # What is held once more: with what follows it may be a blank line.
        self._held = readable(self._held + "".join(self._pieces))
        self._pieces.clear()
        self._size = 0

    def _forget(self, characters: int) -> None:
        self._held = self._held[characters:]
        self._start += characters
        self._uncut -= characters
        self._last_end -= characters

    def _chunks(self, spans: Sequence[tuple[int, str]]) -> Iterator[Chunk]:
        for offset, content in spans:
            begin = self._uncut + offset
            end = begin + len(content)
            start = self._overlapping(begin, end)
            self._last_end = end
            yield Chunk(
                0, self._held[start:end], self._start + start, self._start + end, self.page
            )  # fmt: skip

    def _overlapping(self, begin: int, end: int) -> int:
        """Where a chunk begins that repeats the end of the last one: with a sentence or a word."""
        earliest = max(0, self._last_end - OVERLAP, end - CHARACTERS)
        for border in (_SENTENCE, _WORD):
            if found := border.search(self._held, earliest, self._last_end):
                return found.end()
        return begin


@dataclass(frozen=True)
class _Line:
    start: int
    text: str
    turn: Turn


class _Turns:
    """A transcript as it comes; its text is a line for each turn, "speaker: what was said"."""

    def __init__(self) -> None:
        self.characters = 0
        self._lines: list[_Line] = []
        # How many of them were in the last chunk already.
        self._repeated = 0

    def add(self, turn: Turn) -> Iterator[Chunk]:
        said = readable(turn.text).strip()
        if not said:
            return
        name = on_one_line(turn.speaker or "", _MOST_NAME_CHARACTERS)
        turn = replace(turn, text="", speaker=name or None)
        line = _Line(self.characters, f"{name}: {said}" if name else said, turn)
        self.characters += len(line.text) + 1
        if len(line.text) > CHARACTERS:
            yield from self.rest()
            yield from _cut(line)
            return
        if self._lines and line.start + len(line.text) - self._lines[0].start > CHARACTERS:
            yield from self._whole()
            self._keep_overlap(line)
        self._lines.append(line)

    def rest(self) -> Iterator[Chunk]:
        if len(self._lines) > self._repeated:
            yield from self._whole()
        self._lines, self._repeated = [], 0

    def _whole(self) -> Iterator[Chunk]:
        content = "\n".join(line.text for line in self._lines)
        turns = [line.turn for line in self._lines]
        yield _said(Chunk(0, content, self._lines[0].start, _end(self._lines[-1])), turns)

    def _keep_overlap(self, following: _Line) -> None:
        earliest = max(_end(self._lines[-1]) - OVERLAP, _end(following) - CHARACTERS)
        self._lines = [line for line in self._lines if line.start >= earliest]
        self._repeated = len(self._lines)


def _end(line: _Line) -> int:
    return line.start + len(line.text)


def _cut(line: _Line) -> Iterator[Chunk]:
    text = _RunningText(start=line.start)
    for chunk in (*text.add(line.text), *text.rest()):
        yield _said(chunk, [line.turn])


def _said(chunk: Chunk, turns: Sequence[Turn]) -> Chunk:
    speakers = dict.fromkeys(turn.speaker for turn in turns if turn.speaker)
    first = turns[0]
    return replace(
        chunk, speakers=tuple(speakers), said_at=first.said_at, seconds=first.seconds
    )  # fmt: skip
