"""Remembers what a hosted embedder has answered, so that it is asked and paid once."""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from knowledge_svc.ports.items import Embedder, Purpose

_Key = tuple[Purpose, bytes]

# Several batches of an indexer; of 1,024 dimensions they take 4 MB.
MOST_REMEMBERED = 1_024


class RememberingEmbedder:
    """Another embedder, whose latest vectors are kept.

    An indexer embeds its batch again when the vector index could not be reached, for as long
    as that is away; and people ask the same things.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: OrderedDict[_Key, array[float]] = OrderedDict()
        self.model = embedder.model
        self.dimension = embedder.dimension
        self.calibration = embedder.calibration

    async def load(self) -> None:
        await self._embedder.load()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        keys = [(purpose, hashlib.sha256(text.encode()).digest()) for text in texts]
        # Held by this call: what others ask for meanwhile may take their place.
        answers = {key: self._known[key] for key in keys if key in self._known}
        asked = {key: text for key, text in zip(keys, texts, strict=True) if key not in answers}
        if asked:
            found = await self._embedder.embed([*asked.values()], purpose)
            answers |= {key: array("f", one) for key, one in zip(asked, found, strict=True)}
        self._remember(answers)
        return [answers[key].tolist() for key in keys]

    def _remember(self, answers: dict[_Key, "array[float]"]) -> None:
        for key, vector in answers.items():
            self._known[key] = vector
            self._known.move_to_end(key)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
