"""KnowledgeService's stores, reads, lists and deletions over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf import timestamp_pb2

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from svckit import ids, rpc, structs
from tests.support.cluster import Database
from tests.support.knowledge import (
    Stub,
    a_request,
    as_administrator,
    knowledge_service,
    refusal,
)

CREATED, DUPLICATE, DELETED = (
    pb.STORE_OUTCOME_CREATED,
    pb.STORE_OUTCOME_DUPLICATE,
    pb.STORE_OUTCOME_DELETED,
)

# Fails for one content, as data that the store refuses would.
POISON = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.content = 'poison' THEN RAISE EXCEPTION USING ERRCODE = '22000'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON knowledge.knowledge_items
    FOR EACH ROW EXECUTE FUNCTION public.refuse()"""


@pytest.fixture
async def knowledge(database: Database) -> AsyncIterator[Stub]:
    """A running service, without an item."""
    async with knowledge_service(database) as stub:
        yield stub


async def get(knowledge: Stub, knowledge_id: str) -> knowledge_pb2.Knowledge:
    request = pb.GetKnowledgeRequest(knowledge_id=knowledge_id)
    return (await knowledge.GetKnowledge(request)).item


async def batch(knowledge: Stub, *requests: pb.StoreKnowledgeRequest) -> list[Any]:
    answer = await knowledge.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=requests))
    return [getattr(result, result.WhichOneof("outcome")) for result in answer.results]


async def delete(knowledge: Stub, knowledge_id: str) -> bool:
    request = pb.DeleteKnowledgeRequest(knowledge_id=knowledge_id)
    return (await knowledge.DeleteKnowledge(request)).deleted


async def missing(knowledge: Stub, *knowledge_ids: str) -> list[str]:
    request = pb.FindMissingRequest(knowledge_ids=knowledge_ids)
    return list((await knowledge.FindMissing(request)).missing_ids)


async def listed(knowledge: Stub, **changes: Any) -> pb.ListKnowledgeResponse:
    return await knowledge.ListKnowledge(pb.ListKnowledgeRequest(**changes))


async def test_an_item_comes_back_as_it_was_stored(knowledge):
    metadata = {"n": 1, "f": 0.5, "list": [None, True, {"x": "ü"}], "": {}}
    request = a_request(
        "Ça va? 👩‍👩‍👧\n\tשלום",
        metadata=metadata,
        knowledge_id=ids.new().upper(),
        namespace="notes",
        subject_id=ids.new(),
        person_id=ids.new(),
        group_id=ids.new(),
        session_id=ids.new(),
        platform="discord",
        source_event_id=ids.new(),
        source_position=42,
        occurred_at=timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=123_456_000),
    )

    response = await knowledge.StoreKnowledge(request)
    item = await get(knowledge, response.knowledge_id)

    assert response.outcome == CREATED
    assert response.knowledge_id == request.item.knowledge_id.lower()
    for name in request.item.DESCRIPTOR.fields_by_name:
        if name not in {"knowledge_id", "request_hash", "metadata"}:
            assert getattr(item, name) == getattr(request.item, name), name
    assert structs.to_dict(item.metadata) == metadata
    assert item.created_at.seconds > 1_700_000_000


async def test_what_is_left_out_gets_a_default(knowledge):
    response = await knowledge.StoreKnowledge(a_request("bare"))

    item = await get(knowledge, response.knowledge_id)

    assert ids.is_uuid(item.knowledge_id)
    assert item.namespace == "default"
    assert item.occurred_at == item.created_at
    assert (item.subject_id, item.platform, item.source_event_id) == ("", "", "")
    assert not item.metadata.fields


@pytest.mark.parametrize(
    "content",
    ["❤️👍🏽", "שלום עולם", "今天去公园", "x" * 5000, "ü" * (16 << 10), " ", "\n", "\u202eabc"],
)
async def test_content_is_kept_verbatim(knowledge, content):
    response = await knowledge.StoreKnowledge(a_request(content))

    assert (await get(knowledge, response.knowledge_id)).content == content


async def test_a_retry_answers_what_the_first_call_did(knowledge):
    request = a_request(knowledge_id=ids.new(), metadata={"a": 1, "b": {"c": [2]}})

    first = await knowledge.StoreKnowledge(request)
    retry = await knowledge.StoreKnowledge(request)

    assert (first.outcome, retry.outcome) == (CREATED, DUPLICATE)
    assert retry.index_token == first.index_token != ""


@pytest.mark.parametrize(
    "change",
    [
        {"content": "another"},
        {"metadata": {"a": 2}},
        {"namespace": "notes"},
        {"subject_id": ids.new()},
        {"source_event_id": ids.new()},
        {"occurred_at": timestamp_pb2.Timestamp(seconds=1)},
    ],
)
async def test_the_same_id_with_another_body_is_refused(knowledge, change):
    body = {"content": "one", "knowledge_id": ids.new(), "metadata": {"a": 1}}
    await knowledge.StoreKnowledge(a_request(**body))

    refused = await refusal(knowledge.StoreKnowledge(a_request(**body | change)))

    assert refused == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT", [])


