"""What the integrity service refuses, and what its pages cost."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from kith.knowledge.v1 import integrity_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.integrity import World, a_world
from tests.support.knowledge import eventually, refusal


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with a_world(database, "pgvector") as world:
        yield world


MIDDLE = "7fffffff-0000-4000-8000-000000000000"

BAD_CENSUSES: list[tuple[dict[str, Any], str]] = [
    ({"grace_seconds": -1}, "grace_seconds"),
    ({"grace_seconds": 604_801}, "grace_seconds"),
    ({"namespaces": ["no spaces"]}, "namespaces[0]"),
    ({"namespaces": ["n"] * 33}, "namespaces"),
]


async def test_bad_fields_are_named(world: World):
    async def first(call: Any) -> Any:
        return [part async for part in call]

    for changes, field in BAD_CENSUSES:
        census = pb.VerifyIntegrityRequest(**changes)
        verify = world.integrity.VerifyIntegrity(census)
        repair = world.integrity.RepairIntegrity(pb.RepairIntegrityRequest(census=census))
        invalid = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert await refusal(first(verify)) == (*invalid, [field])
        assert await refusal(first(repair)) == (*invalid, [f"census.{field}"])
    for kinds, field in (([1, 0], "kinds[1]"), ([99], "kinds[0]"), ([1] * 13, "kinds")):
        repair = world.integrity.RepairIntegrity(pb.RepairIntegrityRequest(kinds=kinds))
        assert (await refusal(first(repair)))[2] == [field]
    for bad in ("", "42"):
        call = world.integrity.GetGroundTruth(pb.GetGroundTruthRequest(id=bad))
        assert (await refusal(call))[2] == ["id"]


async def test_walks_are_few_at_once_and_end_with_their_callers(world: World):
    [one] = await world.store("The attic.")
    await world.lose_vectors([one])
    calls = [world.integrity.VerifyIntegrity(pb.VerifyIntegrityRequest()) for _ in range(4)]
    for call in calls:
        await call.read()

    code, reason, _ = await refusal(world.verify())
    for call in calls:
        call.cancel()

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")

    async def may_walk() -> bool:
        try:
            return bool((await world.verify()).progress)
        except grpc.aio.AioRpcError:
            return False

    assert await eventually(may_walk)


async def test_metrics_tell_of_the_last_census_and_of_repairs(world: World):
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"kith_knowledge_integrity_{name}", labels) or 0

    [one] = await world.store("The attic.")
    await world.lose_vectors([one])
    before = value("repairs_total", action="REQUEUED")

    await world.repair(dry_run=True)
    assert value("repairs_total", action="REQUEUED") == before
    await world.repair()
    assert value("findings", kind="VECTOR_MISSING") == 1
    assert value("repairs_total", action="REQUEUED") == before + 1
    await world.clean()
    assert value("findings", kind="VECTOR_MISSING") == 0
    assert value("census_timestamp_seconds") > 0


async def test_pages_go_by_the_primary_keys(world: World):
    """Each page reads as much as it answers, wherever in the table it stands."""
    await world.sql(
        """INSERT INTO knowledge.knowledge_items (
               knowledge_id, revision, occurred_at, owner, term_total, namespace, content_hash,
               body_hash, terms, term_counts, metadata, content, document_id, chunk_number)
           SELECT gen_random_uuid(), g, now(), gen_random_uuid(), 0, 'default', '', '', '{}', '{}',
                  '{}', 'x', gen_random_uuid(), 0 FROM generate_series(1, 5000) g"""
    )
    await world.sql("ANALYZE knowledge.knowledge_items")
    async with world.admin.acquire() as connection:
        plans = [
            await explained(connection, statement)
            for statement in (
                "SELECT i.knowledge_id FROM knowledge.knowledge_items i "
                f"WHERE i.knowledge_id > '{MIDDLE}' ORDER BY i.knowledge_id LIMIT 500",
                "SELECT d.document_id FROM knowledge.documents d "
                f"WHERE d.document_id > '{MIDDLE}' ORDER BY d.document_id LIMIT 50",
                "SELECT count(*) FROM knowledge.knowledge_items i WHERE i.document_id = "
                f"ANY (ARRAY['{MIDDLE}'::uuid]) AND i.deleted_at IS NULL GROUP BY i.document_id",
            )
        ]

    assert "knowledge_items_pkey" in plans[0]
    assert "documents_pkey" in plans[1]
    assert "knowledge_items_by_document" in plans[2]
    assert not any("Seq Scan" in plan for plan in plans)


async def explained(connection: Any, statement: str) -> str:
    await connection.execute("SET enable_seqscan = off")
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}"))
