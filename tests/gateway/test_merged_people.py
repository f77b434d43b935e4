"""People who were merged: asked by any of their ids, and hidden where any of them denies."""

from collections.abc import AsyncIterator

import httpx
import pytest

from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import ids
from tests.support.scripted import Scripted

ADA, GRACE, LINK, STRANGER = (ids.new() for _ in range(4))


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest.fixture
async def gateway(scripted: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    async with scripted.gateway() as client:
        yield client


def merged(state: person_pb2.ConsentState.ValueType) -> person_pb2.Person:
    """Ada, into whom Grace was merged."""
    return person_pb2.Person(
        person_id=ADA,
        person_ids=[ADA, GRACE],
        subject_ids=[ADA, LINK, GRACE],
        consent=person_pb2.Consent(purposes={"knowledge": state}, version=1),
    )


def finds(scripted: Scripted, *person_ids: str) -> None:
    """Have knowledge find an item of each."""
    hits = [
        knowledge_service_pb2.SearchHit(
            item=knowledge_pb2.Knowledge(knowledge_id=ids.new(), person_id=person_id)
        )
        for person_id in person_ids
    ]
    scripted.knowledge.answer(
        "SearchKnowledge", knowledge_service_pb2.SearchKnowledgeResponse(hits=hits)
    )


async def owners(gateway: httpx.AsyncClient) -> list[str]:
    answer = await gateway.post("/v1/search", json={"query": "keys"})
    assert answer.status_code == 200, answer.text
    return [hit["person_id"] for hit in answer.json()["hits"]]


async def test_search_hides_what_was_said_as_somebody_who_denies_now(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    finds(scripted, GRACE, ADA, STRANGER)

    scripted.people(merged(person_pb2.CONSENT_STATE_GRANTED))
    granted = await owners(gateway)
    scripted.people(merged(person_pb2.CONSENT_STATE_DENIED))
    denied = await owners(gateway)

    assert granted == [GRACE, ADA, STRANGER]
    assert denied == [STRANGER]
    asked = scripted.identity.last("BatchGetPersons")
    assert asked.view == identity_service_pb2.PERSON_VIEW_BASIC
    assert list(asked.person_ids) == [GRACE, ADA, STRANGER]


@pytest.mark.parametrize("person_id", [ADA, GRACE], ids=["target", "alias"])
async def test_search_for_somebody_looks_under_all_of_their_subjects(
    scripted: Scripted, gateway: httpx.AsyncClient, person_id: str
):
    scripted.people(merged(person_pb2.CONSENT_STATE_GRANTED))
    finds(scripted)

    answer = await gateway.post("/v1/search", json={"query": "keys", "person_id": person_id})

    assert answer.status_code == 200
    asked = scripted.knowledge.last("SearchKnowledge")
    assert list(asked.filter.subject_ids) == [ADA, LINK, GRACE]


async def test_search_for_nobody_is_404(scripted: Scripted, gateway: httpx.AsyncClient):
    answer = await gateway.post("/v1/search", json={"query": "keys", "person_id": STRANGER})

    assert (answer.status_code, answer.json()["reason"]) == (404, "PERSON_NOT_FOUND")
