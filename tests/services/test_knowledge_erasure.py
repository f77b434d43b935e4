"""Erasure of subjects through all three stores, counting what is left, and export."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from svckit import ids
from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.keeping import a_document, a_file, a_memory, content_of, key_of
from tests.support.knowledge import (
    GatedIndex,
    Stub,
    a_request,
    as_administrator,
    eventually,
    knowledge_service,
    refusal,
)

ANN, BEN, LINK = ids.named("ann"), ids.named("ben"), ids.named("ann's link")
ANNS = [ANN, LINK]
NOTHING = dict.fromkeys(
    ("items", "memories", "memory_versions", "documents", "files", "vectors"), 0
)


@pytest.fixture
async def stub(database: Database) -> AsyncIterator[Stub]:
    async with knowledge_service(database) as running:
        yield running


async def erase(stub: Stub, subject_ids: Sequence[str] = ANNS, **call: float) -> dict[str, int]:
    request = pb.EraseSubjectsRequest(subject_ids=subject_ids)
    return dict((await stub.EraseSubjects(request, **call)).erased_in_all)


async def count(stub: Stub, subject_ids: Sequence[str] = ANNS) -> dict[str, int]:
    request = pb.CountSubjectsRequest(subject_ids=subject_ids)
    return dict((await stub.CountSubjects(request)).remaining)


async def export(stub: Stub, subject_ids: Sequence[str] = ANNS) -> list[pb.ExportSubjectsResponse]:
    request = pb.ExportSubjectsRequest(subject_ids=subject_ids)
    return [part async for part in stub.ExportSubjects(request)]


async def is_indexed(stub: Stub, knowledge_id: str) -> bool:
    answer = await stub.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=knowledge_id))
    return bool(answer.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED)


async def furnished(database: Database, stub: Stub) -> str:
    """Three indexed items, a memory with two versions and a document about Ann, and as much
    about Ben; answers the id of one of Ann's.
    """
    mine: list[str] = []
    for link, person in ((LINK, ANN), (ids.named("ben's link"), BEN)):
        stored = []
        for number in range(3):
            request = a_request(f"{person} said thing {number}.", subject_id=link, person_id=person)
            stored.append((await stub.StoreKnowledge(request)).knowledge_id)
        for one in stored:
            await eventually(partial(is_indexed, stub, one))
        await a_memory(database, person, stored[0])
        await a_document(database, link)
        mine = mine or stored
    return mine[0]


KEPT = {
    "items": 3, "memories": 1, "memory_versions": 2, "documents": 1, "files": 1, "vectors": 3,
}  # fmt: skip


async def test_what_the_queue_does_not_know_goes_too(stub: Stub, database: Database):
    mine = await furnished(database, stub)
    async with as_administrator(database) as admin:
        await admin.execute("DELETE FROM knowledge.index_states WHERE knowledge_id = $1", mine)

    assert (await erase(stub, timeout=10))["items"] == 3

    assert await count(stub) == NOTHING


async def test_everything_goes_and_what_is_others_stays(stub: Stub, database: Database):
    mine = await furnished(database, stub)
    before = await count(stub)

    erased = await erase(stub)

    assert before == erased == KEPT
    assert await count(stub) == NOTHING
    bens = await count(stub, [BEN, ids.named("ben's link")])
    assert bens == KEPT
    code, reason, _ = await refusal(stub.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=mine)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "KNOWLEDGE_NOT_FOUND")


async def test_repeating_an_erasure_answers_the_same_and_writes_are_refused_ever_after(
    stub: Stub, database: Database
):
    mine = await furnished(database, stub)
    first = await erase(stub)

    assert await erase(stub) == first
    for about in ({"subject_id": LINK}, {"person_id": ANN}, {"subject_id": BEN, "person_id": ANN}):
        code, reason, _ = await refusal(stub.StoreKnowledge(a_request(**about)))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SUBJECT_ERASED")
    missing = await stub.FindMissing(pb.FindMissingRequest(knowledge_ids=[mine]))
    assert list(missing.missing_ids) == []


async def test_somebody_of_whom_nothing_is_kept_can_be_erased(stub: Stub):
    assert await erase(stub) == NOTHING
    assert (await refusal(stub.StoreKnowledge(a_request(person_id=ANN))))[1] == "SUBJECT_ERASED"


async def test_counting_looks_at_the_stores_and_not_at_marks(stub: Stub, database: Database):
    await furnished(database, stub)
    await erase(stub)

    # What a bug, or somebody with a console, may leave behind.
    async with as_administrator(database) as admin:
        [table] = await admin.fetchrow("SELECT 'knowledge.vectors_' || space FROM knowledge.spaces")
        await admin.execute(
            f"UPDATE {table} SET subject_id = $1 WHERE knowledge_id = "
            f"(SELECT min(knowledge_id::text)::uuid FROM {table})", LINK,
        )  # fmt: skip
    await a_file(database, key_of(LINK, ids.new()))

    assert await count(stub) == {**NOTHING, "vectors": 1, "files": 1}
    await erase(stub)
    assert await count(stub) == NOTHING


async def test_files_that_a_crash_left_half_written_go_too(stub: Stub, database: Database):
    key = key_of(LINK, ids.new())
    unfinished = key.replace("notes.txt", ".unfinished-x")
    await a_file(database, unfinished)

    await erase(stub)

    assert await content_of(database, unfinished) is None


async def test_what_is_being_indexed_leaves_no_vector(database: Database):
    gate: list[GatedIndex] = []

    def gated(index):
        gate.append(GatedIndex(index))
        return gate[0]

    async with knowledge_service(database, index=gated) as stub:
        await stub.StoreKnowledge(a_request(subject_id=LINK))
        await gate[0].upserted.wait()
        erasing = asyncio.create_task(erase(stub))
        # Hidden already, while the indexer has not marked it yet.
        await eventually(partial(is_hidden, stub))
        gate[0].may_return.set()
        erased = await erasing

        assert erased["items"] == 1
        assert await count(stub) == NOTHING


async def is_hidden(stub: Stub) -> bool:
    request = pb.ListKnowledgeRequest(filter=knowledge_pb2.KnowledgeFilter(subject_ids=ANNS))
    return not (await stub.ListKnowledge(request)).items


async def test_a_call_that_runs_out_of_time_leaves_the_rest_to_the_next(database: Database):
    gate: list[GatedIndex] = []

    def gated(index):
        gate.append(GatedIndex(index))
        return gate[0]

    async with knowledge_service(database, index=gated) as stub:
        await stub.StoreKnowledge(a_request(subject_id=LINK))
        await gate[0].upserted.wait()
        code, _, _ = await refusal(stub.EraseSubjects(
            pb.EraseSubjectsRequest(subject_ids=ANNS), timeout=0.3
        ))  # fmt: skip
        gate[0].may_return.set()

        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await erase(stub))["items"] == 1
        assert await count(stub) == NOTHING


async def test_calls_that_race_share_the_work(stub: Stub, database: Database):
    await furnished(database, stub)

    outcomes = await asyncio.gather(*(erase(stub) for _ in range(4)))

    assert max(outcomes, key=lambda one: one["items"]) == KEPT
    assert await erase(stub) == KEPT
    assert await count(stub) == NOTHING


async def test_an_export_has_items_memories_and_documents_with_their_files(
    stub: Stub, database: Database
):
    content = bytes(range(256)) * 3000
    await stub.StoreKnowledge(
        a_request("It rains.", subject_id=LINK, person_id=ANN, metadata={"n": 1})
    )
    memory = await a_memory(database, ANN, ids.new())
    document = await a_document(database, LINK, content=content)
    lost = await a_document(database, ANN, with_file=False)
    await stub.StoreKnowledge(a_request("Not hers.", subject_id=BEN))

    parts = await export(stub)

    kinds = [part.WhichOneof("part") for part in parts]
    assert [kind for kind in kinds if kind != "file_data"] == [
        "item", "memory", "memory", "document", "document",
    ]  # fmt: skip
    assert (parts[0].item.content, parts[0].item.subject_id) == ("It rains.", LINK)
    assert [(part.memory.memory_id, part.memory.version) for part in parts[1:3]] == [
        (memory, 1), (memory, 2),
    ]  # fmt: skip
    assert {part.document.document_id for part in parts if part.HasField("document")} == {
        document, lost,
    }  # fmt: skip
    blocks = [part.file_data for part in parts if part.WhichOneof("part") == "file_data"]
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) <= 256 << 10
    place = next(n for n, part in enumerate(parts) if part.document.document_id == document)
    assert kinds[place + 1 : place + 4] == ["file_data"] * 3


async def test_an_export_pages_through_more_than_fits_one_page(stub: Stub):
    for part in range(0, 450, 150):
        await stub.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=[
            a_request(f"Thing {part + n}.", subject_id=LINK) for n in range(150)
        ]))  # fmt: skip

    parts = await export(stub)

    assert {part.item.content for part in parts} == {f"Thing {n}." for n in range(450)}
    assert len(parts) == 450


@pytest.mark.parametrize("method", ["EraseSubjects", "CountSubjects", "ExportSubjects"])
@pytest.mark.parametrize(
    ("subject_ids", "field"),
    [
        ([], "subject_ids"),
        ([ANN] * 1001, "subject_ids"),
        ([ANN, "x"], "subject_ids[1]"),
        ([ANN, str(uuid.UUID(int=0))], "subject_ids[1]"),
    ],
)
async def test_bad_subjects_are_refused_by_name(stub: Stub, method, subject_ids, field):
    request = getattr(pb, f"{method}Request")(subject_ids=subject_ids)
    call = getattr(stub, method)(request)

    asked = anext(aiter(call)) if method == "ExportSubjects" else call
    code, reason, bad = await refusal(asked)

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert bad == [field]


async def erased_at_last(stub: Stub) -> Any:
    """What a call answers that is repeated while it runs out of its time: files that somebody who
    died was removing are held for 30 seconds.
    """
    for _ in range(3):
        try:
            return await erase(stub)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    return await erase(stub)


@pytest.mark.kills
@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.start_erasure", "after"),
        ("sql.erase_items", "after"),
        ("index.delete", "after"),
        ("sql.finish_deletions", "after"),
        ("sql.erase_memories", "after"),
        ("sql.erase_documents", "after"),
        ("blobs.delete", "after"),
        ("sql.forget_documents", "after"),
        ("index.delete_where", "before"),
        ("sql.erased_in_all", "before"),
    ],
)
async def test_killed_at_any_step_the_next_call_finishes_it(database: Database, at, when):
    async with knowledge_service(database) as stub:
        await furnished(database, stub)
    async with dying_service(database, at=at, when=when) as mortal:
        with pytest.raises(grpc.aio.AioRpcError):
            await erase(Stub(mortal.channel), wait_for_ready=True)
        await mortal.gone()

    async with knowledge_service(database) as stub:
        assert await erased_at_last(stub) == KEPT
        assert await count(stub) == NOTHING
        assert await count(stub, [BEN, ids.named("ben's link")]) == KEPT
