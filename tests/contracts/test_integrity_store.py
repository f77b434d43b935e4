"""What every store of integrity does, over each transport."""

import pytest

from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_integrity import SqlIntegrityStore
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.blobs import Blob
from knowledge_svc.domain.integrity import Finding, Kind
from knowledge_svc.domain.items import Failure, Space, Stored, Vector, Write
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.knowledge import an_entry
from tests.support.spaces import claim

SPACE = Space("test", "model-1", 3, "whole-1")
KEY = f"handbooks/nobody/{ids.named('document')}/text.txt"


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> SqlIntegrityStore:
    return SqlIntegrityStore(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> SqlItemStore:
    return SqlItemStore(functions)


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> SqlIndexQueue:
    return SqlIndexQueue(functions)


async def stored(items: SqlItemStore, *contents: str, namespace: str = "default") -> list[Write]:
    answers = await items.store([an_entry(one, namespace=namespace) for one in contents])
    writes = []
    for answer in answers:
        assert isinstance(answer, Stored) and answer.revision is not None
        writes.append(Write(answer.knowledge_id, answer.revision))
    return writes


async def a_document(database: Database, state: str, key: str = KEY) -> Finding:
    """A document, as a finding about it."""
    document_id = ids.new()
    async with administrator(database) as admin:
        revision = await admin.fetchval(
            """INSERT INTO knowledge.documents (document_id, revision, occurred_at, owner, size,
                   version, is_latest, state, namespace, document_key, filename, media_type,
                   blob_key, sha256, metadata, changed_at, next_attempt_at)
               VALUES ($1, nextval('knowledge.revisions'), now(), $1, 7, 1, true, $2, 'handbooks',
                   '', 'text.txt', 'text/plain', $3, sha256('x'), '{}', now() - interval '1 hour',
                   now() + interval '1 day') RETURNING revision""",
            document_id, state, key,
        )  # fmt: skip
    return Finding(
        Kind.STUCK_PENDING, "found", document_id=document_id, revision=revision, state=state
    )


async def all_items(store: SqlIntegrityStore, limit: int, namespaces: list[str] | None = None):
    found, after, pages = [], None, 0
    while True:
        page = await store.items(after=after, limit=limit, namespaces=namespaces)
        found += page.items
        after, pages = page.after, pages + 1
        if after is None:
            return found, pages


async def test_items_are_read_in_pages_by_id_and_by_shelf(store, items):
    writes = await stored(items, *(f"n {n}" for n in range(7)))
    [other] = await stored(items, "elsewhere", namespace="profiles")

    everything, pages = await all_items(store, 3)
    shelf, _ = await all_items(store, 3, ["profiles"])

    assert [look.write for look in everything] == sorted(
        [*writes, other], key=lambda write: write.knowledge_id
    )
    assert pages == 3
    assert [look.write for look in shelf] == [other]
    look = shelf[0]
    assert (look.state, look.model, look.is_held, look.is_deleting) == (
        "pending",
        None,
        False,
        False,
    )
    assert 0 <= look.waited_seconds < 60
    assert look.content_hash == an_entry("elsewhere").item.content_hash.hex()


async def test_a_stranger_is_in_no_row_and_may_have_been_deleted(store, items):
    [here, going, gone] = await stored(items, "here", "going", "gone")
    unknown = ids.new()
    requests = [ids.new(), ids.new()]
    await items.start_deletions(
        [going.knowledge_id, gone.knowledge_id], requests, owner="me", lease_seconds=30
    )
    await items.finish_deletions([gone.knowledge_id], owner="me")

    strangers = await store.strangers(
        [here.knowledge_id, going.knowledge_id, gone.knowledge_id, unknown]
    )

    assert {one.knowledge_id: one.is_deleted for one in strangers} == {
        gone.knowledge_id: True, unknown: False,
    }  # fmt: skip
    again = await store.items_again([going.knowledge_id, unknown])
    assert [look.is_deleting for look in again.values()] == [True]


async def test_an_item_is_queued_only_as_the_write_that_was_looked_at(store, items, queue):
    [one, two] = await stored(items, "one", "two")
    await claim(queue, "me")
    await queue.mark_indexed([one, two], "model-1", owner="me")
    later = Write(two.knowledge_id, two.revision - 1)

    assert await store.requeue([one, later, Write(ids.new(), 1)]) == [True, False, False]
    assert await store.requeue([one]) == [True]
    assert await queue.pending([one, two]) == [one]


async def test_what_an_indexer_is_at_is_not_disturbed(store, items, queue):
    [one] = await stored(items, "one")
    await claim(queue, "me")

    assert await store.requeue([one]) == [True]

    assert await claim(queue, "other") == []
    assert (await store.items_again([one.knowledge_id]))[one.knowledge_id].is_held


async def test_what_was_given_up_is_no_dead_letter_once_it_is_queued_again(
    store, items, queue, database
):
    for settle in (False, True):
        [one] = await stored(items, f"ill {settle}")
        [task] = await claim(queue, "me")
        await queue.put_off([Failure(task, 5, 0.0, True, "ill")], owner="me")

        await (store.settle("s", [one.knowledge_id]) if settle else store.requeue([one]))

        async with administrator(database) as admin:
            row = await admin.fetchrow(
                "SELECT state, failed_at FROM knowledge.index_states WHERE knowledge_id = $1",
                one.knowledge_id,
            )
        assert (row["state"], row["failed_at"]) == ("pending", None)
        await claim(queue, "me")


async def test_a_deletion_is_taken_up_again_unless_somebody_is_at_it(store, items, queue, database):
    [one, two] = await stored(items, "one", "two")
    both = [one.knowledge_id, two.knowledge_id]
    await items.start_deletions(both, [ids.new(), ids.new()], owner="me", lease_seconds=30)
    async with administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.index_states SET next_attempt_at = now() + interval '1 day' "
            "WHERE knowledge_id = $1", one.knowledge_id
        )  # fmt: skip

    assert await store.resume_deletions([*both, ids.new()]) == [True, True, False]

    assert await claim(queue, "other") == []
    tasks = await claim(queue, "other", "deleting")
    assert [(task.knowledge_id, task.is_deletion) for task in tasks] == [(one.knowledge_id, True)]


