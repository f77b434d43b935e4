"""A hundred first messages of somebody unknown, at once, through several gateways and replicas."""

import asyncio

from tests.support.messages import a_message, sent, timeline
from tests.support.stack import Stack


async def test_they_make_one_person_one_link_and_one_registration(stack: Stack):
    await stack.add_replica("identity")
    bodies = [a_message(sender_id="somebody new") for _ in range(100)]

    async with stack.gateway() as one, stack.gateway() as other:
        answers = await asyncio.gather(
            *(sent((one, other)[n % 2], body) for n, body in enumerate(bodies))
        )
        again = await asyncio.gather(
            *(sent((other, one)[n % 2], body, 200) for n, body in enumerate(bodies))
        )

        [person] = {answer["person_id"] for answer in answers}
        links = (await one.get(f"/v1/persons/{person}/links")).json()["links"]
        events = await timeline(other, person, order="asc", page_size=30)

    assert len(links) == 1
    assert [event["event_type"] for event in events] == ["registration", *["message"] * 100]
    assert {event["link_id"] for event in events} == {links[0]["link_id"]}
    assert {event["content"]["text"] for event in events[1:]} == {body["text"] for body in bodies}
    assert again == [{**answer, "duplicate": True} for answer in answers]


async def test_the_same_message_at_once_is_logged_once(stack: Stack):
    body = a_message()

    async with stack.gateway() as one, stack.gateway() as other:
        answers = await asyncio.gather(
            *((one, other)[n % 2].post("/v1/messages", json=body) for n in range(40))
        )
        person = answers[0].json()["person_id"]
        events = await timeline(one, person, event_type="message")

    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [201]
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    assert len({answer.json()["position"] for answer in answers}) == 1
    assert len(events) == 1


async def test_two_messages_under_one_id_at_once_are_a_conflict_for_one(stack: Stack):
    body = a_message()

    async with stack.gateway() as one, stack.gateway() as other:
        answers = await asyncio.gather(
            *(
                client.post("/v1/messages", json={**body, "text": f"What {n} says is different."})
                for n, client in enumerate((one, other) * 5)
            )
        )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_a_replica_that_goes_away_is_not_missed(stack: Stack):
    await stack.add_replica("identity")

    async with stack.gateway() as client:
        await sent(client, a_message())
        await stack.stop_replica("identity", 0)
        for _ in range(10):
            await sent(client, a_message())
