"""The local embedder: WordLlama's 256 dimensions out of its own package, no network, no key."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from knowledge_svc.ports.items import Calibration, Purpose

MOST_CHARACTERS = 8_000

# Texts are padded to the longest among them, 1 KiB a token and at most one token a byte.
_MOST_PADDED_BYTES = 65_536
# So few are embedded in less time than a thread takes to be woken.
_INLINE_BYTES = 2_048


class WordLlamaEmbedder:
    """Loads its model once, in a thread, when it is first needed."""

    model = "wordllama-l2-supercat"
    dimension = 256
    # Measured by `make eval`'s tuning half: little changes from 0 to 0.1, and from 0.3 to 0.5.
    calibration = Calibration(unrelated=0.05, weight=0.35)

    def __init__(self) -> None:
        self._model: Any = None
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(_load)

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        if self._model is None:
            await self.load()
        cut = [text[:MOST_CHARACTERS] for text in texts]
        if sum(map(len, cut)) <= _INLINE_BYTES:
            return _embed(self._model, cut)
        return await asyncio.to_thread(_embed, self._model, cut)

    def of_words(self, words: Sequence[str]) -> Any:
        """A row of length 1 for each word, of zeros where it has nothing to embed."""
        import numpy

        return numpy.asarray(_embed(self._model, words), dtype=numpy.float32)


@lru_cache(maxsize=1)
def _load() -> Any:
    import wordllama

    # The package looks for its tokenizer in a folder it does not have; as a cache it is found.
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


def _embed(model: Any, texts: Sequence[str]) -> list[list[float]]:
    import numpy

    vectors = numpy.zeros((len(texts), WordLlamaEmbedder.dimension))
    # A text without a token is divided by its length of zero.
    with numpy.errstate(divide="ignore", invalid="ignore"):
        for places in _groups(texts):
            vectors[places] = model.embed([texts[place] for place in places], norm=True)
    vectors[~numpy.isfinite(vectors).all(axis=1)] = 0.0
    rows: list[list[float]] = vectors.round(7).tolist()
    return rows


def _groups(texts: Sequence[str]) -> Iterator[list[int]]:
    """The places of the texts in groups of like length, each of bounded size when padded."""
    sizes = [len(text.encode()) for text in texts]
    group: list[int] = []
    for place in sorted(range(len(texts)), key=sizes.__getitem__):
        if group and sizes[place] * (len(group) + 1) > _MOST_PADDED_BYTES:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