@pytest.mark.parametrize(
    ("state", "becomes", "waits"),
    [
        ("storing", "storing", True), ("pending", "pending", True), ("running", "pending", True),
        ("succeeded", "pending", True), ("deleting", "deleting", True), ("failed", "failed", False),
    ],
)  # fmt: skip
async def test_a_document_is_due_again(store, database, state: str, becomes: str, waits: bool):
    finding = await a_document(database, state)
    stale = Finding(
        Kind.STUCK_PENDING, "", document_id=finding.document_id,
        revision=finding.revision - 1, state=state,
    )  # fmt: skip

    assert await store.requeue_documents([stale]) == [False]
    assert await store.requeue_documents([finding]) == [waits]
    assert await store.requeue_documents([finding]) == [waits]

    async with administrator(database) as admin:
        row = await admin.fetchrow(
            "SELECT state, next_attempt_at <= now() FROM knowledge.documents"
        )
    assert (row[0], row[1]) == (becomes, waits)


async def test_a_lost_original_is_marked_unless_the_document_has_changed(store, database):
    finding = await a_document(database, "succeeded")
    going = await a_document(database, "deleting", "handbooks/nobody/x/other.txt")

    assert await store.mark_lost([finding, going]) == [True, False]
    assert await store.mark_lost([finding]) == [True]

    look = (await store.documents_again([finding.document_id]))[finding.document_id]
    assert (look.state, look.failure_reason, look.has_file) == ("failed", "FILE_LOST", False)
    page = await store.documents(after=None, limit=10, namespaces=["handbooks"])
    assert {one.document_id for one in page.documents} == {finding.document_id, going.document_id}


