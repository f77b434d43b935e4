"""/v1/persons/{id}/memories: by key, with history, found again; merges and consent."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.messages import Body, eventually, fields, problem
from tests.support.stack import Stack

NOBODY = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f3f"
ODD_KEYS = [
    "a/b",
    "versions",
    "a/versions",
    "search",
    "naïve 🍜",
    "50%",
    "?q=1#x",
    " ",
    "a+b",
    "..x",
]


async def registered(gateway: httpx.AsyncClient, platform_id: str, **consent: str) -> str:
    body = {"platform": "telegram", "platform_id": platform_id, "consent": consent}
    answer = await gateway.post("/v1/register", json=body)
    return str(answer.json()["person_id"])


@pytest.fixture
async def ada(gateway: httpx.AsyncClient) -> str:
    return await registered(gateway, "ada")


@pytest.fixture
async def bob(gateway: httpx.AsyncClient) -> str:
    return await registered(gateway, "bob")


def path(person_id: str, key: str | None = None) -> str:
    base = f"/v1/persons/{person_id}/memories"
    return base if key is None else f"{base}/{quote(key, safe='')}"


async def put(
    gateway: httpx.AsyncClient, person_id: str, key: str, value: str, **more: Any
) -> Body:
    answer = await gateway.put(path(person_id, key), json={"value": value, **more})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def value(gateway: httpx.AsyncClient, person_id: str, key: str = "food") -> str | None:
    answer = await gateway.get(path(person_id, key))
    return answer.json()["value"] if answer.is_success else None


async def test_what_is_posted_is_read_changed_found_and_forgotten(
    gateway: httpx.AsyncClient, ada: str
):
    memory = {
        "key": "food", "value": "ramen with a soft egg", "category": "taste", "importance": 0.8,
        "metadata": {"since": 2019}, "source_event_id": NOBODY,
        "occurred_at": "2026-03-01T09:30:00Z",
    }  # fmt: skip
    body = {"memories": [memory, {"key": "pet", "value": "a cat called Turing"}]}

    made = await gateway.post(path(ada), json=body)
    again = await gateway.post(path(ada), json=body)
    changed = await gateway.put(path(ada, "food"), json={"value": "pho", "importance": None})

    assert [answer.status_code for answer in (made, again, changed)] == [201, 200, 200]
    food, pet = made.json()["memories"]
    assert {name: food[name] for name in memory} == memory
    assert (food["person_id"], food["version"], food["changed"]) == (ada, 1, True)
    assert food["index_token"] and pet["importance"] == 0.5
    assert [(m["changed"], m["index_token"]) for m in again.json()["memories"]] == [
        (False, None)
    ] * 2
    assert (changed.json()["version"], changed.json()["importance"]) == (2, 0.8)

    found = await gateway.post(
        f"{path(ada)}/search",
        json={"query": "what animals does she have?", "limit": 1, "at_least": pet["index_token"]},
    )
    [hit] = found.json()["hits"]
    assert (hit["key"], found.json()["pending"], found.json()["degraded"]) == ("pet", [], False)

    deleted = await gateway.delete(path(ada, "food"))
    history = await gateway.get(f"{path(ada, 'food')}/versions", params={"page_size": 2})
    rest = await gateway.get(
        f"{path(ada, 'food')}/versions", params={"page_token": history.json()["next_page_token"]}
    )
    assert deleted.json() == {"deleted": True}
    assert await value(gateway, ada) is None
    versions = [*history.json()["versions"], *rest.json()["versions"]]
    assert [(one["version"], one["value"], one["deleted"]) for one in versions] == [
        (3, "", True), (2, "pho", False), (1, "ramen with a soft egg", False),
    ]  # fmt: skip

    purged = await gateway.delete(path(ada, "food"), params={"purge": True})
    emptied = await gateway.get(f"{path(ada, 'food')}/versions")
    assert (purged.json(), emptied.json()["versions"]) == ({"deleted": False}, [])


async def test_a_key_may_be_any_text(stack: Stack, gateway: httpx.AsyncClient, ada: str):
    async with stack.listening() as url, httpx.AsyncClient(base_url=url) as real:
        for client in (gateway, real):
            for key in ODD_KEYS:
                written = await put(client, ada, key, f"of {key}")
                read = await client.get(path(ada, key))
                history = await client.get(f"{path(ada, key)}/versions")

                assert written["key"] == read.json()["key"] == key
                assert history.json()["versions"][0]["value"] == f"of {key}"
        assert (await real.delete(path(ada, "a/b"))).json() == {"deleted": True}

    listed = await gateway.get(path(ada))
    assert {one["key"] for one in listed.json()["memories"]} == {*ODD_KEYS} - {"a/b"}


async def test_a_list_is_ordered_narrowed_and_paged(gateway: httpx.AsyncClient, ada: str):
    memories = [
        {"key": f"k{n}", "value": "v", "importance": n / 4, "category": "odd" if n % 2 else "even"}
        for n in range(5)
    ]
    await gateway.post(path(ada), json={"memories": memories})

    async def keys(**query: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = (await gateway.get(path(ada), params=query)).json()
            found += [one["key"] for one in page["memories"]]
            if page["next_page_token"] is None:
                return found
            query["page_token"] = page["next_page_token"]

    assert await keys(order="importance", page_size=2) == ["k4", "k3", "k2", "k1", "k0"]
    assert await keys(category=["odd"]) == ["k1", "k3"]
    assert await keys(category=["odd", "even"], min_importance=0.5) == ["k2", "k3", "k4"]
    assert await keys(page_size=3) == ["k0", "k1", "k2", "k3", "k4"]


async def test_merged_people_share_and_unmerging_gives_each_their_own_back(
    gateway: httpx.AsyncClient, ada: str, bob: str
):
    await put(gateway, ada, "food", "ramen")
    await put(gateway, bob, "food", "pho")
    await put(gateway, bob, "pet", "a dog")
    merge = {"source_person_id": bob}
    await gateway.post(f"/v1/persons/{ada}/merge", json=merge)

    for person_id in (ada, bob):
        read = (await gateway.get(path(person_id, "food"))).json()
        assert (read["value"], read["person_id"]) == ("ramen", ada)
        assert [(m["value"], m["shadowed_by_person_id"]) for m in read["shadowed"]] == [
            ("pho", ada)
        ]
        assert await value(gateway, person_id, "pet") == "a dog"
        shown = await gateway.get(path(person_id), params={"exclude_shadowed": True})
        assert [one["value"] for one in shown.json()["memories"]] == ["ramen", "a dog"]
    # Written in between: to each who was addressed.
    theirs = await put(gateway, bob, "food", "bread")
    assert (theirs["person_id"], theirs["shadowed_by_person_id"]) == (bob, ada)
    await put(gateway, ada, "home", "Lisbon")
    await put(gateway, bob, "work", "baker")

    await gateway.post(f"/v1/persons/{ada}/unmerge", json=merge)

    assert [await value(gateway, ada, key) for key in ("food", "pet", "home", "work")] == [
        "ramen", None, "Lisbon", None
    ]  # fmt: skip
    assert [await value(gateway, bob, key) for key in ("food", "pet", "home", "work")] == [
        "bread", "a dog", None, "baker"
    ]  # fmt: skip


async def test_what_one_forgets_nobody_they_are_brings_back(
    gateway: httpx.AsyncClient, ada: str, bob: str
):
    for person_id in (ada, bob):
        await put(gateway, person_id, "food", "ramen")
    await gateway.post(f"/v1/persons/{ada}/merge", json={"source_person_id": bob})

    answer = await gateway.delete(path(ada, "food"))

    assert answer.json() == {"deleted": True}
    assert await value(gateway, ada) is None
    assert await value(gateway, bob) is None


async def test_of_whoever_denies_knowledge_nothing_is_written_or_told(
    gateway: httpx.AsyncClient, ada: str
):
    await put(gateway, ada, "food", "ramen")
    consent = f"/v1/persons/{ada}/consent"
    await gateway.patch(consent, json={"purposes": {"knowledge": "denied"}})

    refused = [
        await gateway.put(path(ada, "pet"), json={"value": "a cat"}),
        await gateway.post(path(ada), json={"memories": [{"key": "pet", "value": "a cat"}]}),
    ]
    read = await gateway.get(path(ada, "food"))
    listed = await gateway.get(path(ada))
    history = await gateway.get(f"{path(ada, 'food')}/versions")
    found = await gateway.post(f"{path(ada)}/search", json={"query": "ramen"})

    assert [(one.status_code, problem(one)["reason"]) for one in refused] == [
        (403, "CONSENT_DENIED")
    ] * 2
    assert (read.status_code, problem(read)["reason"]) == (404, "MEMORY_NOT_FOUND")
    assert (listed.json()["memories"], history.json()["versions"]) == ([], [])
    assert found.json()["hits"] == []
    await gateway.patch(consent, json={"purposes": {"knowledge": "granted"}})
    assert await value(gateway, ada) == "ramen"
    await gateway.patch(consent, json={"purposes": {"knowledge": "denied"}})
    assert (await gateway.delete(path(ada, "food"))).json() == {"deleted": True}


async def test_memories_are_no_strangers_to_the_search_of_everything(
    gateway: httpx.AsyncClient, ada: str
):
    token = (await put(gateway, ada, "food", "ramen"))["index_token"]

    search = {"query": "ramen", "person_id": ada, "at_least": token}
    [hit] = (await gateway.post("/v1/search", json=search)).json()["hits"]

    assert (hit["namespace"], hit["content"]) == ("memories", "food: ramen")


async def test_of_nobody_nothing_is_remembered(gateway: httpx.AsyncClient):
    for answer in (
        await gateway.get(path(NOBODY)),
        await gateway.get(path(NOBODY, "food")),
        await gateway.put(path(NOBODY, "food"), json={"value": "ramen"}),
        await gateway.delete(path(NOBODY, "food")),
    ):
        assert (answer.status_code, problem(answer)["reason"]) == (404, "PERSON_NOT_FOUND")


async def test_many_calls_at_once_are_one_history(gateway: httpx.AsyncClient, ada: str):
    answers = await asyncio.gather(*(put(gateway, ada, "n", f"{n}") for n in range(32)))

    assert sorted(one["version"] for one in answers) == list(range(1, 33))
    last = max(answers, key=lambda one: int(one["version"]))
    assert await value(gateway, ada, "n") == last["value"]


async def test_reads_are_counted(gateway: httpx.AsyncClient, ada: str):
    await put(gateway, ada, "food", "ramen")
    await value(gateway, ada)

    async def is_counted() -> bool:
        listed = (await gateway.get(path(ada))).json()["memories"]
        return bool(listed[0]["access_count"] == 1 and listed[0]["last_accessed_at"])

    await eventually(is_counted)


async def test_what_is_malformed_is_named(gateway: httpx.AsyncClient, ada: str):
    person = ada

    def memories(*given: Body) -> Body:
        return {"memories": list(given)}

    good = {"key": "k", "value": "v"}
    many = memories(*({**good, "key": f"{n}"} for n in range(101)))
    bad: list[tuple[str, str, Body | None, str]] = [
        ("POST", path(person), {}, "memories"),
        ("POST", path(person), memories(), "memories"),
        ("POST", path(person), many, "memories"),
        ("POST", path(person), memories({"key": "", "value": "v"}), "memories[0].key"),
        ("POST", path(person), memories({"key": "k" * 129, "value": "v"}), "memories[0].key"),
        ("POST", path(person), memories({"key": "a\tb", "value": "v"}), "memories[0].key"),
        ("POST", path(person), memories({"key": "..", "value": "v"}), "memories[0].key"),
        ("POST", path(person), memories(good, good), "memories[1].key"),
        ("POST", path(person), memories(good, {"key": "x", "value": ""}), "memories[1].value"),
        ("POST", path(person), memories({**good, "importance": 1.5}), "memories[0].importance"),
        ("POST", path(person), memories({**good, "surprise": 1}), "memories[0].surprise"),
        ("PUT", path(person, "k"), {"value": "é" * 5000}, "value"),
        ("PUT", path(person, "k"), {"value": "v", "category": "c" * 65}, "category"),
        ("PUT", path(person, "k"), {"value": "v", "metadata": {"x": "y" * 17000}}, "metadata"),
        ("PUT", path(person, "k"), {"value": "v", "source_event_id": "e"}, "source_event_id"),
        ("PUT", path(person, "k"), {"value": "v", "occurred_at": "now"}, "occurred_at"),
        ("PUT", path(person, "k" * 129), {"value": "v"}, "key"),
        ("GET", path(person) + "/%FF", None, "key"),
        ("GET", path(person) + "/%00", None, "key"),
        ("GET", path("me"), None, "person_id"),
        ("GET", path(person) + "?order=age", None, "order"),
        ("GET", path(person) + "?min_importance=2", None, "min_importance"),
        ("GET", path(person) + "?page_token=x", None, "page_token"),
        ("GET", path(person) + "?surprise=1", None, "surprise"),
        ("DELETE", path(person, "k") + "?purge=perhaps", None, "purge"),
        ("POST", f"{path(person)}/search", {"query": " "}, "query"),
        ("POST", f"{path(person)}/search", {"query": "q", "limit": 101}, "limit"),
        ("POST", f"{path(person)}/search", {"query": "q", "at_least": ["x"]}, "at_least[0]"),
    ]  # fmt: skip
    for method, url, body, field in bad:
        answer = await gateway.request(method, url, json=body)

        assert answer.status_code == 400, (url, body, answer.text)
        assert fields(answer) == [field], (url, body)