async def test_what_a_server_added_does_not_make_another_body(knowledge):
    body = {"knowledge_id": ids.new(), "request_hash": b"\x01" * 32}
    await knowledge.StoreKnowledge(a_request("said", **body))

    retry = await knowledge.StoreKnowledge(
        a_request("said", **body, person_id=ids.new(), metadata={"added": True})
    )

    assert retry.outcome == DUPLICATE


async def test_the_same_content_of_the_same_owner_is_stored_once(knowledge):
    ann = ids.new()
    first = await knowledge.StoreKnowledge(a_request("tea", subject_id=ann))

    same = await knowledge.StoreKnowledge(a_request("tea", subject_id=ann))
    others = [
        await knowledge.StoreKnowledge(a_request("tea", **change))
        for change in (
            {"subject_id": ids.new()},
            {"subject_id": ann, "namespace": "notes"},
            {"subject_id": ann, "source_event_id": ids.new()},
            {},
        )
    ]

    assert (same.outcome, same.knowledge_id) == (DUPLICATE, first.knowledge_id)
    assert same.index_token == first.index_token
    assert [other.outcome for other in others] == [CREATED] * 4


async def test_a_batch_answers_each_request_for_itself_and_in_order(knowledge):
    known = a_request("known", knowledge_id=ids.new())
    await knowledge.StoreKnowledge(known)

    answers = await batch(
        knowledge,
        a_request("one"),
        a_request(""),
        known,
        a_request("other", knowledge_id=known.item.knowledge_id),
        pb.StoreKnowledgeRequest(),
        a_request("two", subject_id="not a uuid"),
        a_request("three"),
    )

    assert [getattr(answer, "outcome", answer.__class__.__name__) for answer in answers] == [
        CREATED, "Status", DUPLICATE, "Status", "Status", "Status", CREATED
    ]  # fmt: skip
    codes = [rpc.STATUS_CODES[answer.code].name for answer in answers if hasattr(answer, "code")]
    assert codes == ["INVALID_ARGUMENT", "ABORTED", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert answers[5].message.startswith("item.subject_id: ")


async def test_concurrent_stores_of_one_id_create_it_once(knowledge):
    request = a_request(knowledge_id=ids.new())

    answers = await asyncio.gather(*(knowledge.StoreKnowledge(request) for _ in range(50)))

    assert sorted(answer.outcome for answer in answers) == [CREATED] + [DUPLICATE] * 49
    assert len({answer.index_token for answer in answers}) == 1


async def test_a_poisoned_request_fails_alone(knowledge, database):
    async with as_administrator(database) as admin:
        await admin.execute(POISON)
    contents = [*(f"a {n}" for n in range(30)), "poison", *(f"b {n}" for n in range(30))]

    together = await batch(knowledge, *map(a_request, contents))
    at_once = await asyncio.gather(
        *(knowledge.StoreKnowledge(a_request(content, namespace="other")) for content in contents),
        return_exceptions=True,
    )

    failed = [n for n, answer in enumerate(together) if not hasattr(answer, "outcome")]
    failed_at_once = [n for n, answer in enumerate(at_once) if isinstance(answer, Exception)]
    assert failed == failed_at_once == [30]


async def test_an_item_that_is_not_there_is_not_found(knowledge):
    refused = await refusal(get(knowledge, ids.new()))

    assert refused == (grpc.StatusCode.NOT_FOUND, "KNOWLEDGE_NOT_FOUND", [])


async def test_a_deleted_item_is_gone_for_good(knowledge, database):
    request = a_request(knowledge_id=ids.new(), subject_id=ids.new())
    knowledge_id = (await knowledge.StoreKnowledge(request)).knowledge_id

    first, second = await delete(knowledge, knowledge_id), await delete(knowledge, knowledge_id)
    again = await knowledge.StoreKnowledge(request)
    same_content = await knowledge.StoreKnowledge(a_request(subject_id=request.item.subject_id))

    assert (first, second) == (True, False)
    assert (again.outcome, again.index_token) == (DELETED, "")
    assert (await refusal(get(knowledge, knowledge_id)))[1] == "KNOWLEDGE_NOT_FOUND"
    assert same_content.outcome == CREATED


async def test_concurrent_deletions_delete_once(knowledge):
    knowledge_id = (await knowledge.StoreKnowledge(a_request())).knowledge_id

    answers = await asyncio.gather(*(delete(knowledge, knowledge_id) for _ in range(20)))

    assert sorted(answers) == [False] * 19 + [True]


async def test_deleting_what_was_never_there_is_fine_and_leaves_the_id_free(knowledge):
    knowledge_id = ids.new()

    assert not await delete(knowledge, knowledge_id)
    assert await missing(knowledge, knowledge_id) == [knowledge_id]
    stored = await knowledge.StoreKnowledge(a_request(knowledge_id=knowledge_id))
    assert stored.outcome == CREATED


async def test_missing_are_those_neither_stored_nor_deleted_in_the_order_asked_for(knowledge):
    kept = (await knowledge.StoreKnowledge(a_request("kept"))).knowledge_id
    gone = (await knowledge.StoreKnowledge(a_request("gone"))).knowledge_id
    await delete(knowledge, gone)
    unknown = [ids.new() for _ in range(3)]

    assert await missing(knowledge, unknown[1], kept, unknown[0], gone, unknown[2]) == [
        unknown[1], unknown[0], unknown[2]
    ]  # fmt: skip


async def test_lists_are_newest_first_and_paged(knowledge):
    times = [5, 3, 9, 3, 3, 7, 1]
    await batch(
        knowledge,
        *(
            a_request(f"{n}", occurred_at=timestamp_pb2.Timestamp(seconds=second))
            for n, second in enumerate(times)
        ),
    )

    seen, token = [], ""
    while True:
        page = await listed(knowledge, page_size=2, page_token=token)
        seen += page.items
        if not (token := page.next_page_token):
            break

    assert [item.occurred_at.seconds for item in seen] == sorted(times, reverse=True)
    assert len({item.knowledge_id for item in seen}) == len(times)
    assert len((await listed(knowledge)).items) == len(times)


async def test_a_page_of_large_items_is_one_that_any_client_can_take(knowledge):
    numbers = [0] * 8000
    requests = [
        a_request(f"{n} ".ljust(32 << 10, "."), metadata={"numbers": numbers}) for n in range(40)
    ]
    for start in range(0, len(requests), 10):
        await batch(knowledge, *requests[start : start + 10])

    seen, token = [], ""
    while True:
        page = await listed(knowledge, page_size=500, page_token=token)
        seen += page.items
        if not (token := page.next_page_token):
            break

    assert len({item.knowledge_id for item in seen}) == len(seen) == len(requests)


async def test_a_page_token_belongs_to_its_query_and_a_scope_stands_for_the_subjects(knowledge):
    ann, link = ids.new(), ids.new()
    await batch(knowledge, *(a_request(f"{n}", subject_id=ann) for n in range(3)))
    of_ann = knowledge_pb2.KnowledgeFilter(subject_ids=[ann])
    of_both = knowledge_pb2.KnowledgeFilter(subject_ids=[ann, link])
    bare = (await listed(knowledge, filter=of_ann, page_size=2)).next_page_token
    scoped = await listed(knowledge, filter=of_ann, page_size=2, page_scope="person ann")

    foreign = await refusal(listed(knowledge, filter=of_both, page_size=2, page_token=bare))
    other_scope = await refusal(
        listed(knowledge, filter=of_both, page_token=scoped.next_page_token, page_scope="ben")
    )
    rest = await listed(
        knowledge, filter=of_both, page_token=scoped.next_page_token, page_scope="person ann"
    )

    assert foreign == other_scope == (
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", ["page_token"]
    )  # fmt: skip
    assert len(rest.items) == 1


async def test_the_services_role_can_call_its_functions_and_nothing_else(knowledge, database):
    await knowledge.StoreKnowledge(a_request())
    connection = await asyncpg.connect(database.url("kith_knowledge"))
    try:
        for statement in (
            "SELECT count(*) FROM knowledge.knowledge_items",
            "SELECT identity.schema_version()",
            "SELECT event.schema_version()",
            "CREATE TABLE knowledge.mine (id int)",
            "SELECT * FROM knowledge.find_in_many(NULL, NULL, 1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(statement)
    finally:
        await connection.close()


async def test_a_deletion_that_bars_keeps_an_id_from_ever_being_used(knowledge: Stub):
    early, late = (
        a_request("early", knowledge_id=ids.new()),
        a_request("late", knowledge_id=ids.new()),
    )
    await knowledge.StoreKnowledge(early)

    for request, deleted in ((early, True), (early, False), (late, False)):
        answer = await knowledge.DeleteKnowledge(
            pb.DeleteKnowledgeRequest(knowledge_id=request.item.knowledge_id, bar=True)
        )
        assert answer.deleted is deleted
        assert (await knowledge.StoreKnowledge(request)).outcome == DELETED


async def test_metadata_may_be_replaced_up_to_what_composers_add(knowledge: Stub):
    full = {"client": "x" * (16 << 10), "theirs": "y" * 900}
    stored = await knowledge.StoreKnowledge(a_request("x", metadata=full))
    patch = {**dict.fromkeys(full), **{f"{n:04}": "x" * 6 for n in range(1000)}}
    request = pb.UpdateKnowledgeRequest(knowledge_id=stored.knowledge_id)
    request.metadata_patch.CopyFrom(structs.from_dict(patch))

    assert len((await knowledge.UpdateKnowledge(request)).item.metadata.fields) == 1000


async def test_small_numbers_count_as_clients_write_them(knowledge: Stub):
    stored = await knowledge.StoreKnowledge(a_request("x", metadata={"list": [1e-300] * 200}))
    request = pb.UpdateKnowledgeRequest(knowledge_id=stored.knowledge_id)
    request.metadata_patch.CopyFrom(structs.from_dict({"seen": True}))

    assert (await knowledge.UpdateKnowledge(request)).item.metadata.fields.keys() == {
        "list",
        "seen",
    }
