"""Each fault is found, told precisely, mended once, and not found again; on each index."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import document_pb2
from kith.knowledge.v1 import integrity_service_pb2 as pb
from knowledge_svc.adapters.local_blobs import LocalBlobs
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import Database
from tests.support.faults import (
    FAULTS,
    file_of_no_document,
    item_that_was_given_up,
    lost_vector,
    sound,
    vector_of_an_unknown_item,
)
from tests.support.integrity import World, a_world, hosting
from tests.support.knowledge import eventually, refusal
from tests.support.walks import about, kind_of


@pytest.fixture(params=["pgvector", pytest.param("pinecone", marks=pytest.mark.system)])
async def world(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with hosting(request.param), a_world(database, request.param) as world:
        yield world


async def test_each_fault_alone_is_told_as_what_it_is_and_mended_once(world: World):
    await sound(world)
    for fault, kind, action in FAULTS:
        broken = await fault(world)
        if not broken:
            continue

        walks = [
            await world.verify(),
            await world.repair(dry_run=True),
            await world.verify(),
            await world.repair(),
        ]

        expected = Counter([(kind, broken)])
        assert [walk.told for walk in walks] == [expected] * 4, fault
        assert walks[1].done == walks[3].done == {broken: action}, fault
        assert all(dict(walk.summary.findings) == {kind: 1} for walk in walks), fault
        assert dict(walks[3].summary.actions) == {action: 1}, fault
        assert walks[0].findings[0].detail, fault
        await world.clean()
        assert (await world.repair()).told == Counter(), fault
        assert await world.live_ids() >= await world.vector_ids(), fault


async def test_everything_being_well_nothing_is_told(world: World):
    await sound(world)

    walked = await world.verify()

    assert walked.findings == []
    assert dict(walked.summary.looked_at) == {"items": 5, "vectors": 4, "documents": 1, "files": 1}
    assert [one.stage for one in walked.progress] == ["items", "vectors", "documents", "files"]
    assert dict(walked.summary.findings) == {}


async def test_a_vector_that_no_item_ever_had_goes_after_two_looks_a_grace_period_apart(
    world: World,
):
    await sound(world)
    stranger = await vector_of_an_unknown_item(world)

    assert (await world.verify()).told == Counter([("VECTOR_ORPHANED", stranger)])
    assert (await world.repair(dry_run=True)).done == {stranger: "LEFT"}
    assert (await world.repair()).done == {stranger: "LEFT"}
    assert stranger in await world.vector_ids()
    await world.age_suspects()
    assert (await world.repair(dry_run=True)).done == {stranger: "VECTOR_DELETED"}
    assert (await world.repair()).done == {stranger: "VECTOR_DELETED"}
    await world.clean()
    assert await world.admin.fetchval("SELECT count(*) FROM knowledge.suspects") == 0


async def test_a_short_grace_period_is_waited_for_within_the_run(world: World):
    await sound(world)
    stranger = await vector_of_an_unknown_item(world)

    walked = await world.repair(grace_seconds=1)

    assert walked.done[stranger] == "VECTOR_DELETED"
    await eventually(lambda: world.is_forgotten(stranger))


async def test_a_suspect_whose_item_comes_back_is_none_any_more(world: World):
    await sound(world)
    stranger = await vector_of_an_unknown_item(world)
    await world.repair()
    await world.age_suspects()

    await world.store("It was only late.", knowledge_id=stranger)
    walked = await world.repair()

    assert walked.findings == []
    assert stranger in await world.vector_ids()
    assert await world.admin.fetchval("SELECT count(*) FROM knowledge.suspects") == 0


async def test_an_item_that_comes_while_its_vector_is_removed_keeps_or_regains_one(world: World):
    """The worst moment: it was condemned, and is stored and indexed before the vector goes."""
    await sound(world)
    stranger = await vector_of_an_unknown_item(world)
    await world.repair()
    await world.age_suspects()
    condemned = await world.admin.fetchval(
        "SELECT knowledge.condemn_suspects($1, ARRAY[$2], 600)", world.space.name, stranger
    )
    assert stranger in condemned

    await world.store("In the nick of time.", knowledge_id=stranger)
    await world.index.discard(world.space.name, [stranger])
    if world.vectors == "pgvector":
        # It looks at the rows itself.
        assert stranger in await world.vector_ids()
    # The repair that condemned it died here; the next one settles what it left, by a new write.
    await world.sql("UPDATE knowledge.suspects SET last_seen = now() - interval '1 hour'")
    await world.repair(kinds=[pb.FINDING_KIND_VECTOR_ORPHANED])

    await world.indexed()
    assert stranger in await world.vector_ids()
    await world.clean()


async def test_an_item_that_is_written_at_every_look_is_never_told_of(
    world: World, monkeypatch: Any
):
    """Whatever the census has read of it is of an earlier write than what it reads next."""
    await sound(world)
    if not await world.keeps_hashes():
        pytest.skip("this index does not say what a vector was made of")
    [one] = await world.store("The boiler is in the attic.")
    fetch = type(world.index).fetch

    async def write() -> None:
        await world.replace(one, f"The boiler is behind door {ids.new()}.")
        await world.indexed()

    async def fetch_among_writes(*arguments: Any) -> Any:
        await write()
        held = await fetch(*arguments)
        await write()
        return held

    with monkeypatch.context() as patch:
        patch.setattr(type(world.index), "fetch", fetch_among_writes)
        assert (await world.verify(namespaces=["default"])).findings == []
    await world.clean()


async def test_what_was_written_lately_is_no_orphan(world: World):
    await sound(world)
    await world.put(f"handbooks/nobody/{ids.new()}/new.txt", b"just now")

    walked = await world.repair()

    assert walked.findings == []
    assert len(await world.keys()) == 2


async def test_a_lost_original_leaves_what_was_read_of_it_and_is_told_once(world: World):
    await sound(world)
    document = await world.upload("The boiler.", "The blue door.")
    await world.indexed()
    world.path(await world.key(document)).unlink()

    await world.repair()
    truth = await world.integrity.GetGroundTruth(pb.GetGroundTruthRequest(id=document))

    assert truth.document.state == document_pb2.EXTRACTION_STATE_FAILED
    assert truth.document.failure_reason == "FILE_LOST"
    assert truth.document.failure_detail == "a file of 26 bytes is to be there"
    assert (truth.chunk_rows, truth.chunk_vectors) == (2, 2)
    assert not truth.findings
    await world.clean()


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_lost_original_comes_back_by_uploading_it_again(world: World, is_known: bool):
    await sound(world)
    document = await world.upload("The boiler.", "The blue door.", key="handbook")
    key = await world.key(document)
    world.path(key).unlink()
    if is_known:
        await world.repair()

    assert await world.upload("The boiler.", "The blue door.", key="handbook") == document

    assert await world.documents.download(document) == world.files[key]
    told = await world.documents.get(document)
    assert (told.state, told.failure_reason) == (document_pb2.EXTRACTION_STATE_SUCCEEDED, "")
    await world.indexed()
    await world.clean()


async def test_a_shelf_is_looked_at_alone(world: World):
    await sound(world)
    [one] = await world.store("On the shelf.", namespace="profiles")
    [other] = await world.store("Elsewhere.")
    await world.lose_vectors([one, other])
    await vector_of_an_unknown_item(world)

    walked = await world.repair(namespaces=["profiles"])

    assert walked.done == {one: "REQUEUED"}
    assert dict(walked.summary.looked_at) == {"items": 1, "documents": 0}


async def test_only_the_kinds_asked_for_are_mended(world: World):
    lost, failed = await lost_vector(world), await item_that_was_given_up(world)

    walked = await world.repair(kinds=[pb.FINDING_KIND_FAILED])

    assert walked.done == {failed: "REQUEUED"}
    await world.indexed()
    assert (await world.verify()).told == Counter([("VECTOR_MISSING", lost)])


async def test_two_repairs_at_once_do_no_harm(world: World):
    await sound(world)
    broken = {await fault(world) for fault, _, _ in FAULTS} - {""}

    walked = await asyncio.gather(*(world.repair() for _ in range(3)))

    done = {thing for walk in walked for thing in walk.done}
    assert done == broken
    await world.clean()


async def test_a_caller_that_goes_away_ends_the_walk(world: World):
    await sound(world)
    for _ in range(6):
        call = world.integrity.VerifyIntegrity(pb.VerifyIntegrityRequest())
        await call.read()
        call.cancel()

    async def may_walk() -> bool:
        return bool((await world.verify()).progress)

    assert await eventually(may_walk)


async def test_what_cannot_be_looked_at_is_not_missing(world: World, monkeypatch: Any):
    await sound(world)

    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.index), "fetch", away)
        code, reason, _ = await refusal(world.repair())
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "VECTORS_UNAVAILABLE")
    with monkeypatch.context() as patch:
        patch.setattr(LocalBlobs, "_in_thread", away)
        code, _, _ = await refusal(world.repair())
    assert code == grpc.StatusCode.UNAVAILABLE
    await world.clean()


async def test_where_no_file_is_left_at_all_the_folder_is_taken_for_missing(world: World):
    document = await world.upload("The boiler.")
    await world.indexed()
    world.path(await world.key(document)).unlink()

    assert (await world.repair(dry_run=True)).done == {document: "LEFT"}
    assert (await world.repair()).done == {document: "LEFT"}
    await world.put("handbooks/nobody/x/another.txt", b"another")
    assert (await world.repair()).done == {document: "MARKED_LOST"}


async def test_an_old_file_is_not_removed_from_under_an_upload_of_the_same_document(world: World):
    """A file is adopted before it is removed: whoever comes then has to wait, and does not lose."""
    await sound(world)
    document = await world.upload("Left over.", key="same")
    key = await world.key(document)
    await world.withdraw(document)
    await world.read_texts()
    await world.put(key, b"left over", age_seconds=3600)
    keys = await world.admin.fetchval(
        "SELECT knowledge.adopt_files(jsonb_build_array(jsonb_build_object("
        "'key', $1::text, 'document_id', $2::text, 'size', 9)), 'first', 60000)", key, document
    )  # fmt: skip
    assert key in keys

    code, _, _ = await refusal(world.upload("Left over.", key="same"))
    assert code == grpc.StatusCode.UNAVAILABLE
    # It died there; once its time is over, whoever finishes deletions goes on where it was.
    await world.sql(
        "UPDATE knowledge.documents SET next_attempt_at = now() WHERE blob_key = $1", key
    )
    await world.read_texts()

    assert key not in await world.keys()
    assert await world.upload("Left over.", key="same") == document
    await world.clean()
    assert key in await world.keys()


async def test_findings_name_where_they_are(world: World):
    await sound(world)
    lost, file = await lost_vector(world), await file_of_no_document(world)

    by_kind = {kind_of(one): one for one in (await world.verify()).findings}

    assert by_kind["VECTOR_MISSING"].knowledge_id == lost
    assert by_kind["VECTOR_MISSING"].space == world.space.name
    assert about(by_kind["FILE_ORPHANED"]) == file


async def test_old_files_have_an_age(world: World):
    key = await file_of_no_document(world)
    os.utime(world.path(key), (time.time(), time.time()))

    assert (await world.verify()).findings == []


async def truth_of(world: World, identifier: str) -> pb.GetGroundTruthResponse:
    return await world.integrity.GetGroundTruth(pb.GetGroundTruthRequest(id=identifier))


async def test_the_truth_about_an_item_is_what_each_store_holds(world: World):
    owner = ids.new()
    [one] = await world.store("The boiler is in the attic.", subject_id=owner)

    truth = await truth_of(world, one)
    await world.lose_vectors([one])
    broken = await truth_of(world, one)

    assert truth.item.content == "The boiler is in the attic."
    assert truth.queue["state"] == "indexed"
    [held] = truth.vectors
    assert (held.space, held.is_serving, held.exists) == (world.space.name, True, True)
    assert held.fields["subject_id"] == owner
    assert held.content_hash in ("", held.expected_content_hash)
    assert not truth.findings and not truth.HasField("document") and not truth.HasField("file")
    assert not broken.vectors[0].exists
    assert [kind_of(finding) for finding in broken.findings] == ["VECTOR_MISSING"]


async def test_the_truth_about_a_document_has_its_file_as_it_is_now(world: World):
    document = await world.upload("The boiler.", "The blue door.")
    await world.indexed()

    truth = await truth_of(world, document)
    path = world.path(await world.key(document))
    path.write_bytes(b"t" + path.read_bytes()[1:])
    broken = await truth_of(world, document)
    [piece, _] = await world.pieces(document)

    assert truth.file.exists and truth.file.sha256 == truth.document.sha256
    assert (truth.chunk_rows, truth.chunk_vectors, len(truth.findings)) == (2, 2, 0)
    assert broken.file.sha256 != broken.document.sha256
    assert [kind_of(finding) for finding in broken.findings] == ["FILE_CORRUPT"]
    about_piece = await truth_of(world, piece)
    assert about_piece.document.document_id == about_piece.item.document_id == document


async def test_the_truth_about_what_is_deleted_or_a_stranger(world: World):
    [one] = await world.store("The boiler is in the attic.")
    await world.delete(one)
    await eventually(lambda: world.is_forgotten(one))
    stranger = ids.new()
    await world.plant_vectors([stranger])

    deleted, strange = await truth_of(world, one), await truth_of(world, stranger)

    assert deleted.HasField("deleted_at") and not deleted.HasField("item")
    assert [kind_of(finding) for finding in strange.findings] == ["VECTOR_ORPHANED"]
    code, reason, _ = await refusal(truth_of(world, ids.new()))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "KNOWLEDGE_NOT_FOUND")
