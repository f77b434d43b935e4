"""What every SearchStore tells of items, and what words find by it, over each transport."""

import math
from collections.abc import Sequence
from typing import Any

import numpy
import pytest

from knowledge_svc import ranking
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from knowledge_svc.domain.items import Filter
from knowledge_svc.domain.searching import Few, Many
from knowledge_svc.ports.items import ItemStore
from knowledge_svc.ports.searching import SearchStore
from knowledge_svc.scopes import Scopes
from knowledge_svc.terms import query_terms, terms_of
from svckit import ids, sql
from tests.support.knowledge import an_entry

ANN, BEN = ids.named("ann"), ids.named("ben")
EVERYTHING = Filter()


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ItemStore:
    """An empty store over each transport in turn."""
    return SqlItemStore(functions)


@pytest.fixture
def searching(functions: sql.SqlFunctions) -> SearchStore:
    """The same items as a search sees them."""
    return SqlSearchStore(functions)


async def say(store: ItemStore, *contents: str, **changes) -> dict[str, str]:
    """Store contents; their ids to them."""
    entries = [an_entry(content, **changes) for content in contents]
    for start in range(0, len(entries), 1000):
        await store.store(entries[start : start + 1000])
    return {entry.item.knowledge_id: entry.item.content for entry in entries}


class NoVectors:
    """Words are not near one another here."""

    def of_words(self, words: Sequence[str]) -> Any:
        return numpy.zeros((len(words), 2), numpy.float32)


async def find(
    searching: SearchStore, terms: list[str], chosen: Filter = EVERYTHING, *, limit: int = 5
) -> dict[str, float]:
    """BM25 by id, best first, as keyword search has it."""
    scope, many = await Scopes(searching, NoVectors()).look_over(chosen, terms, most=limit)
    if scope is None:
        assert many
        return dict(many.scores)
    return {
        one.knowledge_id: one.score
        for one in ranking.by_words(scope, ranking.Words(scope, terms), limit)
    }


def bm25(query: str, contents: list[str]) -> dict[str, float]:
    """BM25 (k1 1.2, b 0.3) as the books have it, over few contents."""
    documents = {content: terms_of(content) for content in contents}
    average = sum(d.total for d in documents.values()) / len(documents)
    scores = dict.fromkeys(contents, 0.0)
    for term in query_terms(query):
        having = [c for c, d in documents.items() if term in d.names]
        idf = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
        for content in having:
            document = documents[content]
            count = document.counts[document.names.index(term)]
            norm = 1.2 * (0.7 + 0.3 * document.total / average)
            scores[content] += idf * count * 2.2 / (count + norm)
    return {content: score for content, score in scores.items() if score}


async def test_scores_are_those_of_bm25(store, searching):
    contents = [
        "red wine with red meat",
        "white wine",
        "a bottle of red wine from the village of my grandmother",
        "beer",
        "meat and potatoes",
    ]
    by_id = await say(store, *contents)

    found = await find(searching, query_terms("red wine meat"), EVERYTHING, limit=10)

    expected = bm25("red wine meat", contents)
    assert {by_id[one]: score for one, score in found.items()} == pytest.approx(expected)
    assert list(found.values()) == pytest.approx(sorted(expected.values(), reverse=True))


async def test_how_rare_a_word_is_is_counted_within_the_filter(store, searching):
    """For Ann "garden" is rare and "dog" is common, whatever the others say."""
    anns = await say(
        store, "dog and cat", "dog and mouse", "dog and bird", "garden and bird", subject_id=ANN
    )
    await say(store, *(f"garden {n}" for n in range(20)), "one dog", subject_id=BEN)

    found = await find(searching, ["dog", "garden"], Filter(subject_ids=[ANN]), limit=10)

    assert {anns[one]: score for one, score in found.items()} == pytest.approx(
        bm25("dog garden", list(anns.values()))
    )
    assert anns[next(iter(found))] == "garden and bird"


async def test_no_more_than_the_limit_are_found_and_those_are_the_best(store, searching):
    by_id = await say(store, *("tea " * n + "and cake " * (9 - n) for n in range(1, 9)))

    everything = await find(searching, ["tea"], EVERYTHING, limit=100)
    best = await find(searching, ["tea"], EVERYTHING, limit=3)

    assert len(everything) == len(by_id)
    assert list(best.items()) == list(everything.items())[:3]


async def test_equal_scores_come_in_order_of_id(store, searching):
    by_id = await say(store, *("same words" for _ in range(9)), source_event_id=ids.new())

    found = await find(searching, ["words"], EVERYTHING, limit=5)

    assert list(found) == sorted(by_id)[:5]


async def test_words_that_nobody_said_find_nothing(store, searching):
    await say(store, "something")

    found = await find(searching, ["nothing"], EVERYTHING, limit=5)

    assert not found


