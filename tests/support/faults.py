"""Every fault of a census, one at a time: each breaks one thing of a world, behind the service."""

from collections.abc import Awaitable, Callable

from svckit import ids
from tests.support.integrity import World
from tests.support.knowledge import eventually

HOUR = "interval '1 hour'"


async def sound(world: World) -> None:
    """Something of everything, in which nothing is wrong."""
    await world.store("My cat Turing sleeps.", "I moved to Lisbon.", subject_id=ids.new())
    # There is nothing in it to embed.
    [mute] = await world.store("...")
    await world.lose_vectors([mute])
    await world.sql(
        "UPDATE knowledge.index_states SET embedding_model = NULL WHERE knowledge_id = $1", mute
    )
    await world.upload("Chapter one.", "Chapter two.")
    await world.indexed()


# Each breaks one thing, and answers what the finding is about.


async def lost_vector(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.lose_vectors([one])
    return one


async def vector_of_an_unknown_item(world: World) -> str:
    one = ids.new()
    await world.plant_vectors([one])
    return one


async def vector_of_a_deleted_item(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.delete(one)
    await eventually(lambda: world.is_forgotten(one))
    await world.plant_vectors([one])
    return one


async def row_changed_behind_the_queue(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        "UPDATE knowledge.knowledge_items SET content = 'In the attic.' || gen_random_uuid(), "
        "revision = nextval('knowledge.revisions') WHERE knowledge_id = $1", one
    )  # fmt: skip
    return one


async def content_that_the_vector_was_not_made_of(world: World) -> str:
    if not await world.keeps_hashes():
        # Not every index says what a vector was made of.
        return ""
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        "UPDATE knowledge.knowledge_items SET content = 'It is in the attic.' || gen_random_uuid() "
        "WHERE knowledge_id = $1", one
    )  # fmt: skip
    return one


async def vector_of_another_owner(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.", subject_id=ids.new())
    [held] = await world.index.fetch(world.space.name, [one])
    await world.overwrite_vectors(
        [one], occurred_at=held.occurred_at, content_hash=held.content_hash, subject_id=ids.new()
    )
    return one


async def vector_on_another_shelf(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    [held] = await world.index.fetch(world.space.name, [one])
    await world.overwrite_vectors(
        [one], occurred_at=held.occurred_at, content_hash=held.content_hash, namespace="attic"
    )
    return one


async def vector_of_another_model(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        "UPDATE knowledge.index_states SET embedding_model = 'other-1' WHERE knowledge_id = $1", one
    )
    return one


async def lost_file(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.")
    world.path(await world.key(document)).unlink()
    return document


async def file_with_a_changed_byte(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.")
    path = world.path(await world.key(document))
    path.write_bytes(b"t" + path.read_bytes()[1:])
    return document


async def file_that_was_cut(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.")
    path = world.path(await world.key(document))
    path.write_bytes(path.read_bytes()[:-1])
    return document


async def file_of_no_document(world: World) -> str:
    key = f"handbooks/nobody/{ids.new()}/text.txt"
    await world.put(key, b"whose?", age_seconds=3600)
    return key


async def lost_piece(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.", "The attic.")
    await world.indexed()
    [_, middle, _] = await world.pieces(document)
    await world.lose_vectors([middle])
    await world.sql("DELETE FROM knowledge.knowledge_items WHERE knowledge_id = $1", middle)
    return document


async def piece_too_many(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.")
    await world.indexed()
    await world.sql("UPDATE knowledge.documents SET chunks = 1 WHERE document_id = $1", document)
    return document


async def pieces_with_equal_numbers(world: World) -> str:
    document = await world.upload("The boiler.", "The blue door.")
    await world.sql(
        "UPDATE knowledge.knowledge_items SET chunk_number = 0 WHERE document_id = $1", document
    )
    return document


async def item_that_is_never_due(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        f"UPDATE knowledge.index_states SET state = 'pending', lease_owner = 'dead', "
        f"pending_since = now() - {HOUR}, next_attempt_at = now() + interval '1 day' "
        f"WHERE knowledge_id = $1", one
    )  # fmt: skip
    return one


async def item_that_the_queue_has_lost(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql("DELETE FROM knowledge.index_states WHERE knowledge_id = $1", one)
    await world.sql(
        f"UPDATE knowledge.knowledge_items SET created_at = now() - {HOUR} "
        f"WHERE knowledge_id = $1", one
    )  # fmt: skip
    return one


async def document_that_is_never_read(world: World) -> str:
    document = await world.upload("The boiler.")
    await world.sql(
        f"UPDATE knowledge.documents SET state = 'pending', changed_at = now() - {HOUR}, "
        f"next_attempt_at = now() + interval '1 day' WHERE document_id = $1", document
    )  # fmt: skip
    return document


async def item_that_is_never_gone(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        f"WITH gone AS (UPDATE knowledge.knowledge_items SET deleted_at = now() - {HOUR} "
        f"WHERE knowledge_id = $1 RETURNING knowledge_id) "
        f"UPDATE knowledge.index_states s SET state = 'deleting', lease_owner = 'dead', "
        f"next_attempt_at = now() + interval '1 day' "
        f"FROM gone WHERE s.knowledge_id = gone.knowledge_id", one
    )  # fmt: skip
    return one


async def item_that_was_given_up(world: World) -> str:
    [one] = await world.store(f"The boiler is behind door {ids.new()}.")
    await world.sql(
        "UPDATE knowledge.index_states SET state = 'failed', attempts = 5, last_error = 'no' "
        "WHERE knowledge_id = $1", one
    )  # fmt: skip
    return one


Break = Callable[[World], Awaitable[str]]
FAULTS: list[tuple[Break, str, str]] = [
    (lost_vector, "VECTOR_MISSING", "REQUEUED"),
    (vector_of_a_deleted_item, "VECTOR_ORPHANED", "VECTOR_DELETED"),
    (row_changed_behind_the_queue, "VECTOR_STALE", "REQUEUED"),
    (content_that_the_vector_was_not_made_of, "VECTOR_STALE", "REQUEUED"),
    (vector_of_another_owner, "VECTOR_WRONG", "REQUEUED"),
    (vector_on_another_shelf, "VECTOR_WRONG", "REQUEUED"),
    (vector_of_another_model, "MODEL_WRONG", "REQUEUED"),
    (lost_file, "FILE_MISSING", "MARKED_LOST"),
    (file_with_a_changed_byte, "FILE_CORRUPT", "MARKED_LOST"),
    (file_that_was_cut, "FILE_CORRUPT", "MARKED_LOST"),
    (file_of_no_document, "FILE_ORPHANED", "FILE_DELETED"),
    (lost_piece, "CHUNKS_INCOMPLETE", "EXTRACTION_REQUEUED"),
    (piece_too_many, "CHUNKS_INCOMPLETE", "EXTRACTION_REQUEUED"),
    (pieces_with_equal_numbers, "CHUNKS_INCOMPLETE", "EXTRACTION_REQUEUED"),
    (item_that_is_never_due, "STUCK_PENDING", "REQUEUED"),
    (item_that_the_queue_has_lost, "STUCK_PENDING", "REQUEUED"),
    (document_that_is_never_read, "STUCK_PENDING", "EXTRACTION_REQUEUED"),
    (item_that_is_never_gone, "STUCK_DELETING", "DELETION_RESUMED"),
    (item_that_was_given_up, "FAILED", "REQUEUED"),
]
