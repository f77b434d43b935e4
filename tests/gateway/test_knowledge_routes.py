"""/v1/knowledge and /v1/namespaces: items kept, read, listed, changed and deleted directly."""

from typing import Any

import httpx
import pytest

from svckit import ids
from tests.support.messages import Body, a_message, fields, problem, sent

NOTE = {"content": "She is allergic to peanuts.", "namespace": "profiles", "metadata": {"a": 1}}


async def keep(client: httpx.AsyncClient, **body: Any) -> Body:
    answer = await client.post("/v1/knowledge", json={**NOTE, **body})
    assert answer.status_code in (200, 201), answer.text
    kept: Body = answer.json()
    return kept


async def get(client: httpx.AsyncClient, knowledge_id: str) -> httpx.Response:
    return await client.get(f"/v1/knowledge/{knowledge_id}")


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/knowledge", params=query)
    assert answer.status_code == 200, answer.text
    return [item["content"] for item in answer.json()["items"]]


async def test_what_is_kept_comes_back_as_it_was_given(gateway: httpx.AsyncClient):
    person = (await sent(gateway, a_message()))["person_id"]

    answer = await gateway.post(
        "/v1/knowledge",
        json={**NOTE, "person_id": person, "occurred_at": "2026-03-01T09:30:00Z"},
    )
    kept = answer.json()
    item = await get(gateway, kept["knowledge_id"])

    assert (answer.status_code, kept["outcome"]) == (201, "created")
    body = item.json()
    expected = {
        **NOTE, "knowledge_id": kept["knowledge_id"], "person_id": person, "platform": None,
        "occurred_at": "2026-03-01T09:30:00Z", "source_event_id": None, "updated_at": None,
        "document_id": None, "group_id": None, "session_id": None,
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected
    assert item.headers["etag"] == f'"{body["etag"]}"'
    found = await gateway.post(
        "/v1/search",
        json={"query": "peanuts", "person_id": person, "at_least": kept["index_token"]},
    )
    assert [hit["content"] for hit in found.json()["hits"]] == [NOTE["content"]]


async def test_somebody_may_be_named_by_their_id_on_a_platform(gateway: httpx.AsyncClient):
    message = a_message()
    person = (await sent(gateway, message))["person_id"]

    kept = await keep(gateway, platform="discord", platform_id=message["sender_id"])

    item = (await get(gateway, kept["knowledge_id"])).json()
    assert (item["person_id"], item["platform"]) == (person, "discord")
    assert NOTE["content"] in await listed(gateway, person_id=person)


async def test_a_retry_is_the_same_request(gateway: httpx.AsyncClient):
    key = {"idempotency-key": "k1"}
    calls = [
        await gateway.post("/v1/knowledge", json=body, headers=key)
        for body in (NOTE, NOTE, {**NOTE, "content": "another"})
    ]

    assert [call.status_code for call in calls] == [201, 200, 409]
    assert calls[0].json()["knowledge_id"] == calls[1].json()["knowledge_id"]
    assert calls[1].json()["outcome"] == "duplicate"
    assert problem(calls[2])["reason"] == "IDEMPOTENCY_CONFLICT"


async def test_an_item_changes_under_its_etag_and_keeps_its_id(gateway: httpx.AsyncClient):
    kept = await keep(gateway)
    path = f"/v1/knowledge/{kept['knowledge_id']}"
    before = (await gateway.get(path)).headers["etag"]

    changed = await gateway.patch(
        path, json={"content": "She outgrew it.", "metadata": {"a": None, "b": 2}},
        headers={"if-match": before},
    )  # fmt: skip
    stale = await gateway.patch(path, json={"content": "x"}, headers={"if-match": before})
    in_body = await gateway.patch(path, json={"content": "x", "etag": before.strip('"')})

    body = changed.json()
    assert changed.status_code == 200, changed.text
    assert (body["knowledge_id"], body["content"], body["metadata"]) == (
        kept["knowledge_id"], "She outgrew it.", {"b": 2}
    )  # fmt: skip
    assert changed.headers["etag"] != before
    assert body["updated_at"] and body["index_token"] != kept["index_token"]
    assert (stale.status_code, problem(stale)["reason"]) == (412, "ETAG_MISMATCH")
    assert (in_body.status_code, problem(in_body)["reason"]) == (409, "ETAG_MISMATCH")


async def test_content_that_is_there_already_names_the_other_item(gateway: httpx.AsyncClient):
    first, second = await keep(gateway), await keep(gateway, content="something else")

    answer = await gateway.patch(
        f"/v1/knowledge/{second['knowledge_id']}", json={"content": NOTE["content"]}
    )

    assert answer.status_code == 409
    assert problem(answer)["reason"] == "CONTENT_TAKEN"
    assert problem(answer)["knowledge_id"] == first["knowledge_id"]


async def test_a_deleted_item_is_gone_for_good(gateway: httpx.AsyncClient):
    knowledge_id = ids.new()
    await keep(gateway, knowledge_id=knowledge_id)
    path = f"/v1/knowledge/{knowledge_id}"

    answers = [(await gateway.delete(path)).json() for _ in range(2)]
    again = await gateway.post("/v1/knowledge", json={**NOTE, "knowledge_id": knowledge_id})

    assert answers == [{"deleted": True}, {"deleted": False}]
    assert (again.status_code, again.json()["outcome"]) == (200, "deleted")
    assert again.json()["index_token"] is None
    gone = await get(gateway, knowledge_id)
    assert (gone.status_code, problem(gone)["reason"]) == (404, "KNOWLEDGE_NOT_FOUND")


@pytest.fixture
async def person(gateway: httpx.AsyncClient) -> str:
    """Somebody of whom four things are known, on two shelves."""
    person = str((await sent(gateway, a_message(store_as_knowledge=False)))["person_id"])
    for n in range(4):
        await keep(
            gateway, content=f"note {n}", person_id=person, namespace="ab"[n % 2],
            occurred_at=f"2026-01-0{n + 1}T00:00:00Z",
        )  # fmt: skip
    await keep(gateway, content="of nobody", namespace="c", session_id=ids.named("s"))
    return person


async def test_items_are_listed_newest_first_in_pages(gateway: httpx.AsyncClient, person: str):
    seen: list[str] = []
    query: dict[str, Any] = {"person_id": person, "page_size": 3}
    while True:
        page = (await gateway.get("/v1/knowledge", params=query)).json()
        seen += [item["content"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        query["page_token"] = page["next_page_token"]

    assert seen == ["note 3", "note 2", "note 1", "note 0"]
    assert await listed(gateway, person_id=person, namespace=["b"]) == ["note 3", "note 1"]
    assert await listed(
        gateway, **{"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
    ) == ["note 1"]
    assert await listed(gateway, session_id=ids.named("s")) == ["of nobody"]
    assert await listed(gateway, group_id=ids.new()) == []
    assert await listed(gateway, person_id=person, page_size=10**20) == seen


async def test_namespaces_come_with_counts(gateway: httpx.AsyncClient, person: str):
    everybody = (await gateway.get("/v1/namespaces")).json()
    theirs = (await gateway.get("/v1/namespaces", params={"person_id": person})).json()
    paged = (await gateway.get("/v1/namespaces", params={"page_size": 1})).json()

    def counts(body: Body) -> dict[str, int]:
        return {one["namespace"]: one["items"] for one in body["namespaces"]}

    assert counts(everybody) == {"a": 2, "b": 2, "c": 1}
    assert counts(theirs) == {"a": 2, "b": 2}
    assert theirs["namespaces"][0]["last_occurred_at"] == "2026-01-03T00:00:00Z"
    assert counts(paged) == {"a": 2} and paged["next_page_token"]


async def test_whoever_denies_knowledge_is_kept_nothing_of_and_not_listed(
    gateway: httpx.AsyncClient,
):
    person = (await sent(gateway, a_message(sender_id="shy")))["person_id"]
    await keep(gateway, person_id=person)
    denial = {"platform": "discord", "platform_id": "shy", "consent": {"knowledge": "denied"}}
    await gateway.post("/v1/register", json=denial)

    refused = await gateway.post("/v1/knowledge", json={**NOTE, "person_id": person})

    assert (refused.status_code, problem(refused)["reason"]) == (403, "CONSENT_DENIED")
    assert await listed(gateway, person_id=person) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({**NOTE, "namespace": "a b"}, "namespace"),
        ({**NOTE, "metadata": {"n": 2**60}}, "metadata.n"),
        ({**NOTE, "knowledge_id": "x"}, "knowledge_id"),
        ({**NOTE, "person_id": ids.new(), "platform_id": "1", "platform": "d"}, "platform_id"),
        ({**NOTE, "platform_id": "1"}, "platform"),
        ({**NOTE, "session_id": "bar"}, "platform"),
        ({**NOTE, "occurred_at": "yesterday"}, "occurred_at"),
        ({**NOTE, "extra": 1}, "extra"),
    ],
)
async def test_bad_items_name_the_field(gateway: httpx.AsyncClient, body: Body, field: str):
    answer = await gateway.post("/v1/knowledge", json=body)

    assert answer.status_code == 400
    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("patch", "field"),
    [({}, "content"), ({"content": ""}, "content"), ({"metadata": {"b": "y" * 9000}}, "metadata")],
)
async def test_bad_changes_name_the_field(gateway: httpx.AsyncClient, patch: Body, field: str):
    kept = await keep(gateway, metadata={"a": "x" * 9000})

    answer = await gateway.patch(f"/v1/knowledge/{kept['knowledge_id']}", json=patch)

    assert answer.status_code == 400
    assert fields(answer) == [field]


async def test_nobody_unknown_is_written_about(gateway: httpx.AsyncClient):
    by_id = await gateway.post("/v1/knowledge", json={**NOTE, "person_id": ids.new()})
    by_link = await gateway.post(
        "/v1/knowledge", json={**NOTE, "platform": "discord", "platform_id": "nobody"}
    )

    assert (by_id.status_code, problem(by_id)["reason"]) == (404, "PERSON_NOT_FOUND")
    assert (by_link.status_code, problem(by_link)["reason"]) == (404, "LINK_NOT_FOUND")
