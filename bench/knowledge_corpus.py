"""A hundred thousand messages to search: mixed anew from the words of a real conversation."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import orjson
from numpy.typing import NDArray

from evaluation import corpus
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.domain.items import space_of
from knowledge_svc.ports.items import Purpose
from knowledge_svc.terms import terms_of
from svckit import ids

ITEMS = 100_000
# Three people have so many; the rest is of a thousand others.
PEOPLE = {count: ids.named("bench", str(count)) for count in (10, 1_000, 20_000)}
PART = 5_000
# Messages come in talks, each about something of its own, so that vectors lie in clusters.
_TALK = 30
_SUBJECTS, _SUBJECT_WORDS = 500, 40

SPACE = space_of(WordLlamaEmbedder.model, WordLlamaEmbedder.dimension)
TABLE = f"knowledge.vectors_{SPACE.name}"
LOAD = f"""
WITH row AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::text[])
        r (id, subject, session, content, terms, vector)
), item AS (
    INSERT INTO knowledge.knowledge_items (
        knowledge_id, revision, occurred_at, subject_id, session_id, source_event_id, owner,
        term_total, namespace, content_hash, body_hash, terms, term_counts, metadata, content)
    SELECT r.id, nextval('knowledge.revisions'), now(), r.subject, r.session, r.id, r.subject,
           (r.terms -> 2)::integer, 'default', sha256(r.content::bytea), sha256(r.content::bytea),
           ARRAY(SELECT jsonb_array_elements_text(r.terms -> 0)),
           ARRAY(SELECT c::smallint FROM jsonb_array_elements(r.terms -> 1) c), '{{}}', r.content
    FROM row r RETURNING knowledge_id, revision, occurred_at, subject_id, session_id
), state AS (
    INSERT INTO knowledge.index_states (knowledge_id, revision, state, embedding_model)
    SELECT i.knowledge_id, i.revision, 'indexed', '{WordLlamaEmbedder.model}' FROM item i
)
INSERT INTO {TABLE} (knowledge_id, occurred_at, subject_id, session_id, namespace, embedding)
SELECT i.knowledge_id, i.occurred_at, i.subject_id, i.session_id, 'default',
       r.vector::extensions.vector
FROM item i JOIN row r ON r.id = i.knowledge_id
"""

Vectors = NDArray[numpy.float32]


class Corpus:
    """The messages with their vectors, and questions that somebody asked of the real ones."""

    def __init__(self) -> None:
        self.chooser = random.Random(7)
        self._words = " ".join(said.text for said in corpus.conversation()).split()
        own = sorted(set(self._words))
        self._subjects = [self.chooser.choices(own, k=_SUBJECT_WORDS) for _ in range(_SUBJECTS)]
        self.ids = [ids.named("bench item", str(number)) for number in range(ITEMS)]
        self.people = self._people()
        self.embedder = WordLlamaEmbedder()
        self.vectors: Vectors = numpy.zeros((0, 0), numpy.float32)
        tuned, unseen = corpus.questions()
        self.questions = [one.question for one in tuned + unseen]

    def text(self, talk: int) -> str:
        """A message of quite ordinary length."""
        length = self.chooser.randint(6, 20)
        own = self.chooser.choices(self._subjects[talk % _SUBJECTS], k=length // 2)
        return " ".join(own + self.chooser.choices(self._words, k=length - len(own)))

    def _people(self) -> list[str]:
        given = [person for count, person in PEOPLE.items() for _ in range(count)]
        others = [ids.named("bench", f"other {n % 1000}") for n in range(ITEMS - len(given))]
        people = given + others
        self.chooser.shuffle(people)
        return people

    async def parts(self) -> Iterator[Sequence[Sequence[Any]]]:
        """Columns for LOAD, some thousands of rows at a time."""
        parts, vectors = [], []
        for start in range(0, ITEMS, PART):
            talks = [(start + n) // _TALK for n in range(PART)]
            texts = [self.text(talk) for talk in talks]
            values = await self.embedder.embed(texts, Purpose.DOCUMENT)
            vectors.append(numpy.array(values, numpy.float32))
            terms = [terms_of(text) for text in texts]
            parts.append((
                self.ids[start : start + PART], self.people[start : start + PART],
                [ids.named("talk", str(talk)) for talk in talks], texts,
                [json.dumps([t.names, t.counts, t.total]) for t in terms],
                [orjson.dumps(value).decode() for value in values],
            ))  # fmt: skip
        self.vectors = numpy.concatenate(vectors)
        return iter(parts)

    async def points(self) -> list[str]:
        """The questions' vectors, as pgvector reads them."""
        return [str(one) for one in await self.embedder.embed(self.questions, Purpose.QUERY)]

    async def nearest(self, question: str, person: str | None, count: int) -> set[str]:
        """Those that are nearest indeed."""
        [query] = await self.embedder.embed([question], Purpose.QUERY)
        similar = self.vectors @ numpy.array(query, numpy.float32)
        if person:
            similar[[one != person for one in self.people]] = -2
        return {self.ids[place] for place in numpy.argsort(-similar)[:count]}
