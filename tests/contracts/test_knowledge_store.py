"""What every ItemStore does, over each transport."""

import asyncio
import random

import pytest

from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from knowledge_svc.domain.filters import parsed
from knowledge_svc.domain.items import (
    Filter,
    IdempotencyConflict,
    KnowledgeNotFound,
    Place,
    Stored,
)
from knowledge_svc.domain.searching import Few
from knowledge_svc.ports.items import ItemStore
from knowledge_svc.ports.searching import SearchStore
from svckit import ids, sql
from tests.support.knowledge import an_entry

ANN, BEN = ids.named("ann"), ids.named("ben")


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


def outcomes(answers: list[Stored | IdempotencyConflict]) -> list[str]:
    return [a.outcome if isinstance(a, Stored) else type(a).__name__ for a in answers]


async def contents(store: ItemStore, chosen: Filter | None = None, **place) -> list[str]:
    items = await store.page(chosen or Filter(), before=place.get("before"), limit=100)
    return [item.content for item in items]


async def test_a_stored_item_is_read_back_as_it_was_given(store):
    entry = an_entry(
        "Café 👩‍👩‍👧 שלום 你好\nsecond line\t\\ '\"",
        metadata={"a": {"b": [1, 2.5, None, True, "x"]}, "ü": ""},
        namespace="notes",
        subject_id=ANN,
        person_id=BEN,
        group_id=ids.named("group"),
        session_id=ids.named("session"),
        platform="discord",
        source_event_id=ids.named("event"),
        source_position=2**53,
        occurred_at="2026-03-01T10:20:30.123456+00:00",
    )

    [stored] = await store.store([entry])
    item = await store.get(entry.item.knowledge_id)

    assert stored.outcome == "created"
    for name in (
        "knowledge_id", "content", "metadata", "namespace", "subject_id", "person_id", "group_id",
        "session_id", "platform", "source_event_id", "source_position", "occurred_at",
    ):  # fmt: skip
        assert getattr(item, name) == getattr(entry.item, name), name
    assert (item.index_state, item.embedding_model) == ("pending", None)


async def test_an_item_that_is_not_there_is_not_found(store):
    with pytest.raises(KnowledgeNotFound):
        await store.get(ids.new())


async def test_the_same_id_with_the_same_body_is_a_duplicate_of_the_same_write(store):
    entry = an_entry()

    [first] = await store.store([entry])
    [second] = await store.store([entry])

    assert (first.outcome, second.outcome) == ("created", "duplicate")
    assert first.revision == second.revision


async def test_the_same_id_with_another_body_is_a_conflict_and_changes_nothing(store):
    entry = an_entry("one")
    other = an_entry("two", knowledge_id=entry.item.knowledge_id)

    [_, conflict] = [*await store.store([entry]), *await store.store([other])]

    assert isinstance(conflict, IdempotencyConflict)
    assert conflict.metadata == {"knowledge_id": entry.item.knowledge_id}
    assert await contents(store) == ["one"]


async def test_the_callers_hash_decides_what_the_same_body_is(store):
    entry = an_entry("as sent", request_hash=b"h" * 32)
    retried = an_entry(
        "as sent, but later", request_hash=b"h" * 32, knowledge_id=entry.item.knowledge_id
    )

    assert outcomes([*await store.store([entry]), *await store.store([retried])]) == [
        "created", "duplicate"
    ]  # fmt: skip


async def test_an_owner_has_the_same_content_once_in_a_namespace(store):
    first = an_entry("tea, no sugar", subject_id=ANN)
    [original] = await store.store([first])

    again, other_namespace, other_owner, of_group, nobodys = await store.store(
        [
            an_entry("tea, no sugar", subject_id=ANN),
            an_entry("tea, no sugar", subject_id=ANN, namespace="notes"),
            an_entry("tea, no sugar", subject_id=BEN),
            an_entry("tea, no sugar", group_id=ids.named("a group")),
            an_entry("tea, no sugar"),
        ]
    )

    assert again == Stored(first.item.knowledge_id, "duplicate", original.revision)
    assert outcomes([other_namespace, other_owner, of_group, nobodys]) == ["created"] * 4


async def test_items_made_from_events_are_each_their_events_own(store):
    answers = await store.store(
        [
            an_entry("good morning", subject_id=ANN, source_event_id=ids.new()),
            an_entry("good morning", subject_id=ANN, source_event_id=ids.new()),
            an_entry("good morning", subject_id=ANN),
        ]
    )

    assert outcomes(answers) == ["created"] * 3


