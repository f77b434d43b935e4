"""What ranking knows of the items that a search looks at, as numbers, kept between searches."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy
import orjson
from numpy.typing import NDArray

from knowledge_svc.domain.items import Filter
from knowledge_svc.domain.searching import Few, Many, Passage
from knowledge_svc.ports.searching import SearchStore, WordVectors
from knowledge_svc.vocabulary import Matrix, Numbers, Vocabulary

# About 1 KiB an item and a word: a scope of 3,000 messages takes some 8 MiB.
MOST_ITEMS = 50_000
MOST_WORDS = 60_000
# How often a scope is looked over again because some of it changed under the search's eyes.
_TRIES = 3

Floats = NDArray[numpy.float64]
Places = NDArray[numpy.int64]


class Row(NamedTuple):
    """A passage with its terms as numbers."""

    passage: Passage
    terms: Numbers
    counts: Matrix

    def bare(self) -> "Row":
        """To be kept for long: without the terms as words."""
        return self._replace(passage=self.passage._replace(terms=(), counts=()))


class Scope:
    """Items in order of id, and where in them the terms are: flat arrays, by place."""

    def __init__(self, rows: Mapping[int, Row], vocabulary: Vocabulary) -> None:
        self.rows = rows
        self.vocabulary = vocabulary
        ordered = sorted(rows.values(), key=lambda row: row.passage.knowledge_id)
        self._passages = [row.passage for row in ordered]
        self.ids = [passage.knowledge_id for passage in self._passages]
        self.lengths: Floats = numpy.array([p.length for p in self._passages], numpy.float64)
        self.is_question = numpy.array([p.is_question for p in self._passages], bool)
        sizes = [len(row.terms) for row in ordered]
        self.items = numpy.repeat(numpy.arange(len(ordered)), sizes)
        self.counts = numpy.concatenate(
            [row.counts for row in ordered] or [numpy.zeros(0, numpy.float32)]
        )
        terms = numpy.concatenate([row.terms for row in ordered] or [numpy.zeros(0, numpy.int32)])
        # The scope's own terms, and for each occurrence which of them it is.
        self.words, self.occurrences = numpy.unique(terms, return_inverse=True)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each item is."""
        return {knowledge_id: place for place, knowledge_id in enumerate(self.ids)}

    @cached_property
    def meaningful(self) -> Places:
        """Which of the scope's terms may be kin to others."""
        return numpy.flatnonzero(self.vocabulary.meaningful(self.words))

    @cached_property
    def as_said(self) -> "AsSaid":
        """The items in the order of their conversations."""
        return AsSaid(self._passages)

    async def kinship(self, asked: Sequence[str]) -> Matrix:
        """How near each meaningful term of the scope is to each of the terms asked for."""
        if not len(self.meaningful):
            return numpy.zeros((len(asked), 0), numpy.float32)
        terms = self.vocabulary.numbers(asked)
        mine = await self.vocabulary.matrix(self.words[self.meaningful])
        theirs = await self.vocabulary.matrix(terms)
        return theirs @ mine.T


# Without a session, what one said within this time of one another may belong together.
_SILENCE = 3600.0
_LOOSE = 0.75


class AsSaid:
    """Who stands beside whom.

    Items of one session do, in their order. Where there are no sessions, items of one group, or
    of one subject, in one namespace do if no hour lies between them; they lend less. What is
    nobody's stands alone.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        talks: dict[tuple[str, ...], int] = {}
        keys = [_conversation(passage) for passage in passages]
        talk = numpy.array([talks.setdefault(key, len(talks)) for key in keys], numpy.int64)
        times = numpy.array([p.said_at for p in passages], numpy.float64)
        position = numpy.array([p.position for p in passages], numpy.int64)
        revision = numpy.array([p.revision for p in passages], numpy.int64)
        loose = numpy.array([p.session_id is None for p in passages], bool)
        self.order: Places = numpy.lexsort((revision, position, times, talk))
        self._talk, self._loose = talk[self.order], loose[self.order]
        self._times = times[self.order]

    def closeness(self, distance: int) -> Floats:
        """For each two that stand so far apart in the order: 1, less where it is loose, or 0."""
        talk, times = self._talk, self._times
        together = talk[distance:] == talk[:-distance]
        near = times[distance:] - times[:-distance] <= _SILENCE
        loose = self._loose[distance:]
        return numpy.where(together & (near | ~loose), numpy.where(loose, _LOOSE, 1.0), 0.0)


def _conversation(passage: Passage) -> tuple[str, ...]:
    if passage.session_id is not None:
        return (passage.session_id,)
    whose = passage.group_id or passage.subject_id
    return (passage.namespace, whose) if whose else (passage.namespace, "", passage.knowledge_id)


class Scopes:
    """Scopes by filter, the latest used. What changed is read anew, the rest is kept."""

    def __init__(self, store: SearchStore, vectors: WordVectors) -> None:
        self._store = store
        self._vectors = vectors
        self._vocabulary = Vocabulary(vectors)
        self._kept: dict[bytes, Scope] = {}

    async def look_over(
        self, chosen: Filter, words: Sequence[str], *, most: int
    ) -> tuple[Scope | None, Many | None]:
        """All that fits, where that is little; else what words find among it."""
        for remaining in reversed(range(_TRIES)):
            found = await self._store.look_over(chosen, words, most=most)
            if isinstance(found, Many):
                return None, found
            scope = await self._scope(chosen, found)
            if len(scope) == len(found.revisions) or not remaining:
                return scope, None
        raise AssertionError("unreachable")

    async def of(self, passages: Sequence[Passage]) -> Scope:
        """A scope of these alone, for one search."""
        vocabulary = self._current()
        return Scope(_rows(passages, vocabulary), vocabulary)

    async def _scope(self, chosen: Filter, found: Few) -> Scope:
        vocabulary = self._current()
        key = orjson.dumps(chosen.as_json(), option=orjson.OPT_SORT_KEYS)
        before = self._kept.pop(key, None)
        rows = before.rows if before else {}
        if before and rows.keys() == set(found.revisions):
            self._kept[key] = before
            return before
        missing = [revision for revision in found.revisions if revision not in rows]
        new = await self._store.passages(chosen, missing) if missing else []
        rows = {one: rows[one] for one in found.revisions if one in rows}
        rows |= {revision: row.bare() for revision, row in _rows(new, vocabulary).items()}
        scope = Scope(rows, vocabulary)
        if vocabulary is self._vocabulary:
            self._kept[key] = scope
            self._forget()
        return scope

    def _current(self) -> Vocabulary:
        if len(self._vocabulary) > MOST_WORDS:
            self._vocabulary = Vocabulary(self._vectors)
            self._kept.clear()
        return self._vocabulary

    def _forget(self) -> None:
        """Let go of what was used longest ago."""
        items = sum(map(len, self._kept.values()))
        while items > MOST_ITEMS and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            items -= len(self._kept.pop(oldest))


def _rows(passages: Sequence[Passage], vocabulary: Vocabulary) -> dict[int, Row]:
    """Rows by revision; their numbers are made at once, for one by one would take much longer."""
    terms = vocabulary.numbers([term for passage in passages for term in passage.terms])
    counts = numpy.array([n for passage in passages for n in passage.counts], numpy.float32)
    rows, start = {}, 0
    for passage in passages:
        end = start + len(passage.terms)
        rows[passage.revision] = Row(passage, terms[start:end], counts[start:end])
        start = end
    return rows
