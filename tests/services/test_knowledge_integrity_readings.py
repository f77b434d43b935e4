"""A census and a repair beside readings and uploads that are under way: whose business is whose."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.support.cluster import Database
from tests.support.integrity import World, a_world
from tests.support.knowledge import eventually

HOUR_AGO = "now() - interval '1 hour'"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with a_world(database, "pgvector") as world:
        yield world


async def being_read(world: World) -> str:
    """A document of which some pieces are laid aside; `gate` holds the rest back."""
    world.documents.extractor.gate = asyncio.Event()
    upload = await world.documents.upload("One. Two. Three. Four. Five.")
    document_id = str(upload.document.document_id)
    await eventually(partial(has_laid_aside, world, 3))
    await world.indexed()
    return document_id


async def has_laid_aside(world: World, number: int) -> bool:
    found = await world.admin.fetchval(
        "SELECT count(*) FROM knowledge.knowledge_items JOIN knowledge.hidden_readings "
        "USING (document_id, reading)"
    )
    return bool(found == number)


async def test_pieces_that_are_laid_aside_are_not_told_of_nor_touched(world: World):
    document = await being_read(world)
    await world.sql("UPDATE knowledge.index_states SET state = 'failed', last_error = 'no'")
    await world.sql(f"UPDATE knowledge.documents SET changed_at = {HOUR_AGO}")

    assert (await world.repair()).told == Counter()

    assert await world.admin.fetchval(
        "SELECT bool_and(state = 'failed') FROM knowledge.index_states"
    )
    world.documents.extractor.gate.set()
    await world.documents.settled(document)
    # Shown now, they are like any others.
    assert set((await world.repair()).done.values()) == {"REQUEUED"}
    await world.clean()


async def test_a_file_that_is_lost_while_it_is_read_ends_the_reading(world: World):
    await world.upload("Another one.")
    document = await being_read(world)
    world.path(await world.key(document)).unlink()

    assert (await world.repair()).done == {document: "MARKED_LOST"}
    world.documents.extractor.gate.set()

    assert (await world.documents.get(document)).failure_reason == "FILE_LOST"
    await world.clean()
    assert len(await world.live_ids()) == 1


async def test_an_upload_that_goes_on_with_an_old_record_is_left_alone(world: World):
    await world.upload("Another one.")
    document = await world.upload("The boiler.")
    await world.sql(
        f"UPDATE knowledge.documents SET state = 'storing', changed_at = {HOUR_AGO}, "
        "is_latest = false, next_attempt_at = now() + interval '9 minutes' WHERE document_id = $1",
        document,
    )

    assert "STUCK_PENDING" not in {kind for kind, _ in (await world.repair()).told}
    assert await world.admin.fetchval(
        "SELECT next_attempt_at > now() FROM knowledge.documents WHERE document_id = $1", document
    )
