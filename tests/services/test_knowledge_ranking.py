"""How words, kin, meaning and conversation become one score."""

from collections.abc import Sequence
from typing import Any

import numpy
import pytest

from knowledge_svc import ranking
from knowledge_svc.domain.items import Filter
from knowledge_svc.domain.searching import Few, KinWord, Many, Passage, Scored
from knowledge_svc.ports.items import Calibration
from knowledge_svc.scopes import Scope, Scopes
from knowledge_svc.terms import query_terms, terms_of

EVERYTHING = Filter()
PLAIN = Calibration(unrelated=0.0, weight=0.4)

# Words of like meaning point the same way; any other stands alone.
MEANINGS = {"job": 0, "work": 0, "works": 0, "car": 1, "truck": 1}


class WordTable:
    """Vectors by a table: cosine 0.8 for words of one meaning, 0 for others."""

    def of_words(self, words: Sequence[str]) -> Any:
        rows = numpy.zeros((len(words), 64), numpy.float32)
        for row, word in zip(rows, words, strict=True):
            row[MEANINGS.get(word, 2)] = 0.8**0.5 if word in MEANINGS else 0.0
            row[3 + sum(map(ord, word)) % 61] = 0.2**0.5 if word in MEANINGS else 1.0
        return rows


class Shelf:
    """A store of passages, which counts how many are read."""

    def __init__(self, *passages: Passage) -> None:
        self.passages_by_revision = {passage.revision: passage for passage in passages}
        self.read: list[int] = []

    async def look_over(self, chosen: Filter, words: Sequence[str], *, most: int) -> Few | Many:
        return Few(list(self.passages_by_revision))

    async def passages(self, chosen: Filter, revisions: Sequence[int]) -> Sequence[Passage]:
        self.read += revisions
        known = self.passages_by_revision
        return [known[revision] for revision in revisions if revision in known]


def said(place: int, text: str, **changes: Any) -> Passage:
    """A message of one session, by its place in it."""
    terms = terms_of(text)
    given: dict[str, Any] = {
        "revision": place, "knowledge_id": f"{place:04}", "session_id": "talk",
        "namespace": "messages", "group_id": None, "subject_id": None, "said_at": 0.0,
        "position": place, "is_question": text.endswith("?"), "length": terms.total,
        "terms": terms.names, "counts": terms.counts,
    }  # fmt: skip
    return Passage(**given | changes)


async def scope_of(*passages: Passage) -> Scope:
    scope, _ = await Scopes(Shelf(*passages), WordTable()).look_over(EVERYTHING, [], most=10)  # type: ignore[arg-type]
    assert scope is not None
    return scope


async def ranked(
    scope: Scope, query: str, similarities: dict[str, float] | None = None,
    calibration: Calibration = PLAIN, many: Many | None = None,
) -> dict[str, Scored]:  # fmt: skip
    """What hybrid search makes of a scope, by id, best first."""
    asked = query_terms(query)
    words = ranking.Words(scope, asked, await scope.kinship(asked), many)
    found = ranking.fused(scope, words, similarities or {}, calibration, 10)
    return {one.knowledge_id: one for one in found}


async def test_kin_of_a_word_counts_in_part_and_the_word_itself_wholly():
    alone = [{"session_id": str(n)} for n in range(4)]
    scope = await scope_of(
        said(0, "my job", **alone[0]), said(1, "her work", **alone[1]),
        said(2, "the sea", **alone[2]), said(3, "a work and a job", **alone[3]),
    )  # fmt: skip

    found = await ranked(scope, "job")

    assert found["0000"].keyword and found["0001"].keyword
    assert found["0001"].keyword == pytest.approx(0.8 * found["0000"].keyword, rel=0.02)
    assert found["0001"].kin == [KinWord("job", "work", pytest.approx(0.8, abs=0.01))]
    assert not found["0000"].kin
    assert "0002" not in found
    # Of two forms in one item the one that counts most does, not their sum.
    assert found["0003"].keyword and found["0003"].keyword <= found["0000"].keyword


async def test_a_word_that_nobody_used_is_found_by_its_kin():
    scope = await scope_of(said(1, "he drives a truck"), said(2, "the sea"))

    found = await ranked(scope, "car")

    assert next(iter(found)) == "0001"