async def test_repeats_within_one_call_are_judged_one_after_the_other(store):
    first = an_entry("x", subject_id=ANN)
    same_id = first.item.knowledge_id
    other_id = ids.new()

    answers = await store.store(
        [
            first,
            first,
            an_entry("y", subject_id=ANN, knowledge_id=same_id),
            an_entry("x", subject_id=ANN, knowledge_id=other_id),
            an_entry("z", subject_id=ANN, knowledge_id=other_id),
            an_entry("z", subject_id=ANN),
        ]
    )

    assert outcomes(answers) == [
        "created", "duplicate", "IdempotencyConflict", "duplicate", "created", "duplicate"
    ]  # fmt: skip
    assert [a.knowledge_id for a in answers if isinstance(a, Stored)] == [
        same_id, same_id, same_id, other_id, other_id
    ]  # fmt: skip


async def test_a_thousand_repeats_are_one_item(store):
    answers = await store.store([an_entry("again", subject_id=ANN) for _ in range(1000)])

    assert outcomes(answers) == ["created"] + ["duplicate"] * 999
    assert len({answer.knowledge_id for answer in answers}) == 1


async def test_writers_at_the_same_time_agree_on_who_was_first(store):
    """Equal ids and equal contents, crosswise, in different orders: no deadlock, no loss."""
    chance = random.Random(4)
    known = [ids.new() for _ in range(12)]
    said = [f"saying {n}" for n in range(12)]
    batches = [
        [
            an_entry(chance.choice(said), knowledge_id=chance.choice(known), subject_id=ANN)
            for _ in range(40)
        ]
        for _ in range(24)
    ]

    answers = await asyncio.gather(*(store.store(batch) for batch in batches))

    created = [
        (entry.item.knowledge_id, entry.item.content)
        for batch, batch_answers in zip(batches, answers, strict=True)
        for entry, answer in zip(batch, batch_answers, strict=True)
        if isinstance(answer, Stored) and answer.outcome == "created"
    ]
    items = await store.page(Filter(), before=None, limit=100)
    assert sorted(created) == sorted((item.knowledge_id, item.content) for item in items)
    assert len({item.content for item in items}) == len(items)


async def test_missing_ids_are_those_neither_stored_nor_deleted_in_order(store):
    kept, deleted = an_entry("kept"), an_entry("deleted")
    unknown = [ids.new() for _ in range(3)]
    await store.store([kept, deleted])
    await delete(store, deleted.item.knowledge_id)

    missing = await store.find_missing(
        [unknown[2], kept.item.knowledge_id, unknown[0], deleted.item.knowledge_id, unknown[1]]
    )

    assert missing == [unknown[2], unknown[0], unknown[1]]


async def delete(store: ItemStore, knowledge_id: str, request: str | None = None) -> bool:
    [deleted] = await store.start_deletions(
        [knowledge_id], [request or ids.new()], owner="me", lease_seconds=5
    )
    await store.finish_deletions([knowledge_id], owner="me")
    return deleted


async def test_a_deleted_item_is_gone_and_stays_gone(store):
    entry = an_entry()
    await store.store([entry])

    assert await delete(store, entry.item.knowledge_id)
    assert not await delete(store, entry.item.knowledge_id)
    [again] = await store.store([entry])

    assert again == Stored(entry.item.knowledge_id, "deleted", None)
    assert await contents(store) == []


async def test_an_item_is_hidden_from_the_first_step_of_its_deletion_on(store, searching):
    entry = an_entry("going", subject_id=ANN)
    await store.store([entry])

    await store.start_deletions([entry.item.knowledge_id], [ids.new()], owner="me", lease_seconds=5)

    with pytest.raises(KnowledgeNotFound):
        await store.get(entry.item.knowledge_id)
    assert await contents(store) == []
    assert await searching.look_over(Filter(), ["going"], most=5) == Few([])
    assert await searching.surroundings([entry.item.knowledge_id], Filter(), reach=1) == []
    assert await searching.read([entry.item.knowledge_id], Filter()) == {}
    [same_content] = await store.store([an_entry("going", subject_id=ANN)])
    assert same_content.outcome == "created"


async def test_one_request_deletes_once_however_often_it_is_repeated(store):
    entry, request = an_entry(), ids.new()
    await store.store([entry])
    args = [entry.item.knowledge_id] * 3, [request, ids.new(), request]

    first = await store.start_deletions(*args, owner="me", lease_seconds=5)
    repeated = await store.start_deletions(*args, owner="me", lease_seconds=5)

    assert first == repeated == [True, False, True]


async def test_deleting_what_was_never_there_leaves_the_id_free(store):
    entry = an_entry()

    assert not await delete(store, entry.item.knowledge_id)
    assert outcomes(await store.store([entry])) == ["created"]


