"""Fixtures that every part of the suite shares."""

from collections.abc import AsyncIterator, Iterator

import pytest

from svckit import sql
from tests.support.cluster import Cluster, Database, running_cluster
from tests.support.postgrest import KEY, Postgrest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of kills, the first step of each kind is a system test, and all the others are long runs."""
    seen = set()
    for item in items:
        if item.get_closest_marker("kills"):
            kind = item.nodeid.partition("[")[0]
            item.add_marker("soak" if kind in seen else "system")
            seen.add(kind)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The session's embedded Postgres."""
    with running_cluster() as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A fresh database with all schemas."""
    with cluster.database() as fresh:
        yield fresh


@pytest.fixture
async def postgrest(database: Database) -> AsyncIterator[Postgrest]:
    """PostgREST's stand-in over the test's database; its URL is `postgrest.url`."""
    stand_in = Postgrest(database.url())
    async with stand_in.running() as stand_in.url:
        yield stand_in


@pytest.fixture
def schema() -> str:
    """The schema whose functions a contract test calls; each module overrides it."""
    pytest.fail("override the fixture `schema` in the module")


@pytest.fixture
async def direct_functions(database: Database, schema: str) -> AsyncIterator[sql.SqlFunctions]:
    """The schema's functions over asyncpg, as the service's login role."""
    async with sql.open_pool(database.url(f"kith_{schema}")) as pool:
        yield sql.AsyncpgFunctions(pool, schema)


@pytest.fixture
async def rest_functions(postgrest: Postgrest, schema: str) -> AsyncIterator[sql.SqlFunctions]:
    """The schema's functions over PostgREST."""
    async with sql.open_rest(postgrest.url, KEY) as client:
        yield sql.RestFunctions(client, schema)


@pytest.fixture(params=["direct", "rest"])
def functions(request: pytest.FixtureRequest) -> sql.SqlFunctions:
    """The schema's functions over each transport in turn: contract tests run on both."""
    chosen: sql.SqlFunctions = request.getfixturevalue(f"{request.param}_functions")
    return chosen
