"""What every ItemStore finds by words, over each transport."""

import math

import pytest

from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import Filter, WordHits
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


async def find(
    store: ItemStore, terms: list[str], chosen: Filter = EVERYTHING, *, limit: int = 5
) -> WordHits:
    """What terms find, each counting for itself alone."""
    return await store.find_by_words([{term: 1.0} for term in terms], chosen, limit=limit)


def bm25(query: str, contents: list[str]) -> dict[str, float]:
    """BM25 (k1 1.2, b 0.4) as the books have it, over few contents."""
    documents = {content: terms_of(content) for content in contents}
    average = sum(d.total for d in documents.values()) / len(documents)
    scores = dict.fromkeys(contents, 0.0)
    for term in query_terms(query):
        having = [c for c, d in documents.items() if term in d.names]
        idf = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
        for content in having:
            document = documents[content]
            count = document.counts[document.names.index(term)]
            norm = 1.2 * (0.6 + 0.4 * document.total / average)
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

    found = await find(store, query_terms("red wine meat"), EVERYTHING, limit=10)

    expected = bm25("red wine meat", contents)
    assert {by_id[one]: score for one, score in found.scores.items()} == pytest.approx(expected)
    assert list(found.scores.values()) == sorted(expected.values(), reverse=True)


async def test_how_rare_a_word_is_is_counted_within_the_filter(store):
    """For Ann "garden" is rare and "dog" is common, whatever the others say."""
    anns = await say(
        store, "dog and cat", "dog and mouse", "dog and bird", "garden and bird", subject_id=ANN
    )
    await say(store, *(f"garden {n}" for n in range(20)), "one dog", subject_id=BEN)

    found = await find(store, ["dog", "garden"], Filter(subject_ids=[ANN]), limit=10)

    assert {anns[one]: score for one, score in found.scores.items()} == pytest.approx(
        bm25("dog garden", list(anns.values()))
    )
    assert anns[next(iter(found.scores))] == "garden and bird"


async def test_no_more_than_the_limit_are_found_and_those_are_the_best(store):
    by_id = await say(store, *("tea " * n + "and cake " * (9 - n) for n in range(1, 9)))

    everything = await find(store, ["tea"], EVERYTHING, limit=100)
    best = await find(store, ["tea"], EVERYTHING, limit=3)

    assert len(everything.scores) == len(by_id)
    assert list(best.scores.items()) == list(everything.scores.items())[:3]


async def test_equal_scores_come_in_order_of_id(store):
    by_id = await say(store, *("same words" for _ in range(9)), source_event_id=ids.new())

    found = await find(store, ["words"], EVERYTHING, limit=5)

    assert list(found.scores) == sorted(by_id)[:5]


async def test_words_that_nobody_said_find_nothing(store):
    await say(store, "something")

    found = await find(store, ["nothing"], EVERYTHING, limit=5)

    assert not found.scores


async def test_other_items_are_scored_by_the_weights_of_a_search(store):
    by_id = await say(store, "red wine", "white wine", "beer", "red red wine, and more of it")
    found = await find(store, ["red", "wine"], EVERYTHING, limit=2)

    candidates = await store.weigh(list(by_id), EVERYTHING, found.weights, reach=0)

    scores = {by_id[c.knowledge_id]: c.keyword for c in candidates}
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

    rare = await find(store, ["heron"], chosen, limit=5)
    mixed = await find(store, ["good", "morning", "heron"], chosen, limit=5)
    common = await find(store, ["good", "evening", "3199"], chosen, limit=5)
    only_common = await find(store, ["good", "evening"], chosen, limit=5)

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
        found = await find(store, query_terms(word), EVERYTHING, limit=5)
        assert [by_id[one][:8] for one in found.scores] == [" ".join(words)[:8]]


async def test_kin_of_a_word_counts_in_part_and_the_word_itself_wholly(store):
    by_id = await say(store, "my job", "her work", "the sea", "a work and a job")
    words = [{"job": 1.0, "work": 0.5}]

    found = await store.find_by_words(words, EVERYTHING, limit=5)

    scores = {by_id[one]: score for one, score in found.scores.items()}
    assert set(scores) == {"my job", "her work", "a work and a job"}
    assert scores["her work"] == pytest.approx(scores["my job"] / 2)
    # Of two forms in one item the one that counts most does, not their sum.
    assert scores["a work and a job"] < scores["my job"]


async def test_a_word_that_nobody_used_is_as_common_as_its_kin(store):
    by_id = await say(store, "her work", "his work", "the sea", "a ship")

    found = await store.find_by_words([{"job": 1.0, "work": 0.5}], EVERYTHING, limit=5)

    assert {by_id[one] for one in found.scores} == {"her work", "his work"}
    [idf] = found.weights["idfs"]
    assert idf == pytest.approx(math.log(1 + (4 - 1 + 0.5) / (1 + 0.5)))


async def test_the_terms_of_a_scope_are_those_of_what_fits(store):
    await say(store, "running dogs", subject_id=ANN)
    await say(store, "a cat", subject_id=BEN)

    anns = await store.scope_terms(Filter(subject_ids=[ANN]))

    assert sorted(anns) == ["dog", "dogs", "run", "running"]
    assert await store.scope_terms(Filter(subject_ids=[ids.new()])) == []


async def test_of_thousands_of_items_nobody_lists_the_terms(store):
    await say(store, *(f"number {n}" for n in range(3001)))

    assert await store.scope_terms(EVERYTHING) is None


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


async def test_a_candidate_comes_with_what_stands_beside_it(store):
    said = await conversation(store, "one", "two", "three", "four", "five")
    found = await find(store, ["two", "four"])

    [candidate] = await store.weigh([said[2]], EVERYTHING, found.weights, reach=2)

    beside = [(other.knowledge_id, other.distance) for other in candidate.beside]
    assert beside == [(said[0], -2), (said[1], -1), (said[3], 1), (said[4], 2)]
    scored = {other.knowledge_id for other in candidate.beside if other.keyword}
    assert scored == {said[1], said[3]}


async def test_beside_an_item_stands_only_what_fits_and_is_there(store):
    said = await conversation(store, "one", "two", "three", subject_id=ANN)
    await conversation(store, "of others", subject_id=BEN)
    await store.start_deletions([said[1]], [ids.new()], owner="me", lease_seconds=5)

    [candidate] = await store.weigh([said[0]], Filter(subject_ids=[ANN]), None, reach=1)

    assert [other.knowledge_id for other in candidate.beside] == [said[2]]


async def test_outside_of_conversations_nothing_stands_beside(store):
    by_id = await say(store, "one", "two")

    candidates = await store.weigh(list(by_id), EVERYTHING, None, reach=2)

    assert [list(candidate.beside) for candidate in candidates] == [[], []]
