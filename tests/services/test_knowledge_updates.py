"""UpdateKnowledge over a real channel, and the vectors that follow."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.domain.items import Vector, space_of
from knowledge_svc.ports.items import Purpose
from knowledge_svc.terms import terms_of
from svckit import ids, structs
from tests.support.cluster import Database
from tests.support.knowledge import (
    GatedIndex,
    Stub,
    a_request,
    as_administrator,
    eventually,
    knowledge_service,
    refusal,
    wordllama,
)

SPACE = space_of(wordllama().model, wordllama().dimension).name


@pytest.fixture
async def knowledge(database: Database) -> AsyncIterator[Stub]:
    """A running service, without an item."""
    async with knowledge_service(database) as stub:
        yield stub


async def update(
    knowledge: Stub, knowledge_id: str, patch: dict[str, Any] | None = None, **changes: Any
) -> pb.UpdateKnowledgeResponse:
    request = pb.UpdateKnowledgeRequest(knowledge_id=knowledge_id, **changes)
    if patch is not None:
        request.metadata_patch.CopyFrom(structs.from_dict(patch))
        request.metadata_patch.SetInParent()
    return await knowledge.UpdateKnowledge(request)


async def store(knowledge: Stub, content: str, **changes: Any) -> str:
    return (await knowledge.StoreKnowledge(a_request(content, **changes))).knowledge_id


async def search(knowledge: Stub, query: str, **given: Any) -> list[str]:
    answer = await knowledge.SearchKnowledge(pb.SearchKnowledgeRequest(query=query, **given))
    return [hit.item.content for hit in answer.hits]


async def is_indexed(knowledge: Stub, knowledge_id: str) -> bool:
    answer = await knowledge.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=knowledge_id))
    return bool(answer.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED)


async def test_a_change_keeps_the_id_and_search_finds_the_new_content(knowledge):
    item = await store(knowledge, "A heron stands at the lake.", metadata={"seen": 1, "by": "Ann"})

    response = await update(
        knowledge, item, {"seen": 2, "by": None}, content="A lorry blocks the motorway."
    )

    assert response.item.knowledge_id == item
    assert structs.to_dict(response.item.metadata) == {"seen": 2}
    assert response.item.updated_at.seconds >= response.item.created_at.seconds
    for mode in (pb.SEARCH_MODE_KEYWORD, pb.SEARCH_MODE_HYBRID, pb.SEARCH_MODE_SEMANTIC):
        found = await search(
            knowledge, "lorry motorway", mode=mode, at_least=[response.index_token]
        )
        assert found == ["A lorry blocks the motorway."]
    assert await search(knowledge, "heron", mode=pb.SEARCH_MODE_KEYWORD) == []


async def test_a_retry_answers_the_same_token_even_with_the_etag_of_before(knowledge):
    item = await store(knowledge, "before")
    before = (await knowledge.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=item))).item

    first = await update(knowledge, item, content="after", etag=before.etag)
    retry = await update(knowledge, item, content="after", etag=before.etag)
    refused = await refusal(update(knowledge, item, content="other", etag=before.etag))

    assert retry.index_token == first.index_token
    assert first.item.etag != before.etag
    assert refused == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH", [])


async def test_an_empty_patch_changes_nothing(knowledge):
    item = await store(knowledge, "as it was", metadata={"a": 1})
    before = (await knowledge.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=item))).item

    assert (await update(knowledge, item, {})).item.etag == before.etag


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"knowledge_id": "x", "content": "a"}, "knowledge_id"),
        ({"knowledge_id": ids.new()}, "content"),
        ({"knowledge_id": ids.new(), "content": ""}, "content"),
        ({"knowledge_id": ids.new(), "content": "x" * (32 << 10) + "x"}, "content"),
        ({"knowledge_id": ids.new(), "content": "a\0"}, "content"),
        ({"knowledge_id": ids.new(), "content": "a", "etag": "1" * 65}, "etag"),
        ({"knowledge_id": ids.new(), "metadata_patch": {"a": "x" * 70_000}}, "metadata_patch"),
        ({"knowledge_id": ids.new(), "metadata_patch": {"a": 1e300}}, "metadata_patch.a"),
    ],
)
async def test_bad_fields_are_named(knowledge, request_, field):
    patch = request_.pop("metadata_patch", None)
    refused = await refusal(update(knowledge, patch=patch, **request_))

    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


async def test_what_cannot_be_changed_says_why(knowledge, database):
    taken, item = await store(knowledge, "taken"), await store(knowledge, "mine")
    derived = await store(knowledge, "a piece")
    async with as_administrator(database) as admin:
        await admin.execute(
            f"""UPDATE knowledge.knowledge_items SET document_id = '{ids.new()}'
                WHERE knowledge_id = '{derived}'"""
        )

    assert await refusal(update(knowledge, item, content="taken")) == (
        grpc.StatusCode.ALREADY_EXISTS, "CONTENT_TAKEN", []
    )  # fmt: skip
    assert await refusal(update(knowledge, ids.new(), content="x")) == (
        grpc.StatusCode.NOT_FOUND, "KNOWLEDGE_NOT_FOUND", []
    )  # fmt: skip
    delete = knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=derived))
    for refused in (await refusal(update(knowledge, derived, content="x")), await refusal(delete)):
        assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "KNOWLEDGE_DERIVED", [])
    assert taken


async def test_concurrent_changes_of_one_item_come_one_after_the_other(knowledge):
    item = await store(knowledge, "none", metadata={})

    await asyncio.gather(*(update(knowledge, item, {f"k{n}": n}) for n in range(30)))

    answer = await knowledge.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=item))
    assert structs.to_dict(answer.item.metadata) == {f"k{n}": n for n in range(30)}


async def vector_of(database: Database, knowledge_id: str) -> list[float]:
    async with as_administrator(database) as admin:
        text = await admin.fetchval(
            f"""SELECT embedding::text FROM knowledge.vectors_{SPACE}
                WHERE knowledge_id = '{knowledge_id}'"""
        )
    return [float(number) for number in text.strip("[]").split(",")]


class SlowFirst(GatedIndex):
    """Holds the first upsert back before it writes; it may come last."""

    def __init__(self, index: PgvectorIndex) -> None:
        super().__init__(index)
        self.begun = 0

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        self.begun += 1
        if self.begun == 1:
            self.upserted.set()
            await self.may_return.wait()
        await self._index.upsert(space, vectors)


@pytest.mark.parametrize("gate", [GatedIndex, SlowFirst])
async def test_an_older_vector_never_wins(database, gate):
    """The item is changed while its first vector is written, or about to be."""
    gates: list[Any] = []

    def gated(index: Any) -> Any:
        gates.append(gate(index))
        return gates[-1]

    async with knowledge_service(database, index=gated) as one:
        item = await store(one, "a heron at the lake")
        await gates[0].upserted.wait()
        async with knowledge_service(database) as two:
            await update(one, item, content="a lorry on the motorway")
            await asyncio.sleep(0.3)  # in which the other replica could take it
            gates[0].may_return.set()
            await eventually(partial(is_indexed, two, item))

    [wanted] = await wordllama().embed(["a lorry on the motorway"], Purpose.DOCUMENT)
    held = await vector_of(database, item)
    assert held == pytest.approx(wanted, abs=1e-4)


async def test_changes_in_quick_succession_end_with_the_last_ones_vector(knowledge, database):
    items = [await store(knowledge, f"start {n}") for n in range(5)]
    for turn in range(8):
        await asyncio.gather(
            *(update(knowledge, one, content=f"{one} says {turn}") for one in items)
        )
    for one in items:
        await eventually(partial(is_indexed, knowledge, one))

    wanted = await wordllama().embed([f"{one} says 7" for one in items], Purpose.DOCUMENT)
    for one, values in zip(items, wanted, strict=True):
        assert await vector_of(database, one) == pytest.approx(values, abs=1e-4)


async def test_namespaces_are_listed_with_counts_in_pages(knowledge):
    ann = ids.new()
    for n in range(5):
        await store(knowledge, f"note {n}", namespace=f"shelf{n % 3}", subject_id=ann)
    await store(knowledge, "nobody's", namespace="shelf0")

    first = await knowledge.ListNamespaces(pb.ListNamespacesRequest(page_size=2))
    rest = await knowledge.ListNamespaces(
        pb.ListNamespacesRequest(page_size=2, page_token=first.next_page_token)
    )
    anns = await knowledge.ListNamespaces(pb.ListNamespacesRequest(subject_ids=[ann]))
    foreign = await refusal(
        knowledge.ListNamespaces(
            pb.ListNamespacesRequest(subject_ids=[ann], page_token=first.next_page_token)
        )
    )
    bad = await refusal(knowledge.ListNamespaces(pb.ListNamespacesRequest(subject_ids=["x"])))

    shelves = [*first.namespaces, *rest.namespaces]
    assert [(one.namespace, one.items) for one in shelves] == [
        ("shelf0", 3), ("shelf1", 2), ("shelf2", 1)
    ]  # fmt: skip
    assert rest.next_page_token == ""
    assert [one.items for one in anns.namespaces] == [2, 2, 1]
    assert all(one.last_occurred_at.seconds for one in shelves)
    assert foreign[2] == ["page_token"]
    assert bad[2] == ["subject_ids[0]"]


@pytest.mark.parametrize("content", ["x " * 10_500, "漢" * 10_000, "\ufdfa" * 3_000])
async def test_what_takes_long_to_take_apart_keeps_nobody_waiting(
    knowledge: Stub, monkeypatch: pytest.MonkeyPatch, content: str
):
    threads: list[int] = []

    def noting(text: str) -> Any:
        threads.append(threading.get_ident())
        return terms_of(text)

    monkeypatch.setattr("knowledge_svc.ingest.terms_of", noting)

    await update(knowledge, await store(knowledge, content), content=content + "!")

    assert len(threads) == 2
    assert threading.get_ident() not in threads
