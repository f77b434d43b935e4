"""Ids that turn out to be one person's, and ids that change hands, seen through the timeline."""

from typing import Any

import grpc
import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from tests.support.messages import a_message, eventually, sent, texts, timeline
from tests.support.services import channel_to
from tests.support.stack import Stack

PHONE = "4915112345678@s.whatsapp.net"
SAME_PHONE = "+49 1511 2345678"
LID = "98765432109876@lid"


@pytest.fixture
async def identity(stack: Stack) -> Any:
    """The identity service itself: the caller who has the proof."""
    async with channel_to(stack.target("identity").removeprefix("ipv4:")) as channel:
        yield IdentityServiceStub(channel)


async def says(gateway: Any, sender: str, text: str) -> Any:
    """A WhatsApp message."""
    return await sent(gateway, a_message(platform="whatsapp", sender_id=sender, text=text))


@pytest.mark.parametrize(("first", "second"), [(PHONE, LID), (LID, PHONE)])
async def test_phone_and_lid_become_one_person_with_one_timeline(gateway, identity, first, second):
    one = await says(gateway, first, "One message before anybody knows that we are one.")
    two = await says(gateway, second, "Two messages, and the second under another id.")
    three = await says(gateway, first, "Three messages, the last before we are joined.")
    assert one["person_id"] != two["person_id"]

    joined = await identity.LinkIdentity(
        pb.LinkIdentityRequest(
            person_id=one["person_id"], platform="whatsapp", platform_id=second, verified=True
        )
    )
    again = await identity.LinkIdentity(
        pb.LinkIdentityRequest(
            person_id=one["person_id"], platform="whatsapp", platform_id=second, verified=True
        )
    )

    assert joined.merge.source_person_id == two["person_id"]
    assert not again.HasField("merge")
    for person in (one["person_id"], two["person_id"]):
        events = await timeline(gateway, person, order="asc", event_type="message")
        assert [event["event_id"] for event in events] == [
            message["event_id"] for message in (one, two, three)
        ]

    async def is_one() -> bool:
        answer = await gateway.get(
            "/v1/resolve", params={"platform": "whatsapp", "platform_id": second}
        )
        return bool(answer.json()["person_id"] == one["person_id"])

    await eventually(is_one, seconds=3)
    four = await says(gateway, second, "Four messages, and now everybody knows.")
    assert four["person_id"] == one["person_id"]
    assert len(await texts(gateway, two["person_id"])) == 4


async def test_the_spellings_of_a_phone_number_are_one_account(gateway):
    one = await says(gateway, PHONE, "A number as the network writes it, quite long.")
    two = await says(gateway, SAME_PHONE, "The same number as a person writes it down.")

    assert one["person_id"] == two["person_id"]
    assert len(await texts(gateway, one["person_id"])) == 2


async def test_a_recycled_number_shows_each_owner_only_their_own_time(gateway, identity):
    earlier = await says(gateway, PHONE, "The first owner of the number says something.")
    [link] = (await gateway.get(f"/v1/persons/{earlier['person_id']}/links")).json()["links"]
    await identity.UnlinkIdentity(
        pb.UnlinkIdentityRequest(person_id=earlier["person_id"], link_id=link["link_id"])
    )
    owner = (await identity.CreatePerson(pb.CreatePersonRequest())).person.person_id
    linked = await identity.LinkIdentity(
        pb.LinkIdentityRequest(person_id=owner, platform="whatsapp", platform_id=PHONE)
    )
    assert linked.created and linked.link.link_id != link["link_id"]

    async def has_moved() -> bool:
        answer = await gateway.get(
            "/v1/resolve", params={"platform": "whatsapp", "platform_id": PHONE}
        )
        return bool(answer.json()["person_id"] == owner)

    await eventually(has_moved, seconds=3)
    later = await says(gateway, SAME_PHONE, "The second owner of the number says something else.")

    assert later["person_id"] == owner
    assert await texts(gateway, owner) == ["The second owner of the number says something else."]
    assert await texts(gateway, earlier["person_id"]) == [
        "The first owner of the number says something."
    ]


async def test_without_proof_nobody_learns_who_holds_an_id(gateway, identity):
    holder = await says(gateway, PHONE, "The number is mine and nobody else's, thank you.")
    other = (await identity.CreatePerson(pb.CreatePersonRequest())).person.person_id

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await identity.LinkIdentity(
            pb.LinkIdentityRequest(person_id=other, platform="whatsapp", platform_id=SAME_PHONE)
        )

    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    said = str(refused.value.details()) + str(refused.value.trailing_metadata())
    assert holder["person_id"] not in said
