"""A decision counts from the next message on, in every replica, and is taken back as quickly."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from tests.support.messages import a_message, eventually, sent, timeline
from tests.support.services import channel_to
from tests.support.stack import Stack

# What a cache may be behind, at most, and what a machine under load adds to a call.
STALE_SECONDS = 1.0
SLACK_SECONDS = 1.0

DENIED = person_pb2.CONSENT_STATE_DENIED
GRANTED = person_pb2.CONSENT_STATE_GRANTED


@pytest.fixture
async def identities(stack: Stack) -> AsyncIterator[list[Any]]:
    """Two replicas of identity, each behind a channel of its own."""
    await stack.add_replica("identity")
    one, other = stack.target("identity").removeprefix("ipv4:").split(",")
    async with channel_to(one) as first, channel_to(other) as second:
        yield [IdentityServiceStub(first), IdentityServiceStub(second)]


async def decide(identity: Any, person_id: str, **purposes: Any) -> int:
    answer = await identity.SetConsent(
        pb.SetConsentRequest(person_id=person_id, purposes=purposes, source="a test")
    )
    return int(answer.consent.version)


async def event_of(gateway: Any, answer: Any) -> Any:
    events = await timeline(gateway, answer["person_id"], event_type="message")
    return next(event for event in events if event["event_id"] == answer["event_id"])


async def test_a_denial_counts_in_every_replica_within_a_second(stack: Stack, identities):
    async with stack.gateway() as one, stack.gateway() as other:
        before = await sent(one, a_message())
        # Every replica has the person in its cache, and keeps having them there.
        for _ in range(20):
            await asyncio.gather(sent(one, a_message()), sent(other, a_message()))

        version = await decide(identities[0], before["person_id"], messages=DENIED)
        await asyncio.sleep(STALE_SECONDS)

        for gateway in (one, other) * 5:
            event = await event_of(gateway, await sent(gateway, a_message()))
            assert "text" not in event["content"]
            assert event["consent_version"] == version


async def test_with_the_listener_alive_a_decision_counts_at_once(stack: Stack, identities):
    async with stack.gateway() as gateway:
        person = (await sent(gateway, a_message()))["person_id"]

        async def is_kept() -> bool:
            event = await event_of(gateway, await sent(gateway, a_message()))
            return "text" in event["content"]

        assert await is_kept()
        for state, kept in ((DENIED, False), (GRANTED, True), (DENIED, False)):
            await decide(identities[1], person, messages=state)

            async def counts(kept: bool = kept) -> bool:
                return await is_kept() is kept

            await eventually(counts, seconds=STALE_SECONDS + SLACK_SECONDS)


async def test_search_leaves_out_whoever_denies_knowledge_now(stack: Stack, identities):
    async with stack.gateway() as gateway:
        body = a_message(text="The lighthouse keeper hides the spare key under a blue flower pot.")
        answer = await sent(gateway, body)
        query = {"query": "lighthouse keeper", "at_least": answer["knowledge"]["index_token"]}
        if isinstance(query["at_least"], str):
            query["at_least"] = [query["at_least"]]

        async def hits() -> int:
            found = await gateway.post("/v1/search", json=query)
            assert found.status_code == 200, found.text
            return len(found.json()["hits"])

        assert await hits() == 1
        await decide(identities[0], answer["person_id"], knowledge=DENIED)

        async def is_hidden() -> bool:
            return await hits() == 0

        await eventually(is_hidden, seconds=STALE_SECONDS + SLACK_SECONDS)
        await decide(identities[1], answer["person_id"], knowledge=GRANTED)
        await eventually(lambda: hits(), seconds=STALE_SECONDS + SLACK_SECONDS)


async def test_of_two_who_are_merged_the_stricter_counts_for_both_and_only_meanwhile(
    stack: Stack, identities
):
    identity = identities[0]
    async with stack.gateway() as gateway:
        ada = await sent(gateway, a_message(sender_id="ada"))
        bob = await sent(gateway, a_message(sender_id="bob"))
        await decide(identity, bob["person_id"], messages=DENIED)
        await identity.MergePersons(
            pb.MergePersonsRequest(
                source_person_id=bob["person_id"], target_person_id=ada["person_id"]
            )
        )

        async def keeps(sender: str) -> bool:
            event = await event_of(gateway, await sent(gateway, a_message(sender_id=sender)))
            return "text" in event["content"]

        async def keeps_nothing() -> bool:
            return not await keeps("ada") and not await keeps("bob")

        await eventually(keeps_nothing, seconds=STALE_SECONDS + SLACK_SECONDS)
        await identity.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=bob["person_id"]))

        async def keeps_what_ada_says() -> bool:
            return await keeps("ada") and not await keeps("bob")

        await eventually(keeps_what_ada_says, seconds=STALE_SECONDS + SLACK_SECONDS)
