"""What is allowed at the very limits comes through all the services as it was sent."""

import httpx
import pytest

from tests.support.messages import a_message, sent, timeline

TEXT_BYTES = 32 << 10
METADATA_BYTES = 16 << 10


@pytest.mark.parametrize(
    "filler",
    ["y", '"', "\x01", "漢", "🙂", "ش"],
    ids=["plain", "quotes", "control", "zh", "emoji", "ar"],
)
async def test_the_longest_text_is_stored_and_found_as_it_is(
    gateway: httpx.AsyncClient, filler: str
):
    word = "lighthouse "
    text = word + filler * ((TEXT_BYTES - len(word)) // len(filler.encode()))

    answer = await sent(gateway, a_message(text=text, store_as_knowledge=True))

    event, *_ = await timeline(gateway, answer["person_id"], event_type="message")
    search = {"query": "lighthouse", "at_least": answer["knowledge"]["index_token"]}
    found = (await gateway.post("/v1/search", json=search)).json()
    assert event["content"]["text"] == text
    assert [hit["content"] for hit in found["hits"]] == [text]


async def test_the_largest_metadata_is_kept(gateway: httpx.AsyncClient):
    metadata = {"note": "x" * (METADATA_BYTES - len('{"note":""}'))}

    answer = await sent(gateway, a_message(metadata=metadata))

    event, *_ = await timeline(gateway, answer["person_id"], event_type="message")
    assert event["metadata"]["note"] == metadata["note"]
