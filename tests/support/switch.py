"""Takes a test's database away, and gives it back."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.cluster import Cluster, Database


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
