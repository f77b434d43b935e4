"""What every SpaceStore does, over each transport."""

import asyncio
from typing import Any

import pytest

from knowledge_svc.domain.items import Space
from knowledge_svc.domain.spaces import SpaceNotFound, SpaceNotReady
from knowledge_svc.ports.spaces import SpaceStore
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator, eventually
from tests.support.spaces import NEW, OLD, claim, index_all, mark, store

THIRD = Space("third", "model c", 8, "whole-1")


@pytest.fixture
def schema() -> str:
    return "knowledge"


async def states(spaces: SpaceStore) -> dict[str, str]:
    return {space.name: state for space, state in (await spaces.roles()).items()}


async def aged(database: Database) -> None:
    """As if all that waits had been written a while ago."""
    async with as_administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.space_states SET pending_since = now() - interval '6 seconds'"
        )


async def test_one_call_begins_to_build_and_others_find_that(spaces):
    assert await spaces.serving() == "old"

    started = await asyncio.gather(*(spaces.start(NEW) for _ in range(5)))

    assert sorted(started) == [False] * 4 + [True]
    assert await states(spaces) == {"old": "serving", "new": "building"}


@pytest.mark.parametrize(("wanted", "in_the_way"), [(OLD, "serving"), (THIRD, "building")])
async def test_no_space_is_built_that_serves_or_beside_another(spaces, wanted, in_the_way):
    await spaces.start(NEW)

    with pytest.raises(SpaceNotReady) as raised:
        await spaces.start(wanted)

    assert raised.value.metadata["state"] == in_the_way


async def test_what_is_there_and_what_comes_waits_for_the_new_space(spaces, items, old, new):
    await store(items, *(f"before {number}" for number in range(1_200)))
    await index_all(old, "model a")
    await spaces.start(NEW)
    await store(items, "after")

    assert await index_all(old, "model a") == ["after"]
    contents = await index_all(new, "model b")

    assert sorted(contents) == sorted(["after", *(f"before {number}" for number in range(1_200))])
    both = {status.space.name: status.indexed_items for status in await spaces.spaces()}
    assert both == {"old": 1_201, "new": 1_201}


async def test_how_far_it_is_counts_what_nobody_has_looked_at_yet(spaces, items, new):
    await store(items, *(f"{number}" for number in range(1_100)))
    await spaces.start(NEW)
    tasks = await claim(new)
    await mark(new, "model b", *tasks)

    [_, status] = await spaces.spaces()

    assert (status.state, status.indexed_items, status.pending_items) == ("building", 10, 1_090)
    assert not status.has_caught_up


async def test_writes_in_flight_when_it_begins_are_not_missed(
    spaces, items, old, new, database: Database
):
    """The writer knows of no new space, and nobody sees its row before it commits."""
    await store(items, "early")
    async with as_administrator(database) as admin:
        writing = admin.transaction()
        await writing.start()
        await admin.execute(
            """WITH item AS (
                   INSERT INTO knowledge.knowledge_items
                   SELECT (jsonb_populate_record(i, jsonb_build_object(
                       'knowledge_id', gen_random_uuid(), 'content_hash', '\\x01'))).*
                   FROM knowledge.knowledge_items i
                   RETURNING knowledge_id)
               INSERT INTO knowledge.index_states (knowledge_id, revision)
               SELECT knowledge_id, 1 FROM item"""
        )
        starting = asyncio.create_task(spaces.start(NEW))
        done, _ = await asyncio.wait([starting], timeout=0.2)
        assert not done
        await writing.commit()
    assert await starting

    assert len(await index_all(new, "model b")) == 2


async def test_items_follow_the_space_that_serves(spaces, items, old, new, database: Database):
    first, second = await store(items, "one", "two")
    await index_all(old, "model a")
    await spaces.start(NEW)
    tasks = await claim(new)
    await mark(new, "model b", first)

    await aged(database)
    with pytest.raises(SpaceNotReady):
        await spaces.switch("new")
    await mark(new, None, second)
    await spaces.switch("new")
    await spaces.switch("new")

    assert len(tasks) == 2
    assert await states(spaces) == {"old": "standby", "new": "serving"}
    one, two = await items.get(first.knowledge_id), await items.get(second.knowledge_id)
    assert (one.index_state, one.embedding_model) == ("indexed", "model b")
    assert (two.index_state, two.embedding_model) == ("indexed", None)


