"""Every process is killed under load, again and again: what was acknowledged is there, once."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.up import RunningKith, kith_up, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

KILLS_EACH = 5
IN_FLIGHT = 64
PROCESSES = ("identity", "event", "knowledge", "gateway", "postgres")
MESSAGES_A_PERSON = 12


@pytest.fixture(scope="module")
def kith(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKith]:
    with kith_up(tmp_path_factory.mktemp("crashes") / "home") as running:
        yield running


@dataclass
class Journal:
    """What was acknowledged, kept outside of the system: event id by message, and people."""

    file: Path
    events: dict[str, str] = field(default_factory=dict)
    persons: dict[str, str] = field(default_factory=dict)
    in_flight: int = 0

    def acknowledge(self, sender: str, text: str, answer: dict[str, Any]) -> None:
        with self.file.open("a") as lines:
            lines.write(json.dumps([sender, text, answer["event_id"]]) + "\n")
        assert self.persons.setdefault(sender, answer["person_id"]) == answer["person_id"]
        self.events[text] = answer["event_id"]


async def send(client: httpx.AsyncClient, journal: Journal, number: int) -> None:
    """Send one message until it is acknowledged; each retry is the same request."""
    sender = f"sender-{number // MESSAGES_A_PERSON}"
    text = f"Remember the word kw{number}x for later, please."
    body = {
        "platform": "web",
        "sender_id": sender,
        "text": text,
        "message_id": str(number),
        "store_as_knowledge": True,
    }
    journal.in_flight += 1
    try:
        while True:
            try:
                answer = await client.post("/v1/messages", json=body)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.is_success:
                journal.acknowledge(sender, text, answer.json())
                return
            assert answer.status_code in {429, 503, 504}, answer.text
            await asyncio.sleep(0.05)
    finally:
        journal.in_flight -= 1


async def test_what_was_acknowledged_survives_kills_of_every_process(
    kith: RunningKith, tmp_path: Path
):
    journal = Journal(tmp_path / "journal")

    await kill_and_check(kith, journal, kills_each=KILLS_EACH)

    assert len(journal.events) > IN_FLIGHT * KILLS_EACH


async def kill_and_check(kith: RunningKith, journal: Journal, *, kills_each: int) -> None:
    """Kill every process in turn under load, then compare everything with the journal."""
    numbers = itertools.count()
    stop = asyncio.Event()

    async def keep_sending(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            await send(client, journal, next(numbers))

    async with client_of(kith) as client:
        senders = [asyncio.create_task(keep_sending(client)) for _ in range(IN_FLIGHT)]
        for name in PROCESSES * kills_each:
            await kill_under_load(kith, name, journal)
        stop.set()
        await asyncio.gather(*senders)

        await check_timelines(client, journal)
        await check_search(client, journal)


async def kill_under_load(kith: RunningKith, name: str, journal: Journal) -> None:
    """Kill one process with calls in flight, and wait until messages are acknowledged again."""
    await eventually(lambda: journal.in_flight >= 50)
    old = kith.kill(name)
    await eventually(lambda: kith.pid(name) not in {0, old})
    acknowledged = len(journal.events)
    await eventually(lambda: len(journal.events) >= acknowledged + IN_FLIGHT)


async def check_timelines(client: httpx.AsyncClient, journal: Journal) -> None:
    """Each acknowledged message stands in its timeline once, each registration once."""
    seen: Counter[str] = Counter()
    for sender, person_id in journal.persons.items():
        events = await timeline(client, person_id)
        kinds = Counter(event["event_type"] for event in events)
        assert kinds["registration"] == 1, (sender, kinds)
        positions = [event["position"] for event in events]
        assert positions == sorted(set(positions), reverse=True)
        seen.update(event["event_id"] for event in events)

    assert set(journal.events.values()) <= set(seen)
    assert max(seen.values()) == 1


async def timeline(client: httpx.AsyncClient, person_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = await client.get(
            f"/v1/persons/{person_id}/timeline", params={"page_size": 5, "page_token": token}
        )
        answer.raise_for_status()
        page = answer.json()
        events += page["events"]
        token = page.get("next_page_token") or ""
        if not token:
            return events


async def check_search(client: httpx.AsyncClient, journal: Journal) -> None:
    """Each acknowledged message is found by its own word, once catch-up has been through."""
    bound = asyncio.Semaphore(16)

    async def finds(text: str, event_id: str) -> bool:
        async with bound:
            body = {"query": text.split()[3], "mode": "keyword", "limit": 3}
            answer = await client.post("/v1/search", json=body)
            answer.raise_for_status()
            return [hit["source_event_id"] for hit in answer.json()["hits"]] == [event_id]

    left = dict(journal.events)
    async with asyncio.timeout(90):
        while left:
            found = await asyncio.gather(*(finds(*item) for item in left.items()))
            left = {
                t: e for (t, e), is_there in zip(left.items(), found, strict=True) if not is_there
            }
            await asyncio.sleep(0.2 if left else 0)


async def test_a_clean_stop_leaves_no_process(tmp_path: Path):
    with kith_up(tmp_path / "home") as running:
        pids = [running.pid(name) for name in PROCESSES]
        status = running.stop()

    assert status == 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), seconds=5)


def client_of(kith: RunningKith) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=kith.gateway,
        timeout=20,
        limits=httpx.Limits(max_connections=IN_FLIGHT * 2),
        trust_env=False,
    )


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
