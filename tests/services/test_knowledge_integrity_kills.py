"""Killed at any of its steps, a repair is finished by the next, and nothing live is gone."""

from collections import Counter
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import integrity_service_pb2 as pb
from svckit import ids
from tests.support import pinecone
from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.integrity import GRACE, IntegrityStub, Vectors, World, a_world, hosting
from tests.support.knowledge import eventually

pytestmark = pytest.mark.kills

STEPS = [
    ("sql.repair_items", "after"),
    ("sql.repair_deletions", "after"),
    ("sql.note_suspects", "after"),
    ("sql.condemn_suspects", "after"),
    ("index.discard", "after"),
    ("sql.settle_suspects", "before"),
    ("sql.settle_suspects", "after"),
    ("sql.repair_lost", "after"),
    ("sql.repair_documents", "after"),
    ("sql.adopt_files", "after"),
    ("blobs.delete", "before"),
    ("blobs.delete", "after"),
    ("sql.forget_files", "after"),
]


async def break_all(world: World) -> None:
    """A fault for every step of a repair, some of them where it had better not die."""
    whole, without_file, without_piece = [await world.upload("One.", "Two.") for _ in range(3)]
    assert whole
    await world.indexed()
    lost, failed, deleting, gone, _ = await world.store(*(f"fact {ids.new()}" for _ in range(5)))
    await world.lose_vectors([lost])
    await world.sql(
        "UPDATE knowledge.index_states SET state = 'failed' WHERE knowledge_id = $1", failed
    )
    await world.sql(
        "WITH gone AS (UPDATE knowledge.knowledge_items SET deleted_at = now() - interval '1 hour' "
        "WHERE knowledge_id = $1 RETURNING knowledge_id) "
        "UPDATE knowledge.index_states s SET state = 'deleting', lease_owner = 'dead', "
        "next_attempt_at = now() + interval '1 day' FROM gone "
        "WHERE s.knowledge_id = gone.knowledge_id", deleting
    )  # fmt: skip
    await world.delete(gone)
    await eventually(lambda: world.is_forgotten(gone))
    await world.plant_vectors([gone])
    world.path(await world.key(without_file)).unlink()
    piece = (await world.pieces(without_piece))[0]
    await world.lose_vectors([piece])
    await world.sql("DELETE FROM knowledge.knowledge_items WHERE knowledge_id = $1", piece)
    await world.put(f"handbooks/nobody/{ids.new()}/text.txt", b"whose?", age_seconds=3600)


@pytest.mark.parametrize("vectors", ["pgvector", "pinecone"])
@pytest.mark.parametrize(("at", "when"), STEPS)
async def test_a_repair_is_finished_by_the_next_wherever_it_dies(
    database: Database, vectors: Vectors, at: str, when: Any
):
    hosted = {"PINECONE_API_KEY": pinecone.KEY, "PINECONE_INDEX": "kith"}
    async with hosting(vectors):
        async with a_world(database, vectors) as world:
            await break_all(world)
            files = dict(world.files)
        environment = hosted if vectors == "pinecone" else {}
        async with dying_service(database, at=at, when=when, **environment) as mortal:
            census = pb.VerifyIntegrityRequest(grace_seconds=GRACE, read_files=True)
            call = IntegrityStub(mortal.channel).RepairIntegrity(
                pb.RepairIntegrityRequest(census=census), wait_for_ready=True
            )
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            await mortal.gone()

        async with a_world(database, vectors) as world:
            await world.age_suspects()
            await world.sql(
                "UPDATE knowledge.documents SET next_attempt_at = now() "
                "WHERE starts_with(lease_owner, 'repair ')"
            )
            await world.repair()
            await world.clean()
            assert (await world.repair()).told == Counter()
            assert await world.vector_ids() == await world.live_ids()
            [lost] = {*files} - await world.keys()
            assert len(await world.keys()) == 2
            for key in {*files} - {lost}:
                assert world.path(key).read_bytes() == files[key]
            assert await world.admin.fetchval("SELECT count(*) FROM knowledge.suspects") == 0
