"""MemoryService: what it promises, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as items_pb
from kith.knowledge.v1 import memory_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.knowledge import GatedIndex, a_request, as_administrator, eventually, refusal
from tests.support.memories import ADA, BOB, EVE, Services, a_memory, memory_service, to_set


@pytest.fixture
async def services(database: Database) -> AsyncIterator[Services]:
    async with memory_service(database) as running:
        yield running


async def remembered(services: Services, *memories: Any, person_id: str = ADA):
    return await services.memories.UpsertMemories(to_set(*memories, person_id=person_id))


async def search(services: Services, query: str, *people: str, **narrowed: Any):
    request = pb.SearchMemoriesRequest(person_ids=people or [ADA], query=query, **narrowed)
    return await services.memories.SearchMemories(request)


def get(services: Services, key: str, *people: str) -> Any:
    return services.memories.GetMemory(pb.GetMemoryRequest(person_ids=people or [ADA], key=key))


async def test_what_is_set_is_read_listed_and_found_by_meaning(services):
    told = a_memory(importance=0.8, category="taste", metadata={"since": 2019})
    done = await remembered(services, told, a_memory("pet", "a cat called Turing"))

    read = (await get(services, "favourite_food")).memory
    page = await services.memories.ListMemories(pb.ListMemoriesRequest(person_ids=[ADA]))
    found = await search(services, "What does she like to eat?", at_least=done.index_tokens)

    assert list(done.changed) == [True, True]
    assert read == done.memories[0]
    assert (read.value, read.importance, read.version) == (told.value, 0.8, 1)
    assert dict(read.metadata) == {"since": 2019}
    assert [one.key for one in page.memories] == ["favourite_food", "pet"]
    assert (found.hits[0].memory.key, found.degraded) == ("favourite_food", False)
    assert list(found.pending_tokens) == []
    assert found.hits[0].score > 0


async def test_the_same_again_has_no_token_and_an_independent_batch_answers_each(services):
    await remembered(services)
    batch = [to_set(), to_set(a_memory(value="pho")), to_set(a_memory(value=""), person_id=BOB)]

    answer = await services.memories.BatchUpsertMemories(
        pb.BatchUpsertMemoriesRequest(requests=batch)
    )

    same, other, bad = answer.results
    assert (list(same.response.changed), list(same.response.index_tokens)) == ([False], [""])
    assert (list(other.response.changed), other.response.memories[0].version) == ([True], 2)
    assert bad.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_requests_for_one_key_in_one_batch_go_in_order(services):
    batch = [to_set(a_memory(value=f"v{n}")) for n in range(5)]

    answer = await services.memories.BatchUpsertMemories(
        pb.BatchUpsertMemoriesRequest(requests=batch)
    )

    versions = [result.response.memories[0].version for result in answer.results]
    assert versions == [1, 2, 3, 4, 5]
    assert (await get(services, "favourite_food")).memory.value == "v4"


async def test_what_was_changed_is_found_by_what_it_says_now(services):
    first = await remembered(services, a_memory("home", "lives in Oslo"))
    second = await remembered(services, a_memory("home", "lives in Lisbon"))
    tokens = [*first.index_tokens, *second.index_tokens]

    lisbon = await search(services, "Lisbon", at_least=tokens)
    oslo = await search(services, "Oslo")

    assert [hit.memory.value for hit in lisbon.hits] == ["lives in Lisbon"]
    assert all(hit.memory.version == 2 for hit in oslo.hits)
    assert second.memories[0].knowledge_id == first.memories[0].knowledge_id


async def test_what_is_forgotten_is_gone_everywhere_but_in_its_history(
    services, database: Database
):
    done = await remembered(services)
    request = pb.DeleteMemoryRequest(person_id=ADA, key="favourite_food")

    assert (await services.memories.DeleteMemory(request)).deleted
    assert not (await services.memories.DeleteMemory(request)).deleted

    code, reason, _ = await refusal(get(services, "favourite_food"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND")
    assert list((await search(services, "ramen")).hits) == []
    history = await services.memories.ListMemoryVersions(
        pb.ListMemoryVersionsRequest(person_id=ADA, key="favourite_food")
    )
    assert [(one.version, one.deleted) for one in history.versions] == [(2, True), (1, False)]
    assert history.versions[0].knowledge_id == ""

    async def nothing_is_left() -> bool:
        async with as_administrator(database) as admin:
            rows = await admin.fetchval("SELECT count(*) FROM knowledge.knowledge_items")
            tables = await admin.fetch(
                "SELECT relname FROM pg_class WHERE relname LIKE 'vectors\\_%' AND relkind = 'r'"
            )
            vectors = [
                await admin.fetchval(f"SELECT count(*) FROM knowledge.{table['relname']}")
                for table in tables
            ]
        return bool(vectors) and rows == sum(vectors) == 0

    await eventually(nothing_is_left)
    again = await remembered(services)
    assert again.memories[0].version == 3
    assert again.memories[0].knowledge_id != done.memories[0].knowledge_id


async def test_deleting_for_people_who_are_one_takes_the_key_from_each(services):
    for person_id in (ADA, BOB, EVE):
        await remembered(services, person_id=person_id)

    answer = await services.memories.DeleteMemory(
        pb.DeleteMemoryRequest(
            person_id=ADA, key="favourite_food", person_ids=[ADA, BOB], purge=True
        )
    )

    assert answer.deleted
    read = await get(services, "favourite_food", ADA, BOB, EVE)
    assert (read.memory.person_id, list(read.shadowed)) == (EVE, [])


async def test_merged_people_keep_theirs_and_the_first_counts(services):
    await remembered(services, a_memory(value="ramen"), person_id=ADA)
    tokens = (
        await remembered(services, a_memory(value="pho"), a_memory("b"), person_id=BOB)
    ).index_tokens

    read = await get(services, "favourite_food", ADA, BOB)
    listed = await services.memories.ListMemories(
        pb.ListMemoriesRequest(person_ids=[ADA, BOB], exclude_shadowed=True)
    )
    hits = (await search(services, "favourite food", ADA, BOB, at_least=tokens)).hits
    unshadowed = (await search(services, "favourite food", ADA, BOB, exclude_shadowed=True)).hits
    alone = await get(services, "favourite_food", BOB)

    assert (read.memory.value, [one.value for one in read.shadowed]) == ("ramen", ["pho"])
    assert read.shadowed[0].shadowed_by_person_id == ADA
    assert [(one.key, one.person_id) for one in listed.memories] == [
        ("b", BOB), ("favourite_food", ADA)
    ]  # fmt: skip
    shown = {(hit.memory.value, hit.memory.shadowed_by_person_id) for hit in hits}
    assert {("ramen", ""), ("pho", ADA)} <= shown
    assert "pho" not in {hit.memory.value for hit in unshadowed}
    assert (alone.memory.value, alone.memory.shadowed_by_person_id) == ("pho", "")


@pytest.mark.parametrize("categories", [["rare"], ["rare", "none"]])
async def test_a_search_looks_further_until_its_page_is_full(services, categories: list[str]):
    common = [a_memory(f"tea{n}", "green tea", category="common") for n in range(60)]
    rare = [a_memory(f"z{n}", "tea, among other things", category="rare") for n in range(3)]
    tokens = (await remembered(services, *common, *rare)).index_tokens

    hits = (
        await search(services, "tea", categories=categories, limit=3, at_least=tokens[-3:])
    ).hits

    assert {hit.memory.key for hit in hits} == {"z0", "z1", "z2"}


async def test_memories_set_together_do_not_lend_each_other_scores(services):
    """As they stand beside one another, a conversation's would."""
    keys = [a_memory(f"k{n}", text) for n, text in enumerate(["plays chess", "a grey cat", "Oslo"])]
    tokens = (await remembered(services, *keys)).index_tokens

    hits = (await search(services, "chess", at_least=tokens)).hits

    assert hits[0].memory.key == "k0"
    assert all(hit.score < hits[0].score / 3 for hit in hits[1:])


