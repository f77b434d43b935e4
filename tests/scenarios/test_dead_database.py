"""A database that is gone is said to be gone, at once; when it is back, so is everything."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from tests.support.cluster import Cluster, Database
from tests.support.messages import a_message, eventually, problem, sent, timeline


class Switch:
    """Takes a database away from everybody, and gives it back."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._url = cluster.postgres.url(role="postgres", database="postgres")
        self._name = name

    async def off(self) -> None:
        """End all connections and let nobody in."""
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        await self._execute(
            f"""SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE datname = '{self._name}'"""
        )

    async def on(self) -> None:
        """Let everybody in again."""
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute(statement)
        await connection.close()


@pytest.fixture
async def switch(cluster: Cluster, database: Database) -> AsyncIterator[Switch]:
    found = Switch(cluster, database.name)
    yield found
    await found.on()


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