async def test_pages_go_from_new_to_old_without_gap_or_repeat(store):
    days = [f"2026-01-{day:02}T00:00:00+00:00" for day in (3, 1, 2, 2, 2, 5)]
    await store.store([an_entry(f"{n}", occurred_at=day) for n, day in enumerate(days)])
    everything = await store.page(Filter(), before=None, limit=100)

    seen, before = [], None
    while page := await store.page(Filter(), before=before, limit=2):
        seen += page
        before = Place(page[-1].occurred_at, page[-1].knowledge_id)

    assert seen == everything
    assert [item.occurred_at for item in seen] == sorted(days, reverse=True)


async def test_pages_of_several_subjects_are_merged(store):
    await store.store(
        [
            an_entry(f"{n}", subject_id=who, occurred_at=f"2026-01-0{n}T00:00:00+00:00")
            for n, who in enumerate([ANN, BEN, ids.new(), ANN, BEN, ANN], start=1)
        ]
    )
    both = Filter(subject_ids=[ANN, BEN, ANN])

    page = await store.page(both, before=None, limit=3)
    last = Place(page[-1].occurred_at, page[-1].knowledge_id)

    assert [item.content for item in page] == ["6", "5", "4"]
    assert await contents(store, both, before=last) == ["2", "1"]


@pytest.mark.parametrize(
    ("chosen", "fitting"),
    [
        (Filter(namespaces=["notes", "none"]), ["a"]),
        (Filter(subject_ids=[ANN]), ["a"]),
        (Filter(group_id=ids.named("g")), ["b"]),
        (Filter(session_id=ids.named("s")), ["b"]),
        (Filter(platform="discord"), ["a"]),
        (Filter(occurred_from="2026-01-02T00:00:00Z"), ["b"]),
        (Filter(occurred_to="2026-01-02T00:00:00Z"), ["a"]),
        (Filter(metadata=parsed({"n": 1}, "")), ["a"]),
        (Filter(metadata=parsed({"n": 1.0}, "")), ["a"]),
        (Filter(metadata=parsed({"n": "1"}, "")), []),
        (Filter(metadata=parsed({"t": True, "nothing": None}, "")), ["b"]),
        (Filter(metadata=parsed({"absent": None}, "")), []),
        (Filter(metadata=parsed({"o": {"x": 1, "y": [1, 2]}}, "")), ["a"]),
        (Filter(metadata=parsed({"o": {"x": 1}}, "")), ["b"]),
        (Filter(metadata=parsed({"list": ["p"]}, "")), ["b"]),
        (Filter(metadata=parsed({"list": "q"}, "")), ["a"]),
        (Filter(metadata=parsed({"list": []}, "")), []),
        (Filter(namespaces=["notes"], subject_ids=[BEN]), []),
    ],
)
async def test_a_filter_means_the_same_in_lists_searches_and_reads(
    store, searching, chosen, fitting
):
    a = an_entry(
        "a", namespace="notes", subject_id=ANN, platform="discord",
        occurred_at="2026-01-01T00:00:00Z",
        metadata={"n": 1, "o": {"x": 1, "y": [1, 2]}, "list": ["p", "q"]},
    )  # fmt: skip
    b = an_entry(
        "b", group_id=ids.named("g"), session_id=ids.named("s"),
        occurred_at="2026-01-02T00:00:00Z",
        metadata={"n": 2, "t": True, "nothing": None, "o": {"x": 1}, "list": ["p"]},
    )  # fmt: skip
    await store.store([a, b])
    by_id = {entry.item.knowledge_id: entry.item.content for entry in (a, b)}

    scope = await searching.look_over(chosen, [], most=5)
    passages = await searching.passages(chosen, [1, 2])
    around = await searching.surroundings(list(by_id), chosen, reach=0)
    read = await searching.read(list(by_id), chosen)
    matching = await searching.matching_ids(chosen, most=5)

    assert await contents(store, chosen) == fitting
    assert len(scope.revisions) == len(fitting)
    assert [by_id[passage.knowledge_id] for passage in passages] == fitting
    assert [by_id[passage.knowledge_id] for passage in around] == fitting
    assert [by_id[one] for one in read] == fitting
    assert matching is not None
    assert [by_id[one] for one in matching] == fitting


async def test_too_many_matching_ids_are_none(store, searching):
    await store.store([an_entry(f"{n}") for n in range(3)])

    assert await searching.matching_ids(Filter(), most=2) is None
    assert len(await searching.matching_ids(Filter(), most=3) or []) == 3
