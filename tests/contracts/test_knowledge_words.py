"""What every ItemStore finds by words, over each transport."""

import math

import pytest

from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import Filter
from knowledge_svc.ports.items import ItemStore
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


async def say(store: ItemStore, *contents: str, **changes) -> dict[str, str]:
    """Store contents; their ids to them."""
    entries = [an_entry(content, **changes) for content in contents]
    for start in range(0, len(entries), 1000):
        await store.store(entries[start : start + 1000])
    return {entry.item.knowledge_id: entry.item.content for entry in entries}


def bm25(query: str, contents: list[str]) -> dict[str, float]:
    """BM25 (k1 1.2, b 0.75) as the books have it, over few contents."""
    documents = {content: terms_of(content) for content in contents}
    average = sum(d.total for d in documents.values()) / len(documents)
    scores = dict.fromkeys(contents, 0.0)
    for term in query_terms(query):
        having = [c for c, d in documents.items() if term in d.names]
        idf = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
        for content in having:
            document = documents[content]
            count = document.counts[document.names.index(term)]
            norm = 1.2 * (0.25 + 0.75 * document.total / average)
            scores[content] += idf * count * 2.2 / (count + norm)
    return {content: score for content, score in scores.items() if score}


async def test_scores_are_those_of_bm25(store):
    contents = [
        "red wine with red meat",
        "white wine",
        "a bottle of red wine from the village of my grandmother",
        "beer",
        "meat and potatoes",
    ]
    by_id = await say(store, *contents)

    found = await store.search_words(query_terms("red wine meat"), EVERYTHING, limit=10)

    expected = bm25("red wine meat", contents)
    assert {by_id[one]: score for one, score in found.scores.items()} == pytest.approx(expected)
    assert list(found.scores.values()) == sorted(expected.values(), reverse=True)


async def test_how_rare_a_word_is_is_counted_within_the_filter(store):
    """For Ann "garden" is rare and "dog" is common, whatever the others say."""
    anns = await say(
        store, "dog and cat", "dog and mouse", "dog and bird", "garden and bird", subject_id=ANN
    )
    await say(store, *(f"garden {n}" for n in range(20)), "one dog", subject_id=BEN)

    found = await store.search_words(["dog", "garden"], Filter(subject_ids=[ANN]), limit=10)

    assert {anns[one]: score for one, score in found.scores.items()} == pytest.approx(
        bm25("dog garden", list(anns.values()))
    )
    assert anns[next(iter(found.scores))] == "garden and bird"


async def test_no_more_than_the_limit_are_found_and_those_are_the_best(store):
    by_id = await say(store, *("tea " * n + "and cake " * (9 - n) for n in range(1, 9)))

    everything = await store.search_words(["tea"], EVERYTHING, limit=100)
    best = await store.search_words(["tea"], EVERYTHING, limit=3)

    assert len(everything.scores) == len(by_id)
    assert list(best.scores.items()) == list(everything.scores.items())[:3]


async def test_equal_scores_come_in_order_of_id(store):
    by_id = await say(store, *("same words" for _ in range(9)), source_event_id=ids.new())

    found = await store.search_words(["words"], EVERYTHING, limit=5)

    assert list(found.scores) == sorted(by_id)[:5]


async def test_words_that_nobody_said_find_nothing(store):
    await say(store, "something")

    found = await store.search_words(["nothing"], EVERYTHING, limit=5)

    assert not found.scores


async def test_other_items_are_scored_by_the_weights_of_a_search(store):
    by_id = await say(store, "red wine", "white wine", "beer", "red red wine, and more of it")
    found = await store.search_words(["red", "wine"], EVERYTHING, limit=2)

    candidates = await store.read(list(by_id), EVERYTHING, found.weights)

    scores = {by_id[c.item.knowledge_id]: c.keyword for c in candidates}
    expected = bm25("red wine", list(by_id.values()))
    assert scores.pop("beer") is None
    assert scores == pytest.approx(expected)


async def test_among_thousands_rare_words_find_and_common_words_rank(store):
    """Beyond 3,000 items the search goes by the rarest words first."""
    crowd = [f"good morning number {n} and good evening" for n in range(3200)]
    by_id = await say(store, *crowd, namespace="crowd")
    by_id |= await say(
        store, "good morning, the heron is back", "the heron flew away", namespace="crowd"
    )
    chosen = Filter(namespaces=["crowd"])

    rare = await store.search_words(["heron"], chosen, limit=5)
    mixed = await store.search_words(["good", "morning", "heron"], chosen, limit=5)
    common = await store.search_words(["good", "evening", "3199"], chosen, limit=5)
    only_common = await store.search_words(["good", "evening"], chosen, limit=5)

    assert [by_id[one] for one in rare.scores] == [
        "the heron flew away", "good morning, the heron is back"
    ]  # fmt: skip
    assert by_id[next(iter(mixed.scores))] == "good morning, the heron is back"
    assert by_id[next(iter(common.scores))] == crowd[3199]
    assert len(only_common.scores) == 5
    assert all("evening" in by_id[one] for one in only_common.scores)


async def test_an_item_of_a_thousand_different_words_is_found_by_each(store):
    words = [f"{n:x}x" for n in range(4000)]
    by_id = await say(store, " ".join(words), "another")

    for word in (words[0], words[1999], words[-1]):
        found = await store.search_words(query_terms(word), EVERYTHING, limit=5)
        assert [by_id[one][:8] for one in found.scores] == [" ".join(words)[:8]]