async def test_what_was_just_written_is_pending_after_the_change_as_before(spaces, items, old, new):
    await spaces.start(NEW)
    await index_all(new, "model b")
    [write] = await store(items, "just now")
    await index_all(old, "model a")

    await spaces.switch("new")

    assert await old.pending([write]) == [write]
    assert await index_all(new, "model b") == ["just now"]
    assert await old.pending([write]) == []
    # And what comes goes to both: the one before can serve again.
    await store(items, "later")
    assert await index_all(old, "model a") == ["later"]
    await index_all(new, "model b")
    await spaces.switch("old")
    assert await states(spaces) == {"old": "serving", "new": "standby"}


async def test_a_space_goes_when_nobody_writes_there(spaces, items, old, new):
    await store(items, "one")
    await spaces.start(NEW)
    await claim(new, "slow", lease=0.4)

    assert await spaces.start_drop("new")
    assert not await spaces.start_drop("new")
    assert await claim(new, "other", lease=0) == []
    assert await spaces.droppable() == []
    assert await eventually(spaces.droppable) == ["new"]
    await spaces.forget("new")
    await spaces.forget("new")

    assert await states(spaces) == {"old": "serving"}
    await store(items, "two")
    assert len(await index_all(old, "model a")) == 2
    assert await spaces.start(NEW)
    assert len(await index_all(new, "model b")) == 2


@pytest.mark.parametrize(("space", "refusal"), [("old", SpaceNotReady), ("nothing", SpaceNotFound)])
async def test_what_serves_or_is_not_there_is_not_dropped(spaces, space, refusal):
    with pytest.raises(refusal) as raised:
        await spaces.start_drop(space)

    assert raised.value.metadata["space"] == space


async def test_a_space_that_is_not_there_cannot_serve(spaces):
    with pytest.raises(SpaceNotFound):
        await spaces.switch("nothing")


async def test_nothing_follows_where_there_is_no_other_space(spaces, items, database: Database):
    async def enabled() -> list[Any]:
        async with as_administrator(database) as admin:
            rows = await admin.fetch(
                """SELECT tgenabled::text FROM pg_trigger WHERE tgname LIKE 'partner_%'"""
            )
        return [row[0] for row in rows]

    assert await enabled() == ["D"] * 3
    await spaces.start(NEW)
    assert await enabled() == ["O"] * 3
    await spaces.start_drop("new")
    assert await enabled() == ["D"] * 3


async def test_documents_of_another_chunker_are_read_again(spaces, database: Database):
    async with as_administrator(database) as admin:
        for number, (chunker, state, is_latest) in enumerate(
            [
                ("words-1", "succeeded", True), ("words-2", "succeeded", True),
                (None, "failed", True),
                # An earlier version, which shows nothing any more.
                ("words-1", "succeeded", False),
            ]
        ):  # fmt: skip
            await admin.execute(
                """INSERT INTO knowledge.documents (
                       document_id, revision, occurred_at, owner, size, version, is_latest, state,
                       namespace, document_key, filename, media_type, blob_key, sha256, metadata,
                       chunker)
                   VALUES (gen_random_uuid(), 0, now(), gen_random_uuid(), 1, 1, $4, $1,
                           'n', '', 'f', 't', $2, '', '{}', $3)""",
                state, str(number), chunker, is_latest,
            )  # fmt: skip

    assert await spaces.reread_documents("words-2") == 1
    assert await spaces.reread_documents("words-2") == 0

    async with as_administrator(database) as admin:
        waiting = await admin.fetch(
            "SELECT blob_key, revision FROM knowledge.documents WHERE state = 'pending'"
        )
    # A new write: whoever was about to show a reading of it does not.
    assert [(row[0], row[1] > 0) for row in waiting] == [("0", True)]
