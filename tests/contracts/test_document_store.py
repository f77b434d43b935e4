"""What every DocumentStore and ReadingQueue does, over each transport."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from knowledge_svc.adapters.sql_documents import SqlDocumentStore, SqlReadingQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.documents import (
    Document,
    DocumentNotFound,
    DocumentPlace,
    Kept,
    NewDocument,
    Piece,
    Reading,
    Selection,
)
from knowledge_svc.domain.extraction import Outline
from knowledge_svc.domain.items import Filter, SubjectErased
from knowledge_svc.ports.documents import DocumentStore, ReadingQueue
from knowledge_svc.terms import terms_of
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator

ANN = ids.named("ann")


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> DocumentStore:
    return SqlDocumentStore(functions)


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> ReadingQueue:
    return SqlReadingQueue(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> SqlItemStore:
    return SqlItemStore(functions)


async def begin(store: DocumentStore, digit: str = "a", grace: float = 60, **new: Any) -> Document:
    document = NewDocument(**{"filename": "f.txt", **new})
    return await store.begin(
        document, sha256=digit * 64, size=3, media_type="text/plain",
        blob_key=f"{document.document_id(digit * 64)}/f.txt", request_id=ids.new(),
        grace_seconds=grace,
    )  # fmt: skip


async def kept(store: DocumentStore, digit: str = "a", **new: Any) -> Document:
    begun = await begin(store, digit, **new)
    stored = await store.commit(begun.document_id, request_id=ids.new())
    assert stored is not None
    return stored.document


async def claimed(queue: ReadingQueue, lease: float = 60) -> Reading:
    [reading] = await queue.claim("me", most=1, lease_seconds=lease)
    return reading


def piece(reading: Reading, number: int, content: str = "words") -> Piece:
    return Piece(reading.piece_id(number), number, content, terms_of(content), {"start": number})


async def read(queue: ReadingQueue, reading: Reading, *contents: str) -> bool:
    pieces = [piece(reading, n, content) for n, content in enumerate(contents)]
    assert await queue.stage(reading, pieces)
    outline = Outline(chunks=len(contents), characters=9, pages=2, title="T")
    return await queue.finish(reading, outline, chunker="c", is_indexed=True)


async def contents(items: SqlItemStore) -> set[str]:
    return {item.content for item in await items.page(Filter(), before=None, limit=100)}


async def test_a_record_is_seen_when_its_file_is_there(store: DocumentStore):
    begun = await begin(store, subject_id=ANN, metadata={"n": 1}, platform="web")
    again = await begin(store, filename="other.txt")
    with pytest.raises(DocumentNotFound):
        await store.get(begun.document_id)
    assert (begun.state, begun.is_latest) == ("storing", False)
    assert again.document_id != begun.document_id

    request = ids.new()
    first = await store.commit(begun.document_id, request_id=request)
    repeat = await store.commit(begun.document_id, request_id=request)
    late = await store.commit(begun.document_id, request_id=ids.new())

    document = await store.get(begun.document_id)
    assert (document.state, document.version, document.is_latest) == ("pending", 1, True)
    assert (document.metadata, document.subject_id, document.platform) == ({"n": 1}, ANN, "web")
    assert [first, repeat] == [Kept(document, True)] * 2
    assert late == Kept(document, False)
    assert (await begin(store, subject_id=ANN)) == document


async def test_an_upload_that_was_given_up_is_to_be_deleted(store: DocumentStore):
    begun = await begin(store, grace=0)
    assert await begin(store, "b", grace=60)

    [deletion] = await store.claim_deletions("me", most=10, lease_seconds=60)

    assert (deletion.document_id, deletion.state) == (begun.document_id, "deleting")
    assert await store.commit(begun.document_id, request_id=ids.new()) is None
    assert (await begin(store)).state == "deleting"
    await store.forget(begun)  # by who had it before: nothing happens
    assert (await begin(store)).state == "deleting"
    await store.put_off_deletion(deletion, seconds=0)
    [again] = await store.claim_deletions("other", most=10, lease_seconds=60)
    await store.forget(deletion)
    assert (await begin(store)).state == "deleting"
    await store.forget(again)
    assert (await begin(store)).state == "storing"


async def test_versions_are_numbered_and_the_highest_that_is_there_is_the_latest(
    store: DocumentStore,
):
    first = await kept(store, "1", key="k")
    second = await begin(store, "2", key="k")
    third = await kept(store, "3", key="k")
    await store.commit(second.document_id, request_id=ids.new())

    states = [await store.get(d.document_id) for d in (first, second, third)]
    told = [(d.version, d.is_latest, d.state) for d in states]
    # What is not the latest is not read, however it came about.
    assert told == [(1, False, "succeeded"), (2, False, "succeeded"), (3, True, "pending")]

    request = ids.new()
    deletions = [
        await store.start_deletion(
            third.document_id, request_id=request, owner="me", lease_seconds=9
        )
        for _ in range(2)
    ]
    other = await store.start_deletion(
        third.document_id, request_id=ids.new(), owner="me", lease_seconds=9
    )
    assert [deletion is not None for deletion in deletions] == [True, True]
    assert other is None
    promoted = await store.get(second.document_id)
    assert (promoted.is_latest, promoted.state) == (True, "pending")
    assert (await kept(store, "4", key="k")).version == 4


async def test_pieces_are_seen_all_at_once_at_the_end(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore
):
    document = await kept(store)
    reading = await claimed(queue)
    pieces = [piece(reading, 0, "one"), piece(reading, 1, "two")]
    for part in (pieces, pieces[:1], [piece(reading, 2, "three")]):
        assert await queue.stage(reading, part)
    assert await contents(items) == set()
    with pytest.raises(Exception, match="not there"):
        await _get_or_say(items, pieces[0].knowledge_id)

    outline = Outline(chunks=3, characters=11, pages=2, title="T")
    assert await queue.finish(reading, outline, chunker="c", is_indexed=True)
    assert await queue.finish(reading, outline, chunker="c", is_indexed=True)

    assert await contents(items) == {"one", "two", "three"}
    item = await items.get(pieces[1].knowledge_id)
    assert (item.document_id, item.chunk_number) == (document.document_id, 1)
    assert item.place == {"start": 1}
    told = await store.get(document.document_id)
    assert (told.state, told.is_indexed, told.chunks) == ("succeeded", True, 3)
    assert (told.pages, told.title, told.chunker) == (2, "T", "c")


async def _get_or_say(items: SqlItemStore, knowledge_id: str) -> None:
    try:
        await items.get(knowledge_id)
    except Exception as error:
        raise LookupError("not there") from error


async def test_a_reading_that_is_not_whole_is_not_shown(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore
):
    await kept(store)
    reading = await claimed(queue)
    await queue.stage(reading, [piece(reading, 0)])

    with pytest.raises(sql.SqlError, match="of 2 pieces 1"):
        await queue.finish(reading, Outline(chunks=2, characters=5), chunker="c", is_indexed=True)
    assert await contents(items) == set()


async def test_a_reading_that_another_has_taken_over_writes_nothing(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore
):
    document = await kept(store)
    dead = await claimed(queue, lease=0)
    await queue.stage(dead, [piece(dead, 0, "half of it")])
    alive = await claimed(queue)

    assert (dead.attempts, alive.attempts) == (1, 2)
    assert not await queue.renew(dead, lease_seconds=9)
    assert not await queue.stage(dead, [piece(dead, 1)])
    assert not await queue.finish(
        dead, Outline(chunks=1, characters=5), chunker="c", is_indexed=True
    )
    assert not await queue.fail(dead, "BROKEN", "it is")
    await queue.put_off(dead, seconds=0, blameless=False)
    assert await queue.renew(alive, lease_seconds=9)
    assert await read(queue, alive, "whole")
    assert await contents(items) == {"whole"}
    assert await store.drop_pieces(10) == 1
    assert await store.drop_pieces(10) is None
    assert await store.count_pieces(document.document_id) == 2


@pytest.mark.parametrize("change", ["version", "deletion", "request"])
async def test_a_reading_ends_when_its_document_changes(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore, change: str
):
    document = await kept(store, "1", key="k")
    reading = await claimed(queue)
    await queue.stage(reading, [piece(reading, 0, "old")])

    match change:
        case "version":
            await kept(store, "2", key="k")
        case "deletion":
            await store.start_deletion(
                document.document_id, request_id=ids.new(), owner="me", lease_seconds=9
            )
        case "request":
            assert (await store.request_reading(document.document_id)).state == "pending"

    assert not await queue.renew(reading, lease_seconds=9)
    assert not await queue.finish(
        reading, Outline(chunks=1, characters=5), chunker="c", is_indexed=True
    )
    assert await contents(items) == set()
    assert await store.drop_pieces(10) == 1


async def test_the_next_reading_takes_the_place_of_the_one_before(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore
):
    first = await kept(store, "1", key="k")
    await read(queue, await claimed(queue), "old", "older")
    await kept(store, "2", key="k")
    assert await contents(items) == {"old", "older"}

    await read(queue, await claimed(queue), "new")

    assert await contents(items) == {"new"}
    assert not (await store.get(first.document_id)).is_indexed
    dropped = [await store.drop_pieces(1) for _ in range(4)]
    assert dropped == [1, 1, 0, None]


async def test_a_reading_that_failed_keeps_what_was_read_of_the_same_bytes(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore
):
    document = await kept(store)
    await read(queue, await claimed(queue), "good")
    await store.request_reading(document.document_id)
    reading = await claimed(queue)
    await queue.stage(reading, [piece(reading, 0, "half")])

    assert await queue.fail(reading, "TIMED_OUT", "it took too long")
    assert await queue.fail(reading, "TIMED_OUT", "it took too long")

    told = await store.get(document.document_id)
    assert (told.state, told.failure_reason) == ("failed", "TIMED_OUT")
    assert (told.failure_detail, told.is_indexed, told.chunks) == ("it took too long", True, 1)
    assert await contents(items) == {"good"}


async def test_a_document_whose_lost_file_is_there_again_is_read_if_it_is_the_latest(
    store: DocumentStore, queue: ReadingQueue
):
    first = await kept(store, "1", key="k")
    assert await queue.fail(await claimed(queue), "FILE_LOST", "it is not there")
    assert (await store.get(first.document_id)).is_lost
    second = await kept(store, "2", key="k")
    assert await queue.fail(await claimed(queue), "FILE_LOST", "it is not there")

    restored = [await store.restore(one) for one in (first, second, second)]

    assert [one and one.state for one in restored] == ["succeeded", "pending", "pending"]
    assert not any(one and one.failure_reason for one in restored)
    assert await claimed(queue)
    assert await store.restore(replace(first, document_id=ids.new())) is None


async def test_what_is_put_off_comes_again_and_counts_only_where_it_is_to_blame(
    store: DocumentStore, queue: ReadingQueue
):
    await kept(store)
    attempts = []
    for blameless in (True, False, True, False):
        reading = await claimed(queue)
        attempts.append(reading.attempts)
        await queue.put_off(reading, seconds=0, blameless=blameless)
    reading = await claimed(queue)
    await queue.put_off(reading, seconds=60, blameless=True)

    assert (attempts, reading.attempts) == ([1, 1, 2, 2], 3)
    assert await queue.claim("me", most=1, lease_seconds=1) == []


async def test_readers_never_get_the_same_document(store: DocumentStore, queue: ReadingQueue):
    for digit in "123456789":
        await kept(store, digit)

    claims = await asyncio.gather(
        *(queue.claim(f"reader {n}", most=2, lease_seconds=60) for n in range(8))
    )

    found = [reading.document_id for readings in claims for reading in readings]
    assert len(found) == len(set(found)) == 9
    backlog = await queue.backlog()
    assert backlog.states == {"running": 9}


async def test_whoever_was_erased_has_no_documents(
    store: DocumentStore, queue: ReadingQueue, items: SqlItemStore, database: Database
):
    begun = await begin(store, "b", subject_id=ANN)
    document = await kept(store, subject_id=ANN)
    reading = await claimed(queue)
    assert await queue.stage(reading, [piece(reading, 0)])
    async with as_administrator(database) as connection:
        await connection.execute(f"SELECT knowledge.close_subjects(ARRAY['{ANN}'::uuid])")

    for call in (
        begin(store, "c", subject_id=ANN),
        begin(store, "c", person_id=ANN),
        store.commit(begun.document_id, request_id=ids.new()),
        store.request_reading(document.document_id),
    ):
        with pytest.raises(SubjectErased):
            await call
    assert not await queue.stage(reading, [piece(reading, 1)])
    assert not await queue.finish(
        reading, Outline(chunks=1, characters=5), chunker="c", is_indexed=True
    )
    assert await contents(items) == set()
    assert await store.start_deletion(
        document.document_id, request_id=ids.new(), owner="me", lease_seconds=9
    )


async def test_lists_are_newest_first_and_go_on_where_they_ended(store: DocumentStore):
    documents = [await kept(store, digit, subject_id=ANN) for digit in "1234"]
    await kept(store, "5")
    expected = [document.document_id for document in documents][::-1]

    for chosen in (Filter(subject_ids=[ANN, ids.named("ben")]), Filter()):
        page = await store.page(chosen, Selection(), before=None, limit=3)
        last = page[-1]
        place = DocumentPlace(last.created_at, last.document_id)
        rest = await store.page(chosen, Selection(), before=place, limit=9)
        found = [document.document_id for document in (*page, *rest)]
        assert [each for each in found if each in expected] == expected


async def test_a_key_that_signs_is_made_once(store: DocumentStore):
    keys = await asyncio.gather(*(store.signing_key(f"proposed {n}") for n in range(8)))

    assert len(set(keys)) == 1
    assert keys[0].startswith("proposed ")


def test_an_id_stands_for_owner_shelf_key_and_bytes():
    new = NewDocument("f", key="k", namespace="n", subject_id=ANN)
    others = [
        replace(new, key="l"), replace(new, namespace="m"), replace(new, subject_id=None),
        replace(new, key="n", namespace="k"),
    ]  # fmt: skip

    assert new.document_id("a") == replace(new, filename="g").document_id("a")
    assert len({each.document_id("a") for each in [new, *others]} | {new.document_id("b")}) == 6
