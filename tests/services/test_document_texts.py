"""What becomes of the text of a document: when it is found, and when it no longer is."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from kith.knowledge.v1 import document_service_pb2 as pb
from kith.knowledge.v1 import knowledge_service_pb2 as items_pb
from svckit import structs
from tests.support.cluster import Database
from tests.support.documents import (
    ANN,
    FAILED,
    GROUP,
    PENDING,
    RUNNING,
    SESSION,
    SUCCEEDED,
    DocumentClient,
    document_service,
    rows_of,
)
from tests.support.knowledge import as_administrator, eventually


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database) as running:
        yield running


async def test_a_sentence_from_the_middle_is_found_with_its_place(service: DocumentClient):
    document = await service.read(
        namespace="notes", subject_id=ANN, group_id=GROUP, session_id=SESSION, platform="web",
        metadata={"mood": "calm"},
    )  # fmt: skip

    [hit] = (await service.search("brother nets")).hits

    assert hit.item.content == "Her brother mends nets."
    assert (hit.item.document_id, hit.item.place.chunk_number) == (document.document_id, 1)
    assert (hit.item.namespace, hit.item.subject_id, hit.item.group_id) == ("notes", ANN, GROUP)
    assert (hit.item.session_id, hit.item.platform) == (SESSION, "web")
    assert structs.to_dict(hit.item.metadata) == {"mood": "calm"}
    assert hit.item.occurred_at == document.occurred_at


async def test_text_is_found_by_meaning_too_once_it_is_indexed(service: DocumentClient):
    await service.read()
    request = items_pb.SearchKnowledgeRequest(
        query="birds at the sea", mode=items_pb.SEARCH_MODE_SEMANTIC, limit=1
    )

    async def found() -> str:
        answer = await service.knowledge.SearchKnowledge(request)
        return answer.hits[0].item.content if answer.hits else ""

    await eventually(found)


async def test_a_transcript_is_dated_by_what_is_said_in_it(service: DocumentClient):
    text = "@2026-03-01T09:30:00+01:00 Ada I moved to Lisbon. @nonsense Ben You never did."

    await service.read(text)

    [hit] = (await service.search("Lisbon")).hits
    assert hit.item.occurred_at.ToJsonString() == "2026-03-01T08:30:00Z"
    assert [*hit.item.place.speakers] == ["Ada"]
    assert len(await service.found("never")) == 1


@pytest.mark.parametrize("said_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_transcript_of_a_time_that_no_calendar_has_is_read_all_the_same(
    service: DocumentClient, said_at: str
):
    document = await service.read(f"@{said_at} Ada I moved to Lisbon.")

    [hit] = (await service.search("Lisbon")).hits
    assert hit.item.occurred_at == document.occurred_at
    assert [*(await service.knowledge.ListKnowledge(items_pb.ListKnowledgeRequest())).items]


async def test_a_file_that_cannot_be_read_says_why_and_is_kept(
    service: DocumentClient, database: Database
):
    document = await service.read("One. Two. Three. Four. !!BROKEN!!")

    assert (document.state, document.failure_reason) == (FAILED, "BROKEN")
    assert document.failure_detail == "it is broken at its end"
    assert not document.indexed
    assert await service.found("Four") == []
    await eventually(partial(_has_items, database, 0))
    assert await service.download(document.document_id)


async def test_new_bytes_under_a_key_are_a_new_version_and_alone_are_found(
    service: DocumentClient, database: Database
):
    first = await service.read("The tea is green.", key="plan")
    second = await service.read("The coffee is black.", key="plan")

    assert (second.version, second.is_latest) == (2, True)
    assert not (await service.get(first.document_id)).is_latest
    assert await service.found("tea coffee") == ["The coffee is black."]
    assert [d.version for d in await service.list(key="plan")] == [2]
    both = await service.list(key="plan", include_earlier_versions=True)
    assert [d.version for d in both] == [2, 1]
    assert not both[1].indexed
    await eventually(partial(_has_items, database, 1))


async def _has_items(database: Database, number: int) -> bool:
    counts = await rows_of(database)
    return counts["knowledge_items"] == number and counts["vectors"] == number


async def test_a_version_stays_found_until_the_next_one_is_read(service: DocumentClient):
    await service.read("The tea is green.", key="plan")
    service.extractor.gate = asyncio.Event()

    second = (await service.upload("The coffee is black.", key="plan")).document
    await eventually(partial(_is_running, service, second.document_id))
    meanwhile = await service.found("tea coffee")
    service.extractor.gate.set()
    await service.settled(second.document_id)

    assert meanwhile == ["The tea is green."]
    assert await service.found("tea coffee") == ["The coffee is black."]


async def _is_running(service: DocumentClient, document_id: str) -> bool:
    return bool((await service.get(document_id)).state == RUNNING)


async def test_a_version_that_cannot_be_read_hides_the_one_before(service: DocumentClient):
    await service.read("The tea is green.", key="plan")

    await service.read("!!BROKEN!!", key="plan")

    assert await service.found("tea") == []


async def test_deleting_the_latest_brings_the_version_before_it_back(
    service: DocumentClient, database: Database
):
    first = await service.read("The tea is green.", key="plan")
    second = await service.read("The coffee is black.", key="plan")

    assert await service.delete(second.document_id)

    await eventually(partial(service.found, "tea"))
    restored = await service.settled(first.document_id)
    assert (restored.version, restored.is_latest, restored.indexed) == (1, True, True)
    assert await service.found("tea coffee") == ["The tea is green."]


async def test_what_is_superseded_before_it_is_read_is_not_read(service: DocumentClient):
    service.extractor.gate = asyncio.Event()
    first = (await service.upload("The tea is green.", key="plan")).document
    await eventually(partial(_is_running, service, first.document_id))
    second = (await service.upload("The coffee is black.", key="plan")).document
    service.extractor.gate.set()

    await service.settled(second.document_id)

    assert (await service.get(first.document_id)).state == SUCCEEDED
    assert await service.found("tea coffee") == ["The coffee is black."]


async def test_a_document_is_read_anew_on_request(service: DocumentClient, database: Database):
    document = await service.read()
    before = (await service.search("gulls")).hits[0].item.knowledge_id

    request = pb.ExtractDocumentRequest(document_id=document.document_id)
    asked = (await service.documents.ExtractDocument(request)).document
    await service.settled(document.document_id)

    assert asked.state == PENDING
    [hit] = (await service.search("gulls")).hits
    assert hit.item.knowledge_id != before
    await eventually(partial(_has_items, database, 3))


async def test_pieces_that_nobody_sees_yet_are_not_counted(
    service: DocumentClient, database: Database
):
    service.extractor.gate = asyncio.Event()
    document = (await service.upload("One. Two. Three. Four. Five.", subject_id=ANN)).document

    async def counts(*subject_ids: str) -> list[tuple[int, int, int]]:
        request = items_pb.ListNamespacesRequest(subject_ids=subject_ids)
        answer = await service.knowledge.ListNamespaces(request)
        return [(one.items, one.unindexed_items, one.documents) for one in answer.namespaces]

    async with as_administrator(database) as admin:
        some = "SELECT count(*) > 0 FROM knowledge.knowledge_items"
        await eventually(partial(admin.fetchval, some))
    during = [await counts(), await counts(ANN)]
    service.extractor.gate.set()
    await service.settled(document.document_id)

    assert during == [[(0, 0, 1)]] * 2
    assert [shelf[0] for shelf in await counts()] == [5]


async def test_a_file_that_kills_its_reader_again_and_again_is_given_up(service: DocumentClient):
    service.extractor.fault = RuntimeError("whatever a library does")

    document = await service.read()

    assert (document.state, document.failure_reason) == (FAILED, "CRASHED")
    assert service.extractor.opened == 3


async def test_a_reading_about_somebody_erased_meanwhile_shows_nothing(
    service: DocumentClient, database: Database
):
    service.extractor.gate = asyncio.Event()
    document = (await service.upload(subject_id=ANN)).document
    await eventually(partial(_is_running, service, document.document_id))
    async with as_administrator(database) as connection:
        await connection.execute(f"SELECT knowledge.close_subjects(ARRAY['{ANN}'::uuid])")
    service.extractor.gate.set()
    # Whoever reads another one now has given that one up.
    await service.read("A text about nobody.")

    assert await service.found("gulls") == []
    assert (await service.get(document.document_id)).state == RUNNING


async def test_a_piece_of_a_document_stands_in_no_ones_way(service: DocumentClient):
    """The same sentence in two documents, and stored by itself."""
    await service.read("Gulls are loud. Gulls are loud.", key="a")
    await service.read("Gulls are loud.", key="b")

    assert await service.found("gulls") == ["Gulls are loud."] * 3
