"""Chunks are exact pieces of the text, small enough, overlapping, and cut where sentences end."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_svc.domain.extraction import Chunk, ExtractionFailed
from knowledge_svc.extraction.chunker import CHARACTERS, CHUNKER, OVERLAP
from knowledge_svc.extraction.chunking import Chunking
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.parts import Part, Text, Turn, readable

_WORDS = st.sampled_from([
    "The", "keeper", "counted.", "Why?", "今天天气很好。公园！", "ประเทศไทย", "שלום.", "مرحبا",
    "😀👨\u200d👩\u200d👧", "e\u0301",
    "\xad", "\n", "\n\n", "\r\n", "\t", "\x00", "\x85", "\u2028", "\x0c", "x…", "",
])  # fmt: skip
_PIECES = st.lists(
    st.one_of(
        st.text(max_size=200),
        st.lists(_WORDS, max_size=400).map(" ".join),
        st.tuples(st.sampled_from([" ", "\n", " \n", "x", "字", "a. "]), st.integers(1, 3_000)).map(
            lambda pair: pair[0] * pair[1]
        ),
    ),
    max_size=12,
)


def _chunks(parts: Sequence[Part]) -> list[Chunk]:
    try:
        return list(Chunking(Limits()).chunks_of(parts))
    except ExtractionFailed:
        return []


@given(_PIECES, st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_every_chunk_stands_where_it_says(pieces: list[str], pages: list[int]) -> None:
    parts = [
        Text(piece, page)
        for piece, page in zip(pieces, sorted(pages * 12)[: len(pieces)], strict=True)
    ]

    chunks = _chunks(parts)

    for chunk in chunks:
        page = readable("".join(part.text for part in parts if part.page == chunk.page))
        assert page[chunk.start : chunk.end] == chunk.content
        assert 1 <= len(chunk.content) <= CHARACTERS
        assert len(chunk.content.encode()) <= 8 << 10
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert bool(chunks) == any(readable(piece).strip() for piece in pieces)


@given(_PIECES)
def test_nothing_is_lost_between_chunks(pieces: list[str]) -> None:
    text = readable("".join(pieces))

    at = 0
    for chunk in _chunks([Text(piece) for piece in pieces]):
        assert not text[at : chunk.start].strip()
        at = max(at, chunk.end)

    assert not text[at:].strip()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 200_000), max_size=5))
def test_how_a_text_comes_makes_no_difference(cuts: list[int]) -> None:
    text = "".join(f"Sentence {number} of a text. It goes on\nand on. " for number in range(4_000))
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]

    assert _chunks([Text(piece) for piece in pieces]) == _chunks([Text(text)])


def test_sentences_stay_whole_and_neighbours_overlap() -> None:
    sentences = [
        f"The man paid {number}.50 for it, or “e.g. less”, once again." for number in range(2_000)
    ]

    chunks = _chunks([Text(" ".join(sentences))])

    for chunk in chunks:
        assert chunk.content.endswith("again.")
        assert chunk.content.startswith("The man")
    for before, after in pairwise(chunks):
        assert 0 < before.end - after.start <= OVERLAP
    assert len(chunks) < 1.3 * sum(map(len, sentences)) / CHARACTERS


@pytest.mark.parametrize(
    ("sentence", "ends"),
    [("今天天气很好，我们去公园散步吧！", "！"), ("今日はとても良い天気ですね。", "。")],
)
def test_sentences_end_where_their_script_ends_them(sentence: str, ends: str) -> None:
    chunks = _chunks([Text(sentence * 500)])

    assert len(chunks) > 5
    assert all(chunk.content.endswith(ends) for chunk in chunks)


def test_paragraphs_are_not_torn_where_they_fit() -> None:
    paragraphs = ["A paragraph of some length, which says a thing or two. " * 8] * 20

    for chunk in _chunks([Text("\n\n".join(p.strip() for p in paragraphs))]):
        assert chunk.content.rpartition("\n\n")[2].count("A paragraph") == 8


def test_blanks_without_end_are_cut_in_no_time() -> None:
    for blank in (" \n", "\t", "\xa0", "\u2028", "\n\n ", "\x85"):
        assert _chunks([Text(("a" + blank * 5_000) * 10)])


_TURNS = st.lists(
    st.builds(
        Turn,
        text=st.one_of(st.text(max_size=80), st.integers(1, 400).map(lambda n: "Well, yes. " * n)),
        speaker=st.sampled_from([None, "Ann", "Bob", "Z" * 200, " Dr.\nWho "]),
        seconds=st.floats(0, 9_999),
    ),
    max_size=60,
)


@given(_TURNS)
def test_chunks_of_a_transcript_are_whole_turns_in_their_place(turns: list[Turn]) -> None:
    lines = list(_lines(turns))
    text = "\n".join(lines)

    chunks = _chunks(turns)

    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.content
        assert len(chunk.content) <= CHARACTERS
        whole = chunk.start == 0 or text[chunk.start - 1] == "\n"
        assert whole or any(len(line) > CHARACTERS and chunk.content in line for line in lines)
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert not "".join(c for place, c in enumerate(text) if place not in covered).strip()


def _lines(turns: Sequence[Turn]) -> Iterator[str]:
    for turn in turns:
        if said := readable(turn.text).strip():
            name = " ".join((turn.speaker or "").split())
            name = name if len(name) <= 80 else name[:79] + "…"
            yield f"{name}: {said}" if name else said


def test_a_chunk_of_a_transcript_says_who_spoke_and_when() -> None:
    turns = [
        Turn("Line of words " * 5, speaker, seconds=float(number))
        for number, speaker in enumerate(["Ann", "Bob"] * 30)
    ]

    first, second, *_ = _chunks(turns)

    assert first.content.startswith("Ann: Line of words")
    assert (first.speakers, first.seconds) == (("Ann", "Bob"), 0.0)
    # The last two turns of one are the first of the next.
    repeated = second.content.split("\n")[:2]
    assert first.content.split("\n")[-2:] == repeated
    assert second.seconds == first.content.count("\n") - 1


def test_what_makes_chunks_stands_in_the_name_of_the_chunker() -> None:
    assert re.fullmatch(r"sentences-\d+-\d+-\d+", CHUNKER)
    assert f"-{CHARACTERS}-{OVERLAP}-" in CHUNKER