async def test_other_items_are_no_memories(services, database: Database):
    done = await remembered(services)
    stray = await services.items.StoreKnowledge(a_request("ramen ramen ramen", subject_id=ADA))
    async with as_administrator(database) as admin:
        await admin.execute("UPDATE knowledge.knowledge_items SET namespace = 'memories'")

    hits = (await search(services, "ramen", at_least=[*done.index_tokens, stray.index_token])).hits

    assert [hit.memory.key for hit in hits] == ["favourite_food"]


@pytest.mark.parametrize("namespace", ["memories", "Memories"])
async def test_nobody_else_stores_where_memories_are(services, namespace: str):
    call = services.items.StoreKnowledge(a_request(namespace=namespace))

    assert await refusal(call) == (
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", ["item.namespace"]
    )  # fmt: skip


async def test_the_erased_are_remembered_no_more(services, database: Database):
    async with as_administrator(database) as admin:
        await admin.execute("INSERT INTO knowledge.erased_subjects VALUES ($1)", EVE)

    code, reason, _ = await refusal(remembered(services, person_id=EVE))

    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SUBJECT_ERASED")


async def test_reads_are_counted_and_none_of_them_writes(services, database: Database):
    await remembered(services)
    for _ in range(3):
        await get(services, "favourite_food")
    await search(services, "ramen")
    assert (await get(services, "favourite_food")).memory.access_count == 0

    async def counted() -> bool:
        listed = await services.memories.ListMemories(pb.ListMemoriesRequest(person_ids=[ADA]))
        return bool(listed.memories[0].access_count == 5)

    await eventually(counted)
    async with as_administrator(database) as admin:
        writes = await admin.fetchval("SELECT count(DISTINCT counted_by) FROM knowledge.memories")
    assert writes == 1
    read = (await get(services, "favourite_food")).memory
    assert read.last_accessed_at.seconds >= read.created_at.seconds


