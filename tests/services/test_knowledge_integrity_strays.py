"""What none of the service's writers made, or not to its end: in the index and among the files."""

import os
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from kith.knowledge.v1 import integrity_service_pb2 as pb
from kith.knowledge.v1 import knowledge_service_pb2 as knowledge_pb
from knowledge_svc.adapters.pinecone import PineconeIndex
from knowledge_svc.domain.items import Vector
from svckit import ids
from tests.support.cluster import Database
from tests.support.faults import sound
from tests.support.integrity import World, a_world, hosting
from tests.support.walks import kind_of


@pytest.fixture(params=["pgvector", pytest.param("pinecone", marks=pytest.mark.system)])
async def world(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with hosting(request.param), a_world(database, request.param) as world:
        yield world


async def test_a_vector_that_nothing_could_have_made_is_told_and_left(world: World):
    if world.vectors == "pgvector":
        pytest.skip("ids are UUIDs there")
    await sound(world)
    values = [1.0] + [0.0] * (world.space.dimension - 1)
    foreign = Vector("not-ours", values, "default", "2020-01-01T00:00:00+00:00")
    await world.index.upsert(world.space.name, [foreign])

    assert (await world.repair()).done == {"not-ours": "LEFT"}
    assert "not-ours" in await world.vector_ids()


async def test_a_vector_with_nothing_beside_it_is_a_finding_like_any_other(world: World):
    if world.vectors == "pgvector":
        pytest.skip("there a vector has its columns")
    await sound(world)
    [own] = await world.store("The boiler is behind the blue door.")
    bare = [{"_id": one, "embedding": [0.1] * world.space.dimension} for one in (own, "not-ours")]
    assert isinstance(world.index, PineconeIndex)
    documents = await world.index._documents(world.space.name)
    await documents.upsert(namespace=world.space.name, documents=bare)

    walked = await world.verify()
    truth = await world.integrity.GetGroundTruth(pb.GetGroundTruthRequest(id=own))

    told = Counter([("VECTOR_WRONG", own), ("VECTOR_ORPHANED", "not-ours")])
    assert walked.told == told
    assert [kind_of(finding) for finding in truth.findings] == ["VECTOR_WRONG"]
    assert (await world.repair()).done == {own: "REQUEUED", "not-ours": "LEFT"}


async def test_a_search_by_meaning_leaves_out_what_nothing_could_have_made(world: World):
    if world.vectors == "pgvector":
        pytest.skip("ids are UUIDs there")
    [own] = await world.store("The boiler is behind the blue door.")
    values = [0.1] * world.space.dimension
    foreign = Vector("not-ours", values, "default", "2020-01-01T00:00:00+00:00")
    await world.index.upsert(world.space.name, [foreign])

    found = await world.knowledge.SearchKnowledge(
        knowledge_pb.SearchKnowledgeRequest(query="boiler", mode=knowledge_pb.SEARCH_MODE_SEMANTIC)
    )

    assert [hit.item.knowledge_id for hit in found.hits] == [own]


async def test_a_repair_of_other_kinds_does_not_forget_since_when_a_vector_is_unknown(
    world: World,
):
    await sound(world)
    stranger = ids.new()
    await world.plant_vectors([stranger])
    assert (await world.repair()).done == {stranger: "LEFT"}
    await world.age_suspects()

    await world.repair(kinds=[pb.FINDING_KIND_FAILED])

    assert (await world.repair()).done == {stranger: "VECTOR_DELETED"}


async def test_what_a_crash_left_half_written_beside_a_file_goes(world: World):
    await sound(world)
    document = await world.upload("The boiler.")
    key = await world.key(document)
    for age in (0.0, 3_600.0):
        half = world.path(key).with_name(f".unfinished-{age}")
        half.write_bytes(b"The boi")
        os.utime(half, (time.time() - age,) * 2)

    abandoned = key.rpartition("/")[0] + "/.unfinished-3600.0"
    assert (await world.repair()).done == {abandoned: "FILE_DELETED"}

    assert world.path(key).with_name(".unfinished-0.0").exists()
    assert world.path(key).exists()
    await world.clean()