async def test_only_deleted_ids_and_old_suspects_are_condemned(store, items, database):
    [here, gone] = await stored(items, "here", "gone")
    await items.start_deletions([gone.knowledge_id], [ids.new()], owner="me", lease_seconds=30)
    await items.finish_deletions([gone.knowledge_id], owner="me")
    unknown = ids.new()
    all_ids = [here.knowledge_id, gone.knowledge_id, unknown]

    known = await store.note_suspects("s", [gone.knowledge_id, unknown])
    assert known.keys() == {gone.knowledge_id, unknown}
    assert await store.condemn("s", all_ids, grace_seconds=60) == [gone.knowledge_id]
    async with administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.suspects SET first_seen = now() - interval '2 minutes'"
        )
    assert {*await store.condemn("s", all_ids, grace_seconds=60)} == {gone.knowledge_id, unknown}
    assert await store.settle("s", all_ids) == 1
    assert await store.known_suspects("s", all_ids) == {}


async def test_an_item_that_came_while_its_vector_was_removed_is_a_new_write(store, items, queue):
    [one] = await stored(items, "one")
    await claim(queue, "me")

    assert await store.settle("s", [one.knowledge_id, ids.new()]) == 1

    # Whoever is at the old write finds, when marking, that there is a later one.
    await queue.mark_indexed([one], "model-1", owner="me")
    [task] = await claim(queue, "other")
    assert task.revision > one.revision


async def test_suspects_that_were_not_met_again_are_forgotten(store, database):
    await store.note_suspects("s", [ids.new()])
    await store.forget_suspects("s", unseen_seconds=60)
    async with administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM knowledge.suspects") == 1
        await admin.execute(
            "UPDATE knowledge.suspects SET last_seen = now() - interval '2 minutes'"
        )
        await store.forget_suspects("s", unseen_seconds=60)
        assert await admin.fetchval("SELECT count(*) FROM knowledge.suspects") == 0


async def test_a_file_is_adopted_once_and_by_nobody_where_a_document_has_it(store, database):
    await a_document(database, "succeeded")
    stranger = f"handbooks/nobody/{ids.new()}/a.txt"
    files = [Blob(KEY, 7, ""), Blob(stranger, 7, ""), Blob("no/document.txt", 1, "")]

    assert await store.strange_files([file.key for file in files]) == [stranger, "no/document.txt"]
    adopted = await store.adopt_files(files, owner="one", lease_seconds=60)
    assert {*adopted} == {stranger, "no/document.txt"}
    assert await store.adopt_files(files, owner="other", lease_seconds=60) == []
    assert await store.strange_files([stranger]) == []
    await store.forget_files(adopted, owner="other")
    assert {*await store.adopt_files([], owner="one", lease_seconds=60)} == {*adopted}
    await store.forget_files(adopted, owner="one")
    assert await store.adopt_files([], owner="one", lease_seconds=60) == []


async def test_what_a_dead_repair_has_adopted_is_the_next_ones(store):
    file = Blob("no/document.txt", 1, "")
    await store.adopt_files([file], owner="dead", lease_seconds=0)

    assert await store.adopt_files([], owner="next", lease_seconds=60) == [file.key]


async def test_all_rows_of_a_thing_are_read_at_once(store, items, queue, database):
    await queue.ensure_space(SPACE)
    [one] = await stored(items, "one")
    finding = await a_document(database, "succeeded")

    rows = await store.rows(one.knowledge_id)
    assert rows.item and rows.item.content == "one"
    assert rows.look and rows.look.write == one
    assert rows.queue and rows.queue["state"] == "pending"
    assert (rows.spaces, rows.document, rows.deleted_at) == ([(SPACE, True)], None, None)
    document = await store.rows(finding.document_id)
    assert document.document and document.document.blob_key == KEY
    assert document.item is None
    nothing = await store.rows(ids.new())
    assert (nothing.item, nothing.document, nothing.deleted_at) == (None, None, None)
    assert await store.pieces(finding.document_id, after=None, limit=5) == []
    assert min(await store.totals()) >= 0


async def test_a_vector_is_discarded_only_while_no_row_has_its_id(functions, items):
    index = PgvectorIndex(functions)
    await index.prepare(SPACE)
    [here] = await stored(items, "here")
    both = [here.knowledge_id, ids.new()]
    time = "2026-01-01T00:00:00+00:00"
    await index.upsert(SPACE.name, [Vector(one, (1, 0, 0), "default", time) for one in both])

    await index.discard(SPACE.name, [*both, ids.new()])

    assert (await index.ids(SPACE.name, after=None, limit=10)).ids == [here.knowledge_id]
