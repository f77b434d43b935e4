"""Words of kin meaning: somebody who asks for a job is to find what was said of work.

Short messages seldom use the words of a question. Each word of a query therefore also looks for
those words of the scope whose vectors are near its own; they count in part.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import NDArray

from knowledge_svc.ports.items import WordVectors
from knowledge_svc.terms import is_common

# How near a word has to be to count as kin, and how many of them count at most.
LEAST_SIMILARITY = 0.4
MOST_KIN = 16
SHORTEST = 3

# Vectors of a word are remembered: float32, 1 KiB each.
MOST_REMEMBERED = 50_000
# So few new words are embedded in less time than a thread takes to be woken.
_INLINE = 200

Matrix = NDArray[numpy.float32]


class Kin:
    """Finds kin by the vectors of single words."""

    def __init__(self, vectors: WordVectors) -> None:
        self._vectors = vectors
        self._remembered: dict[str, Matrix] = {}

    async def forms(
        self, asked: Sequence[str], vocabulary: Sequence[str] | None
    ) -> list[Mapping[str, float]]:
        """For each term asked for, the terms that count for it, with the share of each.

        `vocabulary` are the terms of the scope; None where they are too many, and then each
        term counts for itself alone.
        """
        known = [word for word in vocabulary or () if len(word) >= SHORTEST and not is_common(word)]
        if not known:
            return [{term: 1.0} for term in asked]
        await self._learn([*asked, *known])
        similar = self._matrix(asked) @ self._matrix(known).T
        return [
            {**_nearest(row, known), term: 1.0} for term, row in zip(asked, similar, strict=True)
        ]

    async def _learn(self, words: Sequence[str]) -> None:
        new = list(dict.fromkeys(word for word in words if word not in self._remembered))
        if not new:
            return
        if len(self._remembered) + len(new) > MOST_REMEMBERED:
            self._remembered.clear()
            new = list(dict.fromkeys(words))
        if len(new) <= _INLINE:
            vectors = self._vectors.of_words(new)
        else:
            vectors = await asyncio.to_thread(self._vectors.of_words, new)
        self._remembered.update(zip(new, vectors, strict=True))

    def _matrix(self, words: Sequence[str]) -> Matrix:
        return numpy.stack([self._remembered[word] for word in words])


def _nearest(similarities: Matrix, words: Sequence[str]) -> dict[str, float]:
    near = numpy.flatnonzero(similarities > LEAST_SIMILARITY)
    best = near[numpy.argsort(-similarities[near], kind="stable")[:MOST_KIN]]
    return {words[place]: round(float(similarities[place]), 4) for place in best}