async def test_among_thousands_rare_words_find_and_common_words_rank(store, searching):
    """Beyond 3,000 items the search goes by the rarest words first."""
    crowd = [f"good morning number {n} and good evening" for n in range(3200)]
    by_id = await say(store, *crowd, namespace="crowd")
    by_id |= await say(
        store, "good morning, the heron is back", "the heron flew away", namespace="crowd"
    )
    chosen = Filter(namespaces=["crowd"])

    rare = await find(searching, ["heron"], chosen, limit=5)
    mixed = await find(searching, ["good", "morning", "heron"], chosen, limit=5)
    common = await find(searching, ["good", "evening", "3199"], chosen, limit=5)
    only_common = await find(searching, ["good", "evening"], chosen, limit=5)

    assert [by_id[one] for one in rare] == [
        "the heron flew away", "good morning, the heron is back"
    ]  # fmt: skip
    assert by_id[next(iter(mixed))] == "good morning, the heron is back"
    assert by_id[next(iter(common))] == crowd[3199]
    assert len(only_common) == 5
    assert all("evening" in by_id[one] for one in only_common)


async def test_an_item_of_a_thousand_different_words_is_found_by_each(store, searching):
    words = [f"{n:x}x" for n in range(4000)]
    by_id = await say(store, " ".join(words), "another")

    for word in (words[0], words[1999], words[-1]):
        found = await find(searching, query_terms(word), EVERYTHING, limit=5)
        assert [by_id[one][:8] for one in found] == [" ".join(words)[:8]]


async def test_of_few_items_each_write_is_named_and_can_be_read(store, searching):
    by_id = await say(store, "running dogs, running", "Is it?", subject_id=ANN)
    await say(store, "a cat", subject_id=BEN)
    chosen = Filter(subject_ids=[ANN])

    found = await searching.look_over(chosen, ["run"], most=5)
    assert isinstance(found, Few)
    passages = await searching.passages(chosen, found.revisions)

    dogs, question = sorted(passages, key=lambda passage: by_id[passage.knowledge_id] == "Is it?")
    assert sorted(found.revisions) == sorted([dogs.revision, question.revision])
    assert dict(zip(dogs.terms, dogs.counts, strict=True)) == {
        "dog": 1, "dogs": 1, "run": 2, "running": 2
    }  # fmt: skip
    assert (dogs.length, dogs.subject_id, dogs.is_question) == (3, ANN, False)
    assert question.is_question


async def test_writes_that_do_not_fit_are_not_told(store, searching):
    await say(store, "of ann", subject_id=ANN)
    found = await searching.look_over(EVERYTHING, [], most=5)
    assert isinstance(found, Few)

    assert await searching.passages(Filter(subject_ids=[BEN]), found.revisions) == []


async def test_of_many_items_words_choose_and_their_numbers_are_told(store, searching):
    await say(store, *(f"number {n}" for n in range(3000)), "one heron")

    found = await searching.look_over(EVERYTHING, ["heron", "unheard"], most=5)

    assert isinstance(found, Many)
    assert (found.items, found.holding) == (3001, {"heron": 1})
    assert len(found.scores) == 1


async def conversation(store: ItemStore, *contents: str, **changes) -> list[str]:
    """Messages of one conversation, all at the same time, as many a transcript has them."""
    entries = [
        an_entry(
            content,
            occurred_at="2026-01-01T00:00:00Z",
            source_event_id=ids.new(),
            source_position=position,
            **{"session_id": ids.named("talk"), **changes},
        )
        for position, content in enumerate(contents, start=1)
    ]
    # Stored in another order than they were said.
    await store.store(entries[::-1])
    return [entry.item.knowledge_id for entry in entries]


async def test_surroundings_are_what_stands_beside_in_the_same_session(store, searching):
    said = await conversation(store, "one", "two", "three", "four", "five", "six")
    await conversation(store, "of others", session_id=ids.named("elsewhere"))

    around = await searching.surroundings([said[2]], EVERYTHING, reach=2)

    assert {passage.knowledge_id for passage in around} == set(said[:5])


async def test_what_stands_beside_comes_in_the_order_in_which_it_was_said(store, searching):
    said = await conversation(store, "one", "two", "three", "four", "five")

    beside = await searching.beside([said[1]], EVERYTHING, reach=2)

    assert [(one.hit_id, one.distance, one.item.content) for one in beside] == [
        (said[1], -1, "one"), (said[1], 1, "three"), (said[1], 2, "four")
    ]  # fmt: skip


async def test_beside_an_item_stands_only_what_fits_and_is_there(store, searching):
    said = await conversation(store, "one", "two", "three", subject_id=ANN)
    await conversation(store, "of others", subject_id=BEN)
    await store.start_deletions([said[1]], [ids.new()], owner="me", lease_seconds=5)
    chosen = Filter(subject_ids=[ANN])

    around = await searching.surroundings([said[0]], chosen, reach=1)
    beside = await searching.beside([said[0]], chosen, reach=1)

    assert {passage.knowledge_id for passage in around} == {said[0], said[2]}
    assert [one.item.knowledge_id for one in beside] == [said[2]]


async def test_outside_of_sessions_nothing_stands_beside(store, searching):
    by_id = await say(store, "one", "two")

    assert len(await searching.surroundings(list(by_id), EVERYTHING, reach=2)) == 2
    assert await searching.beside(list(by_id), EVERYTHING, reach=2) == []
