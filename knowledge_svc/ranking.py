"""How words, meaning and conversation become one score. Nothing here asks anybody anything."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from knowledge_svc.domain.searching import KinWord, Many, Scored
from knowledge_svc.ports.items import Calibration
from knowledge_svc.scopes import Floats, Places, Scope
from knowledge_svc.vocabulary import Matrix, kin

# BM25. Short messages are little better for being short. `word_scores` in SQL has the same.
K1, B = 1.2, 0.3

# Chosen on the tuning half of the evaluation, from the middle of where little changes: the share
# that an item gets of what stands one, two, three places beside it; how much more a question
# lends, because those who ask use the words that those who answer need not repeat.
SHARES = (0.5, 0.25, 0.12)
QUESTION_LENDS = 1.25


@dataclass(frozen=True)
class Form:
    """A term that counts for a word of the query, wholly or in part: its number in the scope."""

    word: int
    number: int
    share: float


class Words:
    """BM25 of a scope by the words of a query, each with its kin if there is a kinship."""

    def __init__(
        self,
        scope: Scope,
        asked: Sequence[str],
        kinship: Matrix | None = None,
        among: Many | None = None,
    ) -> None:
        self._scope, self._asked = scope, asked
        self._forms = _forms(scope, asked, kinship)
        lengths = scope.lengths
        average = among.average if among else float(lengths.mean()) if len(lengths) else 1.0
        self._norms = K1 * (1 - B + B * lengths / max(average, 1e-9))
        self.scores: Floats = numpy.zeros(len(scope))
        # What an item of average length scores that has each of the words once.
        self.full = 0.0
        for word, term in enumerate(asked):
            self._add(word, term, among)

    def _add(self, word: int, term: str, among: Many | None) -> None:
        scope = self._scope
        share_of = numpy.zeros(len(scope.words))
        for form in self._forms[word]:
            share_of[form.number] = form.share
        shares = share_of[scope.occurrences]
        places = numpy.flatnonzero(shares)
        items, share = scope.items[places], shares[places]
        counts = scope.counts[places]
        # Of several forms in one item, the one that counts most does.
        worth = numpy.zeros(len(scope))
        numpy.maximum.at(worth, items, share * counts * (K1 + 1) / (counts + self._norms[items]))
        best = numpy.zeros(len(scope))
        numpy.maximum.at(best, items, share)
        idf = _idf(best, among, term)
        self.scores += worth * idf
        self.full += idf

    def kin_in(self, place: int) -> list[KinWord]:
        """The kin by which a query's words are found in one item that has not the words."""
        scope = self._scope
        there = set(scope.occurrences[scope.items == place].tolist())
        found = []
        for term, forms in zip(self._asked, self._forms, strict=True):
            here = [form for form in forms if form.number in there]
            best = max(here, key=lambda form: form.share, default=None)
            if best and best.share < 1:
                name = scope.vocabulary.name(int(scope.words[best.number]))
                found.append(KinWord(term, name, best.share))
        return found


def _forms(scope: Scope, asked: Sequence[str], kinship: Matrix | None) -> list[list[Form]]:
    numbers = scope.vocabulary.numbers(asked)
    at = numpy.searchsorted(scope.words, numbers)
    forms = []
    for word, (number, place) in enumerate(zip(numbers.tolist(), at.tolist(), strict=True)):
        shares: dict[int, float] = {}
        if kinship is not None:
            shares = {int(scope.meaningful[one]): s for one, s in kin(kinship[word]).items()}
        if place < len(scope.words) and scope.words[place] == number:
            shares[place] = 1.0
        forms.append([Form(word, one, share) for one, share in shares.items()])
    return forms


def _idf(best: Floats, among: Many | None, term: str) -> float:
    """How rare a word is; 0 for one that is nowhere. One that nobody uses is as common as its
    kin, each in part.
    """
    if among is None:
        items, holding = float(len(best)), float(numpy.count_nonzero(best == 1))
    else:
        items, holding = among.items, among.holding.get(term, 0.0)
    if not holding:
        if not best.any():
            return 0.0
        holding = max(1.0, round(float(best.sum())) * items / len(best))
    return math.log(1 + (max(items, holding) - holding + 0.5) / (holding + 0.5))


def by_words(scope: Scope, words: Words, limit: int) -> list[Scored]:
    """The best by BM25 alone, equal ones in order of id."""
    return [
        Scored(scope.ids[place], score, keyword=score)
        for place in _best(words.scores, limit)
        if (score := float(words.scores[place])) > 0
    ]


def by_meaning(similarities: Mapping[str, float]) -> list[Scored]:
    """All of them, best first, equal ones in order of id."""
    return [
        Scored(one, similarity, semantic=similarity)
        for one, similarity in sorted(similarities.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def fused(
    scope: Scope,
    words: Words,
    similarities: Mapping[str, float],
    calibration: Calibration,
    limit: int,
    *,
    least: float = 0.0,
) -> list[Scored]:
    """The best by words, meaning and what stands beside, equal ones in order of id.

    `least` is how similar the items are taken to be whose similarity is not known.
    """
    keyword = words.scores
    own = keyword / (keyword + words.full) if words.full else keyword
    own = own + calibration.weight * _meanings(scope, similarities, calibration, least)
    lent = _lent(scope, own * numpy.where(scope.is_question, QUESTION_LENDS, 1.0))
    total = own + lent
    return [
        Scored(
            scope.ids[place],
            float(total[place]),
            keyword=float(keyword[place]) or None,
            semantic=similarities.get(scope.ids[place]),
            conversation=float(lent[place]) or None,
            kin=words.kin_in(place),
        )
        for place in _best(total, limit)
        if total[place] > 0
    ]


def _meanings(
    scope: Scope, similarities: Mapping[str, float], calibration: Calibration, least: float
) -> Floats:
    """Similarities from 0, for what is unrelated, to 1."""
    known = numpy.full(len(scope), least)
    for knowledge_id, similarity in similarities.items():
        place = scope.places.get(knowledge_id)
        if place is not None:
            known[place] = similarity
    unrelated = calibration.unrelated
    return numpy.maximum(known - unrelated, 0.0) / (1 - unrelated)


def _lent(scope: Scope, worth: Floats) -> Floats:
    said = scope.as_said
    worth = worth[said.order]
    lent = numpy.zeros(len(scope))
    for distance, share in enumerate(SHARES, start=1):
        if distance >= len(scope):
            break
        shares = share * said.closeness(distance)
        lent[distance:] += shares * worth[:-distance]
        lent[:-distance] += shares * worth[distance:]
    back: Floats = numpy.empty_like(lent)
    back[said.order] = lent
    return back


def _best(scores: Floats, limit: int) -> Places:
    """The places of the highest scores, equal ones in order of place."""
    return numpy.argsort(-scores, kind="stable")[:limit]
