"""What MemoryService refuses, and that it names the field."""

import base64
from typing import Any

import grpc
import orjson

from kith.knowledge.v1 import memory_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.knowledge import refusal
from tests.support.memories import ADA, a_memory, memory_service, to_set


def _list(**changes: Any) -> pb.ListMemoriesRequest:
    return pb.ListMemoriesRequest(person_ids=[ADA], **changes)


def _search(**changes: Any) -> pb.SearchMemoriesRequest:
    return pb.SearchMemoriesRequest(person_ids=[ADA], query="q", **changes)


LONG, METADATA = "é" * 5000, {"x": "y" * 17_000}


BAD: list[tuple[str, Any, str]] = [
        ("UpsertMemories", to_set(person_id="ada"), "person_id"),
        ("UpsertMemories", pb.UpsertMemoriesRequest(person_id=ADA), "memories"),
        ("UpsertMemories", to_set(*(a_memory(f"{n}") for n in range(101))), "memories"),
        ("UpsertMemories", to_set(a_memory(""), a_memory()), "memories[0].key"),
        ("UpsertMemories", to_set(a_memory("a"), a_memory("k" * 129)), "memories[1].key"),
        ("UpsertMemories", to_set(a_memory("a\nb")), "memories[0].key"),
        ("UpsertMemories", to_set(a_memory("a"), a_memory("a")), "memories[1].key"),
        ("UpsertMemories", to_set(a_memory(value="")), "memories[0].value"),
        ("UpsertMemories", to_set(a_memory(value=LONG)), "memories[0].value"),
        ("UpsertMemories", to_set(a_memory(category="c" * 65)), "memories[0].category"),
        ("UpsertMemories", to_set(a_memory(importance=1.01)), "memories[0].importance"),
        ("UpsertMemories", to_set(a_memory(importance=float("nan"))), "memories[0].importance"),
        ("UpsertMemories", to_set(a_memory(metadata=METADATA)), "memories[0].metadata"),
        ("UpsertMemories", to_set(a_memory(source_event_id="e")), "memories[0].source_event_id"),
        ("UpsertMemories", pb.UpsertMemoriesRequest(
            person_id=ADA, memories=[a_memory()], person_ids=["x"]), "person_ids[0]"),
        ("BatchUpsertMemories", pb.BatchUpsertMemoriesRequest(), "requests"),
        ("BatchUpsertMemories", pb.BatchUpsertMemoriesRequest(
            requests=[to_set(*(a_memory(f"{n}") for n in range(91)))] * 11), "requests"),
        ("GetMemory", pb.GetMemoryRequest(key="k"), "person_ids"),
        ("GetMemory", pb.GetMemoryRequest(person_ids=[ADA]), "key"),
        ("GetMemory", pb.GetMemoryRequest(person_ids=[ADA] * 1001, key="k"), "person_ids"),
        ("ListMemories", pb.ListMemoriesRequest(), "person_ids"),
        ("ListMemories", _list(min_importance=2), "min_importance"),
        ("ListMemories", _list(order=9), "order"),
        ("ListMemories", _list(page_size=-1), "page_size"),
        ("ListMemories", _list(page_token="?"), "page_token"),
        ("ListMemories", _list(page_scope="s" * 129), "page_scope"),
        ("ListMemories", _list(categories=["c"] * 33), "categories"),
        ("ListMemoryVersions", pb.ListMemoryVersionsRequest(key="k"), "person_id"),
        ("ListMemoryVersions", pb.ListMemoryVersionsRequest(person_id=ADA), "key"),
        ("SearchMemories", pb.SearchMemoriesRequest(person_ids=[ADA]), "query"),
        ("SearchMemories", pb.SearchMemoriesRequest(query="q"), "person_ids"),
        ("SearchMemories", _search(limit=-1), "limit"),
        ("SearchMemories", pb.SearchMemoriesRequest(
            person_ids=[ADA], query="q", at_least=["?"]), "at_least[0]"),
        ("SearchMemories", pb.SearchMemoriesRequest(
            person_ids=[ADA], query="q", categories=["c" * 65]), "categories[0]"),
        ("DeleteMemory", pb.DeleteMemoryRequest(person_id=ADA), "key"),
        ("DeleteMemory", pb.DeleteMemoryRequest(key="k"), "person_id"),
        ("DeleteMemory", pb.DeleteMemoryRequest(
            person_id=ADA, key="k", person_ids=["x"]), "person_ids[0]"),
]  # fmt: skip


PLACES: dict[Any, list[Any]] = {
    pb.MEMORY_ORDER_KEY: [[None, "a\0", ADA], [None, 1, ADA], [None, "a", "x"], [None]],
    pb.MEMORY_ORDER_IMPORTANCE: [["2026-01-01", "a", ADA], [None, "a", ADA], [[], "a", ADA]],
    pb.MEMORY_ORDER_UPDATED: [[0.5, "a", ADA], ["noon", "a", ADA], [None, "a", ADA]],
    pb.MEMORY_ORDER_ACCESSED: [[0.5, "a", ADA], [True, "a", ADA]],
}


async def test_what_is_malformed_is_refused_by_name(database: Database):
    async with memory_service(database) as services:
        for method, request, field in BAD:
            refused = await refusal(getattr(services.memories, method)(request))

            expected = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
            assert refused == expected, (method, field)


async def test_a_page_token_that_somebody_made_up_is_malformed(database: Database):
    async with memory_service(database) as services:
        await services.memories.UpsertMemories(to_set(a_memory("a"), a_memory("b")))
        for order, places in PLACES.items():
            request = pb.ListMemoriesRequest(person_ids=[ADA], page_size=1, order=order)
            token = (await services.memories.ListMemories(request)).next_page_token
            fingerprint, _ = orjson.loads(base64.urlsafe_b64decode(token + "=="))
            for place in places:
                made_up = base64.urlsafe_b64encode(orjson.dumps([fingerprint, place]))
                request.page_token = made_up.decode().rstrip("=")

                _, _, bad = await refusal(services.memories.ListMemories(request))

                assert bad == ["page_token"], (order, place)
