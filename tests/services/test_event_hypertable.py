"""Where TimescaleDB is installed before anything was logged, the log is a hypertable.

The extension itself is not to be had here. A stand-in of its name has the two functions that the
log calls, over a plain table; so this tests our side of the seam, and what the log does on a
table that is not partitioned by us.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_retention import SqlDayStore
from event_svc.domain.log import EventFilter
from event_svc.domain.retention import Day
from svckit import migrate
from tests.support.cluster import Cluster, Database, administrator
from tests.support.event_days import fill_days
from tests.support.events import an_event, logged
from tests.support.services import store_of

CONTROL = "default_version = '1'\nrelocatable = false\n"
TODAY = "(now() AT TIME ZONE 'UTC')::date"
FUNCTIONS = """
CREATE TABLE calls (name text);
GRANT INSERT ON calls TO PUBLIC;
CREATE FUNCTION create_hypertable(
    relation regclass, time_column_name name, chunk_time_interval interval,
    create_default_indexes boolean
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = relation) <> 'r' THEN
        RAISE EXCEPTION 'table "%" is already partitioned', relation;
    END IF;
    INSERT INTO public.calls VALUES (format(
        'create_hypertable %s %s %s', relation, time_column_name, chunk_time_interval));
    RETURN relation;
END $$;
CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE created_at < %L', relation, older_than);
    RETURN NEXT 'a chunk';
END $$;
"""


@contextmanager
def stand_in() -> Iterator[Path]:
    """A folder in which Postgres finds an extension of this name."""
    folder = Path(tempfile.mkdtemp(prefix="kith-extension-", dir="/tmp"))
    try:
        (folder / "extension").mkdir()
        (folder / "extension" / "timescaledb.control").write_text(CONTROL)
        (folder / "extension" / "timescaledb--1.sql").write_text(FUNCTIONS)
        for path in (folder, folder / "extension"):
            path.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    """A database without any schema of ours, in which the extension can be created."""
    with stand_in() as folder, cluster.database(template="template0") as database:
        cluster.run(
            cluster._execute(
                f"ALTER DATABASE {database.name} SET extension_control_path = '$system:{folder}'"
            )
        )
        yield database


@pytest.fixture
async def admin(empty: Database) -> AsyncIterator[Any]:
    """An administrator of a database whose log is a hypertable."""
    async with administrator(empty) as connection:
        await connection.execute("CREATE EXTENSION timescaledb")
        await migrate.migrate(empty.url(), "event_svc", "event")
        yield connection


async def kind_of_log(admin: Any) -> tuple[str, str]:
    """What the log says it is, and what it is."""
    return (
        await admin.fetchval("SELECT kind FROM event.layout"),
        await admin.fetchval(
            "SELECT relkind::text FROM pg_class WHERE oid = 'event.event_log'::regclass"
        ),
    )


def ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


async def test_an_empty_log_becomes_a_hypertable_where_the_extension_is(admin):
    indexes = await admin.fetchval(
        "SELECT count(*) FROM pg_index WHERE indrelid = 'event.event_log'::regclass"
    )

    assert await kind_of_log(admin) == ("hypertable", "r")
    assert await admin.fetchval("SELECT name FROM public.calls") == (
        "create_hypertable event.event_log created_at 1 day"
    )
    assert indexes >= 4
    assert await admin.fetchval(
        "SELECT relrowsecurity FROM pg_class WHERE oid = 'event.event_log'::regclass"
    )


async def test_the_log_works_on_a_hypertable(admin, empty):
    await fill_days(admin, f"{TODAY} - 4", 4, 5)
    async with store_of(empty, "event") as store:
        events, days = SqlEventStore(store.functions), SqlDayStore(store.functions)
        made = await events.ensure_partitions(1)
        event = an_event(content={"text": "hello"})

        [place] = await logged(events, event)
        [again] = await logged(events, event)
        everything = await events.page(EventFilter(), limit=100)
        newest = await events.page(EventFilter(event_types=["message"]), descending=True, limit=3)

        assert len(made) == 2
        assert (place.position, again.position, again.duplicate) == (21, 21, True)
        assert (await events.get(event.event_id)).content == {"text": "hello"}
        assert [found.position for found in everything.events] == list(range(1, 22))
        assert [found.position for found in newest.events] == [21, 20, 19]
        assert await days.close_days(9) == [ago(n) for n in (4, 3, 2, 1)]
        assert [await days.drop_expired_day(2) for _ in range(3)] == [
            Day(ago(4), 5), Day(ago(3), 5), None
        ]  # fmt: skip
        kept = await events.page(EventFilter(), limit=100)
        assert [found.position for found in kept.events] == list(range(11, 22))
    assert await admin.fetchval("SELECT expired_position FROM event.log_head") == 10


async def test_without_the_extension_the_log_is_partitioned(empty):
    await migrate.migrate(empty.url(), "event_svc", "event")

    async with administrator(empty) as admin:
        assert await kind_of_log(admin) == ("partitions", "p")
        # It is offered, but the server has not loaded it.
        assert (
            await admin.fetchval("SELECT count(*) FROM pg_extension WHERE extname = $1", NAME) == 0
        )
        assert await admin.fetchval(
            "SELECT count(*) FROM pg_available_extensions WHERE name = $1", NAME
        )


NAME = "timescaledb"


@pytest.mark.parametrize("problem", ["an event is there", "the extension refuses"])
async def test_a_log_that_cannot_be_converted_stays_partitioned(empty, problem):
    released = [file for file in migrate.files("event_svc") if file[0] < 9]
    choosing = next(text for number, _, text in migrate.files("event_svc") if number == 9)
    async with administrator(empty) as admin:
        await admin.execute("CREATE EXTENSION timescaledb")
        await admin.execute("CREATE SCHEMA event")
        for _, _, text in released:
            await admin.execute(text)
        event = an_event()
        if problem == "an event is there":
            await admin.execute(
                "SELECT event.append_events(jsonb_build_array(jsonb_build_array(jsonb_build_object("
                "'event_id', $1::text, 'body_hash', '00', 'event_type', 'message',"
                " 'platform', 'web'))))",
                event.event_id,
            )
        else:
            await admin.execute(
                "ALTER EXTENSION timescaledb DROP FUNCTION public.create_hypertable;"
                "DROP FUNCTION public.create_hypertable"
            )

        await admin.execute(choosing)

        assert await kind_of_log(admin) == ("partitions", "p")
        assert await admin.fetchval("SELECT event.list_events(5) IS NOT NULL")


async def test_the_stand_in_is_as_strict_as_the_extension(admin):
    await admin.execute(
        "CREATE TABLE public.parts (created_at date) PARTITION BY RANGE (created_at)"
    )

    with pytest.raises(asyncpg.RaiseError, match="already partitioned"):
        await admin.execute(
            "SELECT create_hypertable('public.parts', 'created_at', interval '1 day', false)"
        )
