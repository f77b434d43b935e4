"""Reading and changing people over a real channel."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import json_format

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import ids
from tests.support.cluster import Database
from tests.support.identity import GRANTED, Stub, a_request, a_struct, identity_service
from tests.support.refusals import refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def create(identity: Stub, **changes: object) -> person_pb2.Person:
    """Somebody new, as GetPerson answers them."""
    made = await identity.RegisterPerson(a_request(**changes))
    person: person_pb2.Person = (
        await identity.GetPerson(pb.GetPersonRequest(person_id=made.identity.person_id))
    ).person
    return person


async def update(
    identity: Stub, person_id: str, patch: dict[str, object], etag: str = ""
) -> person_pb2.Person:
    answer = await identity.UpdatePerson(
        pb.UpdatePersonRequest(person_id=person_id, metadata=a_struct(patch), etag=etag)
    )
    person: person_pb2.Person = answer.person
    return person


def as_dict(person: person_pb2.Person) -> dict[str, object]:
    return json_format.MessageToDict(person.metadata)


async def test_a_person_is_read_with_everything_about_them(identity):
    made = await identity.RegisterPerson(
        a_request("mia", metadata={"name": "Mia", "age": 31}, consent={"messages": GRANTED})
    )

    # Case does not matter in a UUID.
    asked = made.identity.person_id.upper()
    person = (await identity.GetPerson(pb.GetPersonRequest(person_id=asked))).person

    assert person.person_id == made.identity.person_id
    assert as_dict(person) == {"name": "Mia", "age": 31}
    assert person.consent == made.identity.consent
    assert list(person.subject_ids) == [made.identity.person_id, made.identity.link_id]
    assert person.created_at.seconds > 1_700_000_000
    assert not person.HasField("last_seen_at")
    assert person.etag


async def test_nobody_is_not_found(identity):
    nobody = ids.new()

    refusals = [
        await refusal_of(identity.GetPerson(pb.GetPersonRequest(person_id=nobody))),
        await refusal_of(identity.UpdatePerson(pb.UpdatePersonRequest(person_id=nobody))),
        await refusal_of(identity.ListLinks(pb.ListLinksRequest(person_id=nobody))),
        await refusal_of(identity.GetConsent(pb.GetConsentRequest(person_id=nobody))),
        await refusal_of(
            identity.ListConsentHistory(pb.ListConsentHistoryRequest(person_id=nobody))
        ),
        await refusal_of(
            identity.SetConsent(pb.SetConsentRequest(person_id=nobody, purposes={"x": GRANTED}))
        ),
        await refusal_of(
            identity.UnlinkIdentity(pb.UnlinkIdentityRequest(person_id=nobody, link_id=ids.new()))
        ),
        await refusal_of(
            identity.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=nobody))
        ),
        await refusal_of(
            identity.LinkIdentity(
                pb.LinkIdentityRequest(person_id=nobody, platform="web", platform_id="x")
            )
        ),
    ]

    for refusal in refusals:
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND")
        assert refusal.metadata == {"person_id": nobody}


async def test_many_people_come_in_the_order_asked_for_and_missing_ones_are_listed(identity):
    mia, max_ = await create(identity), await create(identity)
    nobody = ids.new()

    answer = await identity.BatchGetPersons(
        pb.BatchGetPersonsRequest(
            person_ids=[max_.person_id, nobody, mia.person_id, nobody, max_.person_id]
        )
    )

    assert list(answer.persons) == [max_, mia]
    assert list(answer.missing_ids) == [nobody]


async def test_a_patch_removes_merges_and_replaces(identity):
    person = await create(
        identity, metadata={"name": "Mia", "old": 1, "home": {"city": "Bonn", "zip": "53111"}}
    )

    changed = await update(
        identity, person.person_id, {"old": None, "home": {"zip": None, "flat": 3}, "tags": ["a"]}
    )

    assert as_dict(changed) == {"name": "Mia", "home": {"city": "Bonn", "flat": 3}, "tags": ["a"]}
    assert changed.etag != person.etag


async def test_an_empty_patch_is_fine_and_changes_nothing(identity):
    person = await create(identity, metadata={"name": "Mia"})

    without = await identity.UpdatePerson(pb.UpdatePersonRequest(person_id=person.person_id))
    empty = await update(identity, person.person_id, {})

    assert without.person == empty == person


async def test_an_update_with_an_old_etag_is_refused(identity):
    person = await create(identity)
    changed = await update(identity, person.person_id, {"a": 1}, person.etag)

    refusals = [
        await refusal_of(update(identity, person.person_id, {"a": 2}, etag))
        for etag in (person.etag, "nonsense")
    ]

    for refusal in refusals:
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert refusal.metadata == {"person_id": person.person_id}
    assert as_dict(await update(identity, person.person_id, {"b": 2}, changed.etag)) == {
        "a": 1, "b": 2
    }  # fmt: skip


async def test_concurrent_patches_are_all_applied(identity):
    person = await create(identity)

    await asyncio.gather(
        *(update(identity, person.person_id, {f"key-{n}": {"n": n}}) for n in range(32))
    )

    changed = await update(identity, person.person_id, {})
    assert as_dict(changed) == {f"key-{n}": {"n": n} for n in range(32)}


async def test_patches_cannot_grow_metadata_beyond_its_limit(identity):
    person = await create(identity, metadata={"a": "x" * 10_000})

    refusal = await refusal_of(update(identity, person.person_id, {"b": "x" * 10_000}))

    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["metadata"])
    assert await update(identity, person.person_id, {}) == person
    assert "b" in as_dict(await update(identity, person.person_id, {"a": None, "b": "x" * 10_000}))


async def test_numbers_and_texts_come_back_as_they_went_in(identity):
    metadata = {
        "small": 5e-324, "fraction": 0.1, "negative": -1.5, "large": 2**53, "least": -(2**53),
        "text": "Zoë 👩‍👩‍👧 \u2028 \\ \"", "empty": "", "key with \n in it": True, "": False,
    }  # fmt: skip

    person = await create(identity, metadata=metadata)

    assert as_dict(person) == metadata


async def test_somebody_is_created_once_under_an_id_of_the_callers_own(identity):
    request = pb.CreatePersonRequest(
        person_id=ids.new(), metadata=a_struct({"name": "Mia"}),
        consent=person_pb2.Consent(purposes={"news": GRANTED, "other": 1}),
    )  # fmt: skip

    first = await identity.CreatePerson(request)
    again = await identity.CreatePerson(request)
    request.metadata["name"] = "Max"
    refusal = await refusal_of(identity.CreatePerson(request))
    nameless = [await identity.CreatePerson(pb.CreatePersonRequest()) for _ in range(2)]

    assert (first.created, again.created) == (True, False)
    assert first.person == again.person
    assert first.person.person_id == request.person_id
    assert as_dict(first.person) == {"name": "Mia"}
    assert dict(first.person.consent.purposes) == {"news": GRANTED}
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert refusal.metadata == {"person_id": request.person_id}
    assert nameless[0].person.person_id != nameless[1].person.person_id


async def test_people_are_listed_by_filters_and_in_pages(identity):
    people = [await create(identity, platform="web", metadata={"n": n % 2}) for n in range(5)]
    await create(identity, metadata={"n": 1})
    filters = {"platform": "Web", "metadata": a_struct({"n": 0})}

    first = await identity.ListPersons(pb.ListPersonsRequest(page_size=2, **filters))
    second = await identity.ListPersons(
        pb.ListPersonsRequest(page_size=2, page_token=first.next_page_token, **filters)
    )
    everybody = await identity.ListPersons(pb.ListPersonsRequest())

    assert [*first.persons, *second.persons] == [people[0], people[2], people[4]]
    assert not second.next_page_token
    assert len(everybody.persons) == 6
    refusal = await refusal_of(
        identity.ListPersons(pb.ListPersonsRequest(page_token=first.next_page_token))
    )
    assert refusal.fields == ["page_token"]


async def test_a_page_of_people_ends_where_a_message_is_full(identity):
    # Numbers take more room in a message than as JSON: 16 KB are 88 KB.
    wide = [a_request(metadata={"scores": [0] * 8000}) for _ in range(50)]
    made = await identity.BatchRegisterPersons(pb.BatchRegisterPersonsRequest(requests=wide))
    request = pb.ListPersonsRequest(page_size=500)

    first = await identity.ListPersons(request)
    request.page_token = first.next_page_token
    second = await identity.ListPersons(request)

    assert [person.person_id for person in (*first.persons, *second.persons)] == sorted(
        result.response.identity.person_id for result in made.results
    )
    assert first.next_page_token and not second.next_page_token
    assert first.ByteSize() < 4 << 20
