"""Registering people, asking for them, changing them, linking them."""

import asyncio

import httpx
import pytest

from svckit import ids
from tests.support.messages import a_message, fields, problem, sent, timeline

NOBODY = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"
ADA = {"platform": "telegram", "platform_id": "Ada"}


async def registered(client: httpx.AsyncClient, **changes: object) -> str:
    answer = await client.post("/v1/register", json={**ADA, **changes})
    assert answer.is_success, answer.text
    return str(answer.json()["person_id"])


async def test_registering_makes_a_person_known_and_logs_it(gateway: httpx.AsyncClient):
    consent = {"messages": "granted", "analytics": "denied", "surveys": "unset"}
    body = {**ADA, "metadata": {"name": "Ada"}, "consent": consent}

    first = await gateway.post("/v1/register", json=body)
    second = await gateway.post("/v1/register", json=body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["created"] and not second.json()["created"]
    assert second.json() == {**first.json(), "created": False}
    assert first.json()["event_id"] == ids.derived(first.json()["link_id"], "registration")
    [event] = await timeline(gateway, first.json()["person_id"])
    assert event["event_id"] == first.json()["event_id"]
    assert event["event_type"] == "registration"
    assert event["content"] == {"platform_id": "ada"}


async def test_registering_at_once_makes_one_person(gateway: httpx.AsyncClient):
    answers = await asyncio.gather(*(gateway.post("/v1/register", json=ADA) for _ in range(50)))

    assert len({answer.json()["person_id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len(await timeline(gateway, answers[0].json()["person_id"])) == 1


async def test_a_platform_id_leads_to_its_person(gateway: httpx.AsyncClient):
    person_id = await registered(gateway, consent={"messages": "granted"})

    answer = await gateway.get("/v1/resolve?platform=TELEGRAM&platform_id=@ada")

    assert answer.status_code == 200
    assert answer.json()["person_id"] == person_id
    assert answer.json()["platform_id"] == "ada"
    assert answer.json()["consent"] == {"purposes": {"messages": "granted"}, "version": 1}


async def test_an_unknown_platform_id_leads_to_nobody(gateway: httpx.AsyncClient):
    answer = await gateway.get("/v1/resolve?platform=telegram&platform_id=nobody")

    assert answer.status_code == 404
    assert problem(answer)["reason"] == "LINK_NOT_FOUND"
    assert problem(answer)["platform_id"] == "nobody"


async def test_a_person_can_be_read(gateway: httpx.AsyncClient):
    person_id = await registered(gateway, metadata={"name": "Ada", "n": 1})

    answer = await gateway.get(f"/v1/persons/{person_id.upper()}")

    assert answer.status_code == 200
    person = answer.json()
    assert person["person_id"] == person_id
    assert person["metadata"] == {"name": "Ada", "n": 1}
    assert person["consent"] == {"purposes": {}, "version": 0}
    assert person["created_at"].endswith("Z")
    assert answer.headers["etag"] == f'"{person["etag"]}"'


@pytest.mark.parametrize("path", ["", "/timeline", "/links"])
async def test_nobody_is_not_found(gateway: httpx.AsyncClient, path: str):
    answer = await gateway.get(f"/v1/persons/{NOBODY}{path}")

    assert answer.status_code == 404
    assert problem(answer)["reason"] == "PERSON_NOT_FOUND"
    assert problem(answer)["person_id"] == NOBODY


async def test_metadata_is_changed_by_merge_patch(gateway: httpx.AsyncClient):
    person_id = await registered(gateway, metadata={"name": "Ada", "likes": {"jazz": 1, "tea": 2}})
    patch = {"metadata": {"name": None, "likes": {"tea": None, "code": 3}, "age": 36}}

    answer = await gateway.patch(
        f"/v1/persons/{person_id}",
        json=patch,
        headers={"content-type": "application/merge-patch+json"},
    )

    assert answer.status_code == 200
    assert answer.json()["metadata"] == {"likes": {"jazz": 1, "code": 3}, "age": 36}


async def test_a_change_of_what_has_changed_meanwhile_is_refused(gateway: httpx.AsyncClient):
    person_id = await registered(gateway)
    path = f"/v1/persons/{person_id}"
    stale = (await gateway.get(path)).headers["etag"]
    changed = await gateway.patch(path, json={"metadata": {"a": 1}}, headers={"if-match": stale})

    by_header = await gateway.patch(path, json={"metadata": {"a": 2}}, headers={"if-match": stale})
    by_body = await gateway.patch(path, json={"metadata": {"a": 2}, "etag": stale.strip('"')})
    by_any = await gateway.patch(path, json={"metadata": {"a": 3}}, headers={"if-match": "*"})

    assert changed.status_code == 200
    assert (by_header.status_code, by_body.status_code) == (412, 409)
    assert problem(by_header)["reason"] == problem(by_body)["reason"] == "ETAG_MISMATCH"
    assert by_any.json()["metadata"] == {"a": 3}


@pytest.mark.parametrize("etag", ["", " ", '""', 'W/""'])
async def test_a_condition_without_an_etag_is_no_leave_to_change(
    gateway: httpx.AsyncClient, etag: str
):
    path = f"/v1/persons/{await registered(gateway)}"

    answer = await gateway.patch(path, json={"metadata": {"a": 1}}, headers={"if-match": etag})

    assert fields(answer) == ["If-Match"]
    assert (await gateway.get(path)).json()["metadata"] == {}


async def test_metadata_that_would_grow_too_large_is_refused(gateway: httpx.AsyncClient):
    person_id = await registered(gateway, metadata={"a": "x" * 10_000})

    answer = await gateway.patch(f"/v1/persons/{person_id}", json={"metadata": {"b": "x" * 10_000}})

    assert fields(answer) == ["metadata"]


async def test_a_person_may_have_many_ids(gateway: httpx.AsyncClient):
    person_id = await registered(gateway)
    path = f"/v1/persons/{person_id}/links"
    new = {"platform": "whatsapp", "platform_id": "351910000000", "verified": True}

    first = await gateway.post(path, json=new)
    second = await gateway.post(path, json=new)
    links = (await gateway.get(path)).json()

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["created"] and first.json()["verified"]
    assert second.json() == {**first.json(), "created": False}
    assert [link["platform"] for link in links["links"]] == ["telegram", "whatsapp"]
    assert links["links"][1] == {
        k: v for k, v in first.json().items() if k not in ("created", "merge")
    }
    assert links["next_page_token"] is None


async def test_links_come_in_pages(gateway: httpx.AsyncClient):
    person_id = await registered(gateway)
    path = f"/v1/persons/{person_id}/links"
    for number in range(4):
        await gateway.post(path, json={"platform": "web", "platform_id": f"{number}"})

    first = (await gateway.get(path, params={"page_size": 3})).json()
    token = {"page_size": 3, "page_token": first["next_page_token"]}
    second = (await gateway.get(path, params=token)).json()
    foreign = await gateway.get(f"/v1/persons/{person_id}/timeline", params=token)

    platform_ids = [link["platform_id"] for page in (first, second) for link in page["links"]]
    assert platform_ids == ["ada", "0", "1", "2", "3"]
    assert second["next_page_token"] is None
    assert fields(foreign) == ["page_token"]


async def test_an_id_of_somebody_else_cannot_be_linked(gateway: httpx.AsyncClient):
    ada = await registered(gateway)
    await registered(gateway, platform_id="grace")

    answer = await gateway.post(
        f"/v1/persons/{ada}/links", json={"platform": "telegram", "platform_id": "grace"}
    )

    assert answer.status_code == 409
    assert problem(answer)["reason"] == "LINK_TAKEN"


async def test_what_comes_over_any_of_their_ids_is_one_past(gateway: httpx.AsyncClient):
    person_id = await registered(gateway)
    await gateway.post(
        f"/v1/persons/{person_id}/links", json={"platform": "discord", "platform_id": "ada"}
    )

    answers = [
        await sent(gateway, a_message(platform="telegram", sender_id="ada")),
        await sent(gateway, a_message(platform="discord", sender_id="ada")),
    ]

    assert {answer["person_id"] for answer in answers} == {person_id}
    messages = await timeline(gateway, person_id, event_type="message")
    assert [event["platform"] for event in messages] == ["discord", "telegram"]


async def test_too_many_purposes_of_a_person_are_refused_by_name(gateway: httpx.AsyncClient):
    person_id = await registered(gateway)
    for start in range(0, 256, 64):
        some = {f"p{n}": "granted" for n in range(start, start + 64)}
        await gateway.patch(f"/v1/persons/{person_id}/consent", json={"purposes": some})
    one_more = {"one-more": "granted"}

    changed = await gateway.patch(f"/v1/persons/{person_id}/consent", json={"purposes": one_more})
    again = await gateway.post("/v1/register", json={**ADA, "consent": one_more})

    assert fields(changed) == ["purposes"]
    assert fields(again) == ["consent"]
    kept = await gateway.get(f"/v1/persons/{person_id}/consent")
    assert len(kept.json()["purposes"]) == 256