async def test_a_question_lends_its_worth_to_what_was_answered():
    scope = await scope_of(
        said(1, "Good morning."), said(2, "Where did you buy the cello?"), said(3, "In Lund."),
        said(4, "Nice."), said(5, "It rains."), said(6, "Indeed."),
    )  # fmt: skip

    found = await ranked(scope, "cello")

    assert list(found)[:2] == ["0002", "0001"] or list(found)[:2] == ["0002", "0003"]
    assert found["0003"].conversation == pytest.approx(
        ranking.SHARES[0] * ranking.QUESTION_LENDS * found["0002"].score
    )
    assert "0006" not in found


async def test_nothing_is_lent_across_conversations():
    scope = await scope_of(
        said(1, "the cello"), said(2, "elsewhere", session_id="other"), said(3, "the end")
    )

    assert set(await ranked(scope, "cello")) == {"0001", "0003"}


async def test_without_sessions_those_lend_less_who_talk_within_the_hour():
    def note(place: int, text: str, said_at: float, whose: str | None) -> Passage:
        return said(place, text, session_id=None, subject_id=whose, said_at=said_at)

    scope = await scope_of(
        note(1, "the cello", 0, "ann"), note(2, "of Lund", 60, "ann"), note(3, "late", 9999, "ann"),
        note(4, "of others", 30, "ben"), note(5, "of nobody", 30, None),
    )  # fmt: skip

    found = await ranked(scope, "cello")

    assert set(found) == {"0001", "0002"}
    assert found["0002"].score == pytest.approx(0.75 * ranking.SHARES[0] * found["0001"].score)


async def test_what_is_said_at_once_stands_in_order_of_position():
    scope = await scope_of(said(1, "the cello", position=9), said(2, "a"), said(3, "b", position=8))

    found = await ranked(scope, "cello")

    assert found["0003"].score > found["0002"].score


async def test_similarity_counts_from_what_is_unrelated_as_the_model_weighs_it():
    scope = await scope_of(said(1, "a", session_id="1"), said(2, "b", session_id="2"))
    calibration = Calibration(unrelated=0.5, weight=0.8)

    found = await ranked(scope, "zzz", {"0001": 0.75, "0002": 0.4}, calibration)

    assert found["0001"].score == pytest.approx(0.8 * 0.5)
    assert "0002" not in found


async def test_equal_scores_come_in_order_of_id():
    scope = await scope_of(*(said(n, "same words", session_id=str(n)) for n in (5, 3, 9, 1)))

    assert list(await ranked(scope, "words")) == ["0001", "0003", "0005", "0009"]


async def test_among_many_the_scopes_own_numbers_say_how_rare_a_word_is():
    scope = await scope_of(said(1, "tea"), said(2, "coffee", session_id="2"))
    many = Many(items=10_000, average=1.0, holding={"tea": 9_000, "coffe": 2}, scores={})

    found = await ranked(scope, "tea coffee", many=many)

    assert next(iter(found)) == "0002"
    assert found["0002"].keyword > 10 * (found["0001"].keyword or 0)  # type: ignore[operator]


async def test_nothing_at_all_is_ranked_without_a_fault():
    scope = await scope_of()

    assert await ranked(scope, "anything") == {}
    assert ranking.by_words(scope, ranking.Words(scope, ["anything"]), 5) == []


async def test_a_scope_that_did_not_change_is_not_read_again():
    shelf = Shelf(said(1, "one"), said(2, "two"))
    scopes = Scopes(shelf, WordTable())  # type: ignore[arg-type]

    first, _ = await scopes.look_over(EVERYTHING, [], most=5)
    second, _ = await scopes.look_over(EVERYTHING, [], most=5)

    assert second is first
    assert shelf.read == [1, 2]


async def test_of_a_scope_that_changed_only_what_is_new_is_read():
    shelf = Shelf(said(1, "one"), said(2, "two"))
    scopes = Scopes(shelf, WordTable())  # type: ignore[arg-type]
    await scopes.look_over(EVERYTHING, [], most=5)

    shelf.passages_by_revision.pop(1)
    shelf.passages_by_revision[3] = said(3, "three")
    scope, _ = await scopes.look_over(EVERYTHING, [], most=5)

    assert scope
    assert scope.ids == ["0002", "0003"]
    assert shelf.read == [1, 2, 3]


async def test_other_filters_have_scopes_of_their_own():
    scopes = Scopes(Shelf(said(1, "one")), WordTable())  # type: ignore[arg-type]

    mine, _ = await scopes.look_over(Filter(namespaces=["mine"]), [], most=5)
    all_of_them, _ = await scopes.look_over(EVERYTHING, [], most=5)

    assert mine is not all_of_them
