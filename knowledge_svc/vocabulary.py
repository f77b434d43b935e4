"""Words as numbers, and which of them are of kin meaning.

Short messages seldom use the words of a question: somebody who asks for a job is to find what was
said of work. Each word of a query therefore also looks for those words of the scope whose vectors
are near its own; they count in part.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import NDArray

from knowledge_svc.ports.searching import WordVectors
from knowledge_svc.terms import is_common

# How near a word has to be to count as kin, and how many of them count at most. Chosen, as the
# weights of `ranking.py`, on the tuning half of the evaluation.
LEAST_SIMILARITY = 0.38
MOST_KIN = 16
SHORTEST = 3

# So few words are embedded in less time than a thread takes to be woken.
_INLINE = 200

Numbers = NDArray[numpy.int32]
Matrix = NDArray[numpy.float32]


class _Numbers(dict[str, int]):
    """The number of each term; whoever asks for that of a new one gives it the next."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self._names)
        self._names.append(term)
        return number


class Vocabulary:
    """Gives each term a number, for good, and learns its vector when that is first needed."""

    def __init__(self, vectors: WordVectors) -> None:
        self._vectors = vectors
        self._names: list[str] = []
        self._numbers = _Numbers(self._names)
        self._is_meaningful = numpy.zeros(0, bool)
        self._matrix: Matrix = numpy.zeros((0, 0), numpy.float32)
        self._is_learned = numpy.zeros(0, bool)

    def __len__(self) -> int:
        return len(self._names)

    def numbers(self, terms: Sequence[str]) -> Numbers:
        """The number of each term; new ones are taken in."""
        return numpy.fromiter(map(self._numbers.__getitem__, terms), numpy.int32, len(terms))

    def name(self, number: int) -> str:
        """The term of a number."""
        return self._names[number]

    def meaningful(self, numbers: Numbers) -> NDArray[numpy.bool_]:
        """Which of the terms mean something by themselves."""
        names = self._names[len(self._is_meaningful) :]
        if names:
            new = [len(name) >= SHORTEST and not is_common(name) for name in names]
            self._is_meaningful = numpy.append(self._is_meaningful, new)
        return self._is_meaningful[numbers]

    async def matrix(self, numbers: Numbers) -> Matrix:
        """A row for each of the terms, of length 1, or of zeros where it has no vector."""
        self._make_room()
        unknown = numpy.unique(numbers[~self._is_learned[numbers]])
        if len(unknown):
            names = [self._names[number] for number in unknown.tolist()]
            if len(names) <= _INLINE:
                vectors = self._vectors.of_words(names)
            else:
                vectors = await asyncio.to_thread(self._vectors.of_words, names)
            self._keep(unknown, vectors)
        return self._matrix[numbers]

    def _make_room(self) -> None:
        missing = len(self._names) - len(self._is_learned)
        if missing > 0:
            # Twice as much at a time, so that growing copies little.
            room = max(missing, len(self._is_learned))
            self._is_learned = numpy.pad(self._is_learned, (0, room))
            self._matrix = numpy.pad(self._matrix, ((0, room), (0, 0)))

    def _keep(self, numbers: Numbers, vectors: Matrix) -> None:
        if not self._matrix.shape[1]:
            self._matrix = numpy.zeros((len(self._matrix), vectors.shape[1]), numpy.float32)
        self._matrix[numbers] = vectors
        self._is_learned[numbers] = True


def kin(similarities: Matrix) -> Mapping[int, float]:
    """The places of what is near enough to count, each with its share, by similarities."""
    near = numpy.flatnonzero(similarities > LEAST_SIMILARITY)
    best = near[numpy.argsort(-similarities[near], kind="stable")[:MOST_KIN]]
    return {int(place): round(float(similarities[place]), 4) for place in best}