async def test_what_was_counted_is_written_when_the_service_stops(database: Database):
    async with memory_service(database) as services:
        await remembered(services)
        await get(services, "favourite_food")

    async with as_administrator(database) as admin:
        assert await admin.fetchval("SELECT access_count FROM knowledge.memories") == 1


async def test_with_the_index_away_memories_are_set_and_found_by_words(database: Database):
    gates: list[GatedIndex] = []

    def gated(index: Any) -> GatedIndex:
        gates.append(GatedIndex(index))
        gates[0].fault = RuntimeError("away")
        return gates[0]

    async with memory_service(database, index=gated) as services:
        done = await remembered(services)
        found = await asyncio.wait_for(search(services, "ramen"), 5)

        assert list(done.changed) == [True]
        assert [hit.memory.value for hit in found.hits] == ["ramen with a soft egg"]
        assert found.degraded
        gates[0].may_return.set()


async def test_page_tokens_belong_to_a_query_or_to_its_scope(services):
    await remembered(services, *(a_memory(f"k{n}") for n in range(5)))
    seen: list[str] = []
    token = ""
    for people in ([ADA], [ADA, BOB], [BOB, ADA]):
        page = await services.memories.ListMemories(
            pb.ListMemoriesRequest(
                person_ids=people, page_size=2, page_token=token, page_scope="ada",
                order=pb.MEMORY_ORDER_UPDATED,
            )
        )  # fmt: skip
        seen += [one.key for one in page.memories]
        token = page.next_page_token or token
    assert sorted(seen) == [f"k{n}" for n in range(5)]

    for changed in ({"page_scope": "bob"}, {"page_scope": "ada", "min_importance": 0.1}, {}):
        call = services.memories.ListMemories(
            pb.ListMemoriesRequest(person_ids=[ADA], page_token=token, order=3, **changed)
        )
        assert (await refusal(call))[2] == ["page_token"]


async def test_a_page_of_large_memories_is_one_that_any_client_can_take(services):
    large = {"numbers": [0] * 8000}
    keys = [f"k{n:02}" for n in range(50)]
    for key in keys:
        await remembered(services, a_memory(key, metadata=large))
    for n in range(50):
        await remembered(services, a_memory(value=f"{n}", metadata=large))

    listed = await _all_pages(
        services.memories.ListMemories, pb.ListMemoriesRequest(person_ids=[ADA], page_size=500)
    )
    versions = await _all_pages(
        services.memories.ListMemoryVersions,
        pb.ListMemoryVersionsRequest(person_id=ADA, key="favourite_food", page_size=500),
    )

    assert [one.key for page in listed for one in page.memories] == ["favourite_food", *keys]
    assert [one.version for page in versions for one in page.versions] == [*range(50, 0, -1)]


async def _all_pages(method: Any, request: Any) -> list[Any]:
    pages = [await method(request)]
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await method(request))
    return pages


async def test_items_of_memories_say_so_when_they_are_read(services):
    done = await remembered(services, a_memory(metadata={"mood": "calm"}, category="taste"))
    request = items_pb.GetKnowledgeRequest(knowledge_id=done.memories[0].knowledge_id)

    item = (await services.items.GetKnowledge(request)).item

    assert (item.namespace, item.subject_id) == ("memories", ADA)
    assert dict(item.metadata) == {
        "mood": "calm", "key": "favourite_food", "category": "taste", "importance": 0.5
    }  # fmt: skip
    assert item.index_state in (
        knowledge_pb2.INDEX_STATE_PENDING, knowledge_pb2.INDEX_STATE_INDEXED
    )  # fmt: skip
