"""A database that is gone is said to be gone, at once; when it is back, so is everything."""

import asyncio

import httpx

from tests.support.messages import a_message, eventually, problem, sent, timeline
from tests.support.switch import Switch, switch

__all__ = ["switch"]


async def test_everything_says_so_without_hanging_and_comes_back_by_itself(
    gateway: httpx.AsyncClient, switch: Switch
):
    before = a_message()
    person = (await sent(gateway, before))["person_id"]
    lost = a_message(text="This one has to be sent again, and is there once.")
    await switch.off()

    async with asyncio.timeout(8):
        answers = [
            await gateway.post("/v1/messages", json=lost),
            await gateway.post("/v1/register", json={"platform": "web", "platform_id": "new"}),
            await gateway.get(f"/v1/persons/{person}/timeline"),
            await gateway.post("/v1/search", json={"query": "anything"}),
        ]
    await switch.on()

    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert problem(answer)["reason"] == "STORE_UNAVAILABLE"
        assert int(answer.headers["retry-after"]) >= 1

    async def accepted() -> bool:
        return (await gateway.post("/v1/messages", json=lost)).is_success

    await eventually(accepted)
    events = await timeline(gateway, person, event_type="message")
    assert [event["content"]["text"] for event in events] == [lost["text"], before["text"]]
