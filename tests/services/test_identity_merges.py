"""Merging people, and what they allow together, over a real channel."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import json_format

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import ids
from tests.support.cluster import Database
from tests.support.identity import DENIED, GRANTED, UNSET, Stub, a_request, identity_service
from tests.support.refusals import refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def someone(identity: Stub, **changes: object) -> pb.Identity:
    """Who was just registered."""
    return (await identity.RegisterPerson(a_request(**changes))).identity


async def merge(identity: Stub, source: str, target: str) -> pb.MergePersonsResponse:
    answer: pb.MergePersonsResponse = await identity.MergePersons(
        pb.MergePersonsRequest(source_person_id=source, target_person_id=target, reason="asked")
    )
    return answer


async def person_of(identity: Stub, person_id: str) -> person_pb2.Person:
    person: person_pb2.Person = (
        await identity.GetPerson(pb.GetPersonRequest(person_id=person_id))
    ).person
    return person


async def test_people_become_one_and_come_apart(identity):
    mia = await someone(identity, metadata={"name": "Mia"})
    max_ = await someone(identity, metadata={"name": "Max"})
    before = [await person_of(identity, one.person_id) for one in (mia, max_)]

    merged = await merge(identity, mia.person_id, max_.person_id)
    again = await merge(identity, max_.person_id, mia.person_id)

    assert (merged.merged, again.merged) == (True, False)
    assert again.merge == merged.merge
    assert merged.merge.reason == "asked"
    person = merged.person
    assert list(person.person_ids) == [max_.person_id, mia.person_id]
    assert list(person.subject_ids) == [
        max_.person_id, max_.link_id, mia.person_id, mia.link_id
    ]  # fmt: skip
    assert json_format.MessageToDict(person.metadata) == {"name": "Max"}
    [source] = person.merged_persons
    assert (source.person_id, source.merge_id) == (mia.person_id, merged.merge.merge_id)
    assert json_format.MessageToDict(source.metadata) == {"name": "Mia"}
    assert source.created_at == before[0].created_at
    assert list(person.merges) == [merged.merge]
    assert await person_of(identity, mia.person_id) == person

    undone = await identity.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=mia.person_id))

    assert undone.merge.HasField("unmerged_at")
    for was, now in zip(before, (undone.source, undone.target), strict=True):
        assert list(now.merges) == [undone.merge]
        for field in ("person_id", "subject_ids", "person_ids", "metadata", "consent"):
            assert getattr(now, field) == getattr(was, field)


async def test_a_batch_answers_each_person_once_and_as_briefly_as_asked(identity):
    mia, max_, eva = [await someone(identity, metadata={"a": 1}) for _ in range(3)]
    await merge(identity, mia.person_id, max_.person_id)
    asked = [mia.person_id, eva.person_id, max_.person_id, mia.person_id]

    answers = [
        await identity.BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=asked, view=view))
        for view in (pb.PERSON_VIEW_UNSPECIFIED, pb.PERSON_VIEW_FULL, pb.PERSON_VIEW_BASIC)
    ]

    whole, again, basic = (list(answer.persons) for answer in answers)
    assert whole == again
    assert [one.person_id for one in whole] == [max_.person_id, eva.person_id]
    for full, brief in zip(whole, basic, strict=True):
        assert not (brief.HasField("metadata") or brief.merged_persons or brief.merges)
        for field in ("metadata", "merged_persons", "merges"):
            full.ClearField(field)
        assert brief == full


async def test_refusals_of_merges_say_why(identity):
    mia = await someone(identity)
    nobody = ids.new()

    refusals = [
        await refusal_of(call)
        for call in (
            merge(identity, mia.person_id, nobody),
            merge(identity, nobody, mia.person_id),
            identity.UnmergePersons(pb.UnmergePersonsRequest(merge_id=nobody)),
            identity.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=mia.person_id)),
        )
    ]

    assert [(refusal.code, refusal.reason, refusal.metadata) for refusal in refusals] == [
        (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND", {"person_id": nobody}),
        (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND", {"person_id": nobody}),
        (grpc.StatusCode.NOT_FOUND, "MERGE_NOT_FOUND", {"merge_id": nobody}),
        (grpc.StatusCode.FAILED_PRECONDITION, "NOT_MERGED", {"person_id": mia.person_id}),
    ]


async def test_resolving_an_alias_records_that_the_person_was_seen(identity):
    mia, max_ = await someone(identity, platform_id="mia"), await someone(identity)
    await merge(identity, mia.person_id, max_.person_id)

    resolved = await identity.ResolveIdentity(
        pb.ResolveIdentityRequest(platform="discord", platform_id="mia")
    )

    assert (resolved.identity.person_id, resolved.identity.link_id) == (
        max_.person_id, mia.link_id
    )  # fmt: skip
    async with asyncio.timeout(10):
        while not (await person_of(identity, max_.person_id)).HasField("last_seen_at"):
            await asyncio.sleep(0.01)


async def test_consent_is_decided_answered_and_remembered(identity):
    mia = await someone(identity, consent={"messages": GRANTED})
    max_ = await someone(identity, platform_id="max")
    await merge(identity, mia.person_id, max_.person_id)

    joint = await identity.GetConsent(pb.GetConsentRequest(person_id=mia.person_id))
    set_ = await identity.SetConsent(
        pb.SetConsentRequest(
            person_id=mia.person_id, purposes={"messages": DENIED, "news": UNSET}, source="bot"
        )
    )
    resolved = await identity.ResolveIdentity(
        pb.ResolveIdentityRequest(platform="discord", platform_id="max")
    )
    history = await identity.ListConsentHistory(
        pb.ListConsentHistoryRequest(person_id=max_.person_id, page_size=2)
    )
    rest = await identity.ListConsentHistory(
        pb.ListConsentHistoryRequest(
            person_id=max_.person_id, page_size=2, page_token=history.next_page_token
        )
    )

    assert dict(joint.consent.purposes) == {}
    assert dict(set_.consent.purposes) == {"messages": DENIED}
    assert set_.consent.version == joint.consent.version + 1
    assert resolved.identity.consent == set_.consent
    assert {(c.person_id, c.state, c.source) for c in history.changes} == {
        (mia.person_id, DENIED, "bot"), (max_.person_id, DENIED, "bot")
    }  # fmt: skip
    assert [(c.person_id, c.version, c.state, c.source) for c in rest.changes] == [
        (mia.person_id, 1, GRANTED, "registration")
    ]
    assert rest.changes[0].changed_at.seconds > 1_700_000_000
    assert not rest.next_page_token
