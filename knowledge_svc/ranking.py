"""How words, meaning and conversation become one score. Nothing here asks anybody anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knowledge_svc.domain.items import Candidate, Mode, WordHits

# Chosen on the first half of evaluation/questions.txt, from the middle of where nothing changes
# much: how much a similarity counts beside words, and the share that an item gets of what
# stands one and two places beside it.
SEMANTIC_WEIGHT = 0.4
SHARES = (0.5, 0.2)
REACH = len(SHARES)


@dataclass(frozen=True)
class Scored:
    """A candidate's score, and what went into it."""

    knowledge_id: str
    score: float
    keyword: float | None
    semantic: float | None
    conversation: float | None = None


def by_words(words: WordHits) -> list[Scored]:
    """BM25, best first."""
    return [Scored(one, score, score, None) for one, score in words.scores.items()]


def ranked(
    mode: Mode,
    candidates: Sequence[Candidate],
    words: WordHits,
    similarities: Mapping[str, float],
) -> list[Scored]:
    """The candidates, best first, equal ones in order of id."""
    if mode is Mode.SEMANTIC:
        scored = [
            Scored(one.knowledge_id, similarity, None, similarity)
            for one in candidates
            if (similarity := similarities.get(one.knowledge_id)) is not None
        ]
    else:
        scored = list(_Fusion(words, similarities).scored(candidates))
    return sorted(scored, key=lambda one: (-one.score, one.knowledge_id))


class _Fusion:
    """Brings words to 0..1 and adds meaning in part, for an item and for what is beside it."""

    def __init__(self, words: WordHits, similarities: Mapping[str, float]) -> None:
        # What an item of average length scores that has each of the words once.
        self._full = sum(words.weights["idfs"]) if words.weights else 0.0
        self._similarities = similarities
        # Whoever is not among the near is at most as near as the last of them.
        self._least = max(min(similarities.values(), default=0.0), 0.0)

    def scored(self, candidates: Sequence[Candidate]) -> list[Scored]:
        own = {one.knowledge_id: one.keyword for one in candidates}
        places: dict[str, list[tuple[str, int]]] = {one: [] for one in own}
        for candidate in candidates:
            for other in candidate.beside:
                own.setdefault(other.knowledge_id, other.keyword)
                places.setdefault(other.knowledge_id, [])
                places[candidate.knowledge_id].append((other.knowledge_id, abs(other.distance)))
        known = {one.knowledge_id for one in candidates}
        # What stands beside a candidate is one itself; of what is beside it, candidates are known.
        for candidate in candidates:
            for other in candidate.beside:
                if other.knowledge_id not in known:
                    places[other.knowledge_id].append((candidate.knowledge_id, abs(other.distance)))
        worth = {one: self._worth(one, keyword) for one, keyword in own.items()}
        return [
            self._with_conversation(one, own[one], worth, beside) for one, beside in places.items()
        ]

    def _worth(self, knowledge_id: str, keyword: float | None) -> float:
        words = keyword / (keyword + self._full) if keyword else 0.0
        similarity = self._similarities.get(knowledge_id, self._least)
        return words + SEMANTIC_WEIGHT * max(similarity, 0.0)

    def _with_conversation(
        self,
        knowledge_id: str,
        keyword: float | None,
        worth: Mapping[str, float],
        beside: Sequence[tuple[str, int]],
    ) -> Scored:
        share = sum(SHARES[distance - 1] * worth[other] for other, distance in beside)
        return Scored(
            knowledge_id,
            worth[knowledge_id] + share,
            keyword,
            self._similarities.get(knowledge_id),
            share if beside else None,
        )
