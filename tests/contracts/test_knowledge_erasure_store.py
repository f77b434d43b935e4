"""What every ErasureStore and ExportStore does, over each transport."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_erasing import SqlErasureStore, SqlExportStore
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import KnowledgeNotFound, Stored, SubjectErased, Write
from knowledge_svc.ports.erasing import ErasureStore, ExportStore
from knowledge_svc.ports.items import IndexQueue, ItemStore
from svckit import ids, sql
from svckit.errors import ServiceError, Unavailable
from tests.support.cluster import Database, administrator
from tests.support.keeping import LEASED, a_document, a_memory
from tests.support.knowledge import an_entry

ANN, BEN, LINK = ids.named("ann"), ids.named("ben"), ids.named("ann's link")
ANNS = [ANN, LINK]


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ErasureStore:
    """A store over each transport in turn."""
    return SqlErasureStore(functions)


@pytest.fixture
def exports(functions: sql.SqlFunctions) -> ExportStore:
    return SqlExportStore(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> ItemStore:
    return SqlItemStore(functions)


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> IndexQueue:
    return SqlIndexQueue(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


async def kept(items: ItemStore, number: int = 1, **about: Any) -> list[str]:
    """The ids of new items."""
    entries = [an_entry(f"{ids.new()} is what they said.", **about) for _ in range(number)]
    return [one.knowledge_id for one in await items.store(entries) if isinstance(one, Stored)]


async def take(store: ErasureStore, subjects: Sequence[str] = ANNS, owner: str = "eraser", **more):
    return await store.take_items(
        subjects, owner=owner, lease_seconds=more.pop("lease_seconds", 30.0),
        most=more.pop("most", 500),
    )  # fmt: skip


async def erase_items(store: ErasureStore, items: ItemStore, subjects: Sequence[str] = ANNS):
    while (doomed := await take(store, subjects)).ids:
        await items.finish_deletions(doomed.ids, owner="eraser")
    assert not doomed.held


async def test_nothing_is_kept_about_closed_subjects(store, items):
    await store.close(ANNS)
    await store.close(ANNS)

    outcomes = await items.store(
        [an_entry(subject_id=LINK), an_entry(person_id=ANN), an_entry(subject_id=BEN)]
    )

    assert [type(one).__name__ for one in outcomes] == ["SubjectErased", "SubjectErased", "Stored"]
    assert [one.metadata["subject_id"] for one in outcomes[:2]] == [LINK, ANN]


async def test_what_is_not_closed_is_not_erased(store, items):
    [stored] = await kept(items, subject_id=LINK)

    assert (await take(store)).ids == []
    assert not await store.erase_memories(ANNS, most=10)
    assert (await items.get(stored)).subject_id == LINK


async def test_items_are_hidden_at_once_and_gone_when_finished(store, items, admin):
    by_link = await kept(items, 3, subject_id=LINK, person_id=ANN)
    by_person = await kept(items, 2, person_id=ANN)
    others = await kept(items, 2, subject_id=BEN)
    await store.close(ANNS)

    doomed = await take(store)
    for one in by_link:
        with pytest.raises(KnowledgeNotFound):
            await items.get(one)
    still = (await store.count(ANNS))["items"]
    await items.finish_deletions(doomed.ids, owner="eraser")

    assert sorted(doomed.ids) == sorted(by_link + by_person)
    assert still == 5
    assert (await take(store)).ids == []
    assert (await store.count(ANNS))["items"] == 0
    assert await store.erased_in_all(ANNS) == {"items": 5}
    assert await items.find_missing([*by_link, *by_person, *others]) == []
    assert await admin.fetchval("SELECT count(*) FROM knowledge.knowledge_items") == 2


async def test_steps_are_bounded_and_go_on(store, items):
    await kept(items, 7, subject_id=LINK)
    await store.close(ANNS)

    sizes = []
    while (doomed := await take(store, most=3)).ids:
        sizes.append(len(doomed.ids))
        await items.finish_deletions(doomed.ids, owner="eraser")

    assert sizes == [3, 3, 1]
    assert await store.erased_in_all(ANNS) == {"items": 7}


async def test_a_repeated_step_counts_nothing_twice_and_another_eraser_waits_for_the_lease(
    store, items
):
    await kept(items, 2, subject_id=LINK)
    await store.close(ANNS)

    first = await take(store)
    again = await take(store)
    another = await take(store, owner="another")
    late = await take(store, owner="another", lease_seconds=0)

    assert sorted(again.ids) == sorted(first.ids)
    assert (another.ids, another.held, late.held) == ([], 2, 2)
    assert await store.erased_in_all(ANNS) == {"items": 2}


async def test_what_an_eraser_left_is_taken_up_when_its_lease_is_over(store, items):
    await kept(items, 2, subject_id=LINK)
    await store.close(ANNS)
    await take(store, lease_seconds=0)

    assert len((await take(store, owner="another")).ids) == 2


async def test_an_item_that_is_being_indexed_is_hidden_and_left_to_the_indexer(store, items, queue):
    [one] = await kept(items, subject_id=LINK)
    [task] = await queue.claim("indexer", "pending", most=10, most_bytes=1 << 20, lease_seconds=30)
    await store.close(ANNS)

    doomed = await take(store)
    gone = await queue.mark_indexed([Write(one, task.revision)], "model", owner="indexer")
    await items.finish_deletions(gone, owner="indexer")

    assert (doomed.ids, doomed.held) == ([], 1)
    assert gone == [one]
    assert await take(store) == type(doomed)([], 0)
    assert await store.erased_in_all(ANNS) == {"items": 1}


async def test_vectors_are_counted_where_there_were_any(store, items, queue):
    await kept(items, 3, subject_id=LINK)
    tasks = await queue.claim("indexer", "pending", most=2, most_bytes=1 << 20, lease_seconds=30)
    writes = [Write(task.knowledge_id, task.revision) for task in tasks]
    await queue.mark_indexed(writes, "model", owner="indexer")
    await store.close(ANNS)

    await erase_items(store, items)

    assert await store.erased_in_all(ANNS) == {"items": 3, "vectors": 2}


async def test_what_only_names_the_person_is_somebody_elses_and_loses_the_name(
    store, items, database
):
    # Ben's, said while he was merged with Ann.
    [bens] = await kept(items, subject_id=BEN, person_id=ANN)
    document = await a_document(database, BEN, person_id=ANN)
    await store.close(ANNS)

    await erase_items(store, items)
    assert (await store.count(ANNS))["items"] == 1
    assert not await store.unname(ANNS, most=10)

    item = await items.get(bens)
    assert (item.subject_id, item.person_id) == (BEN, None)
    assert not any((await store.count(ANNS)).values())
    assert await store.count([BEN]) == {
        "items": 1, "memories": 0, "memory_versions": 0, "documents": 1,
    }  # fmt: skip
    assert document


async def test_memories_go_with_all_of_their_versions(store, items, database):
    [found_by, bens_item] = await kept(items, 2, subject_id=ids.named("elsewhere"))
    await a_memory(database, ANN, found_by, versions=5)
    await a_memory(database, BEN, bens_item, versions=2)
    await store.close(ANNS)

    await erase_items(store, items)
    steps = 1
    while await store.erase_memories(ANNS, most=2):
        steps += 1

    assert steps == 3
    assert await store.erased_in_all(ANNS) == {"items": 1, "memories": 1, "memory_versions": 5}
    assert not any((await store.count(ANNS)).values())
    assert (await store.count([BEN]))["memory_versions"] == 2


async def take_documents(store: ErasureStore, owner: str = "eraser"):
    return await store.take_documents(ANNS, owner=owner, lease_seconds=30.0, most=100)


async def test_documents_are_hidden_then_forgotten_by_whoever_took_them(store, exports, database):
    mine = await a_document(database, LINK)
    await a_document(database, BEN)
    await a_document(database, None, person_id=ANN, state="running")
    await store.close(ANNS)

    are_more = [await store.hide_documents(ANNS, most=1) for _ in range(3)]
    doomed = await take_documents(store)
    visible = await exports.documents(ANNS, after=None, limit=10)
    await store.forget_documents([mine], owner="another")
    left = (await store.count(ANNS))["documents"]
    await store.forget_documents([one.document_id for one in doomed.documents], owner="eraser")

    assert are_more == [True, True, False]
    assert (len(doomed.documents), doomed.held, visible, left) == (2, 0, [], 2)
    assert (await store.count(ANNS))["documents"] == 0
    assert (await store.count([BEN]))["documents"] == 1
    assert await store.erased_in_all(ANNS) == {"documents": 2, "files": 2}
    assert await take_documents(store) == type(doomed)([], 0)


@pytest.mark.parametrize("owner", ["uploader", None])
async def test_an_upload_that_is_under_way_is_waited_for(store, database, admin, owner):
    document = await a_document(database, LINK, state="storing", lease_owner=owner)
    await admin.execute(f"UPDATE knowledge.documents SET next_attempt_at = {LEASED}")
    await store.close(ANNS)

    waiting = await take_documents(store)
    await admin.execute("UPDATE knowledge.documents SET next_attempt_at = now()")
    taken = await take_documents(store)

    assert (waiting.documents, waiting.held) == ([], 1)
    assert [one.document_id for one in taken.documents] == [document]
    # Nobody ever saw it.
    assert await store.erased_in_all(ANNS) == {}


async def test_writers_that_are_at_it_come_before_and_all_others_after(
    store, items, admin, database
):
    """A transaction that holds a subject open, with an eraser behind it."""
    async with administrator(database) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("SELECT knowledge.hold_subjects(ARRAY[$1::uuid])", LINK)
        closing = asyncio.create_task(store.close(ANNS))
        await blocked(admin)
        assert not closing.done()
        await transaction.commit()
    await closing

    [refused] = await items.store([an_entry(subject_id=LINK)])
    assert isinstance(refused, SubjectErased)


async def test_a_writer_that_never_ends_is_not_waited_for_forever(store, database):
    async with administrator(database) as writer, writer.transaction():
        await writer.execute("SELECT knowledge.hold_subjects(ARRAY[$1::uuid])", LINK)
        with pytest.raises(Unavailable):
            await store.close(ANNS)


async def test_no_write_slips_through_a_storm(store, items, admin):
    """Whatever is stored at all is stored before the subjects are closed, and found."""
    stop = asyncio.Event()
    outcomes: list[Stored | ServiceError] = []

    async def write() -> None:
        while not stop.is_set():
            entries = [an_entry(str(ids.new()), subject_id=LINK, person_id=ANN) for _ in range(5)]
            answers = await items.store([*entries, an_entry(str(ids.new()), subject_id=BEN)])
            outcomes.extend(answers[:5])
            if any(isinstance(one, SubjectErased) for one in answers):
                return

    writers = [asyncio.create_task(write()) for _ in range(12)]
    async with asyncio.timeout(20):
        while len(outcomes) < 200:
            await asyncio.sleep(0)
        await store.close(ANNS)
        await erase_items(store, items)
        first = (await store.count(ANNS))["items"]
        stop.set()
        await asyncio.gather(*writers)

    stored = sum(isinstance(one, Stored) for one in outcomes)
    assert (first, (await store.count(ANNS))["items"]) == (0, 0)
    assert await store.erased_in_all(ANNS) == {"items": stored}
    assert any(isinstance(one, SubjectErased) for one in outcomes)
    assert await admin.fetchval(
        "SELECT count(*) FROM knowledge.index_states s "
        "JOIN knowledge.knowledge_items USING (knowledge_id) WHERE subject_id = $1", LINK,
    ) == 0  # fmt: skip


async def test_an_export_has_what_stands_for_itself_in_pages_oldest_first(exports, items, admin):
    about = {"subject_id": LINK}
    stored = [
        (await kept(items, occurred_at=f"2026-03-{day:02}T00:00:00+00:00", **about))[0]
        for day in (3, 1, 2)
    ]
    stored += await kept(items, person_id=ANN, occurred_at="2026-03-04T00:00:00+00:00")
    [piece, hidden] = await kept(items, 2, **about)
    await kept(items, subject_id=BEN, person_id=ANN)
    await admin.execute(
        "UPDATE knowledge.knowledge_items SET document_id = gen_random_uuid() "
        "WHERE knowledge_id = $1", piece,
    )  # fmt: skip
    await items.start_deletions([hidden], [ids.new()], owner="x", lease_seconds=1)

    pages, after = [], None
    while page := await exports.items(ANNS, after=after, limit=2):
        pages.append([item.knowledge_id for item in page])
        after = page[-1]

    assert pages == [[stored[1], stored[2]], [stored[0], stored[3]]]


async def test_an_export_has_each_version_of_a_memory_and_visible_documents(
    exports, items, database
):
    [found_by, other] = await kept(items, 2, subject_id=ANN)
    memory = await a_memory(database, ANN, found_by, versions=3)
    await a_memory(database, BEN, other)
    document = await a_document(database, LINK)
    await a_document(database, LINK, state="deleting")
    await a_document(database, LINK, state="storing")

    versions, after = [], None
    while page := await exports.memories(ANNS, after=after, limit=2):
        versions += page
        after = page[-1]
    [only] = await exports.documents(ANNS, after=None, limit=10)

    assert [(one.memory_id, one.version, one.value) for one in versions] == [
        (memory, 1, "tea 1"), (memory, 2, "tea 2"), (memory, 3, "tea 3"),
    ]  # fmt: skip
    assert (only.document_id, only.filename) == (document, "notes.txt")
    assert await exports.documents(ANNS, after=only, limit=10) == []


async def blocked(admin: Any) -> None:
    """Return when a call waits for a lock."""
    async with asyncio.timeout(10):
        while not await admin.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"""
        ):
            await asyncio.sleep(0.005)
