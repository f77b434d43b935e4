"""Memories set, forgotten and erased at the same time leave one history and one item, or none."""

import asyncio

import pytest

from kith.knowledge.v1 import memory_service_pb2 as pb
from tests.support.cluster import WAITING, Database
from tests.support.knowledge import as_administrator, eventually, refusal
from tests.support.memories import ADA, Services, a_memory, memory_service, to_set

KEY = "favourite_food"

LEFT = """
    SELECT (SELECT count(*) FROM knowledge.knowledge_items) AS items,
           (SELECT count(*) FROM knowledge.index_states WHERE state <> 'indexed') AS waiting,
           (SELECT count(*) FROM knowledge.memories m
            JOIN knowledge.knowledge_items i USING (knowledge_id, memory_id)
            WHERE i.content = m.memory_key || ': ' || m.value) AS whole"""


async def versions(services: Services) -> list[tuple[int, bool, str]]:
    answer = await services.memories.ListMemoryVersions(
        pb.ListMemoryVersionsRequest(person_id=ADA, key=KEY, page_size=500)
    )
    return [(one.version, one.deleted, one.value) for one in answer.versions]


async def test_setting_and_forgetting_at_once_is_one_history(database: Database):
    async with memory_service(database) as one, memory_service(database) as other:

        async def act(number: int) -> bool:
            services = (one, other)[number % 2]
            if number % 3 == 2:
                request = pb.DeleteMemoryRequest(person_id=ADA, key=KEY)
                return bool((await services.memories.DeleteMemory(request)).deleted)
            upsert = to_set(a_memory(value=f"food {number}"))
            return bool((await services.memories.UpsertMemories(upsert)).changed[0])

        effects = await asyncio.gather(*(act(number) for number in range(60)))

        history = await versions(one)
        assert [number for number, _, _ in history] == list(range(sum(effects), 0, -1))
        await one.memories.UpsertMemories(to_set(a_memory(value="the last")))

        async def is_settled() -> bool:
            async with as_administrator(database) as admin:
                left = await admin.fetchrow(LEFT)
            return bool((left["items"], left["waiting"], left["whole"]) == (1, 0, 1))

        await eventually(is_settled)


@pytest.mark.parametrize("kind", ["upsert", "delete"])
async def test_whoever_erases_is_waited_for(database: Database, kind: str):
    async with memory_service(database) as services, as_administrator(database) as admin:
        await services.memories.UpsertMemories(to_set())
        async with admin.transaction():
            await admin.execute("SELECT knowledge.close_subjects(ARRAY[$1::uuid])", ADA)
            if kind == "upsert":
                call = asyncio.ensure_future(refusal(services.memories.UpsertMemories(
                    to_set(a_memory("pet", "a cat"))
                )))  # fmt: skip
            else:
                call = asyncio.ensure_future(services.memories.DeleteMemory(
                    pb.DeleteMemoryRequest(person_id=ADA, key=KEY)
                ))  # fmt: skip

            async def is_waiting() -> bool:
                return bool(await admin.fetchval(
                    f"{WAITING} AND locktype = 'advisory'"
                ))  # fmt: skip

            await eventually(is_waiting)
            assert not call.done()
        answer = await call

        if kind == "upsert":
            assert answer[1] == "SUBJECT_ERASED"
        else:
            assert answer.deleted
