"""The seam to the database means the same over both transports."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import structlog.testing
from starlette.responses import Response

from svckit import sql
from svckit.errors import SqlError, Unavailable
from tests.support.cluster import Database
from tests.support.postgrest import KEY, Postgrest

PROBES = """
CREATE SCHEMA probe;
CREATE FUNCTION probe.echo(value jsonb) RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT value';
CREATE FUNCTION probe.typed(
    id uuid, at timestamptz, words text[], "position" bigint, is_so boolean,
    note text DEFAULT 'none'
) RETURNS jsonb LANGUAGE sql STABLE
AS 'SELECT jsonb_build_object(''id'', id, ''at'', at, ''words'', words, ''position'', "position",
                              ''is_so'', is_so, ''note'', note)';
CREATE FUNCTION probe.nothing() RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT NULL::jsonb';
CREATE FUNCTION probe.raise(code text, detail jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'told to', DETAIL = detail;
END $$;
CREATE SEQUENCE probe.tries;
CREATE FUNCTION probe.fail_at_first(code text, times integer DEFAULT 1) RETURNS jsonb
LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('probe.tries') <= times THEN
        RAISE EXCEPTION USING ERRCODE = code;
    END IF;
    RETURN to_jsonb(currval('probe.tries'));
END $$;
GRANT USAGE ON SCHEMA probe TO service_role;
GRANT USAGE ON SEQUENCE probe.tries TO service_role;
"""


@pytest.fixture
def schema() -> str:
    return "probe"


@pytest.fixture(autouse=True)
async def probes(database: Database) -> None:
    connection = await asyncpg.connect(database.url())
    await connection.execute(PROBES)
    await connection.close()


@pytest.fixture
async def direct_functions(database: Database) -> AsyncIterator[sql.SqlFunctions]:
    async with sql.open_pool(database.url()) as pool:
        yield sql.AsyncpgFunctions(pool, "probe")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        2**53,
        "",
        "Ünïcödé 漢字 🙂 \u200fעברית",
        [],
        {},
        {"a": [1, {"b": None}]},
    ],
)
async def test_json_goes_and_comes_as_it_is(functions: sql.SqlFunctions, value: Any):
    assert await functions.call("echo", value=value) == value


async def test_every_argument_type_has_one_json_form(functions: sql.SqlFunctions):
    arguments = {
        "id": "0197a3f0-0000-7000-8000-000000000001",
        "at": "2026-11-21T10:20:30.123456+00:00",
        "words": ["a", 'b"{},', "漢"],
        "position": 2**53,
        "is_so": True,
    }

    assert await functions.call("typed", **arguments) == {**arguments, "note": "none"}


async def test_null_is_none(functions: sql.SqlFunctions):
    assert await functions.call("nothing") is None


async def test_what_a_function_raises_keeps_code_and_detail(functions: sql.SqlFunctions):
    with pytest.raises(SqlError) as raised:
        await functions.call("raise", code="ZE001", detail={"event_id": "e1"})

    assert raised.value.code == "ZE001"
    assert raised.value.detail == {"event_id": "e1"}
    assert raised.value.is_about_data


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_a_lost_race_for_locks_is_tried_again(functions: sql.SqlFunctions, code: str):
    assert await functions.call("fail_at_first", code=code, times=6) == 7


async def test_who_loses_every_race_is_told_that_the_store_is_busy(functions: sql.SqlFunctions):
    with pytest.raises(Unavailable, match="busy"):
        await functions.call("fail_at_first", code="40P01", times=7)


@pytest.mark.parametrize("code", ["55P03", "57P03", "53300", "57014"])
async def test_a_store_that_cannot_answer_is_unavailable(functions: sql.SqlFunctions, code: str):
    with pytest.raises(Unavailable):
        await functions.call("raise", code=code, detail={})


@pytest.mark.parametrize("code", ["55P03", "57014"])
async def test_what_took_its_whole_time_is_not_tried_again(functions: sql.SqlFunctions, code: str):
    with pytest.raises(Unavailable):
        await functions.call("fail_at_first", code=code)


async def test_a_schema_that_is_not_there_yet_is_unavailable(functions: sql.SqlFunctions):
    with pytest.raises(Unavailable):
        await functions.call("not_there", value=1)


async def test_a_connection_that_died_in_the_pool_is_not_the_callers_problem(database: Database):
    async with sql.open_pool(database.url()) as pool:
        functions = sql.AsyncpgFunctions(pool, "probe")
        await functions.call("echo", value=1)
        await _terminate_others(database)

        assert await functions.call("echo", value=2) == 2


async def test_a_database_that_is_gone_is_unavailable_at_once(tmp_path: Any):
    async with sql.open_pool(f"postgresql://postgres@/none?host={tmp_path}") as pool:
        with pytest.raises(Unavailable):
            await sql.AsyncpgFunctions(pool, "probe").call("echo", value=1)


async def test_why_a_database_refuses_a_connection_is_in_the_log(database: Database):
    with structlog.testing.capture_logs() as lines:
        async with sql.open_pool(database.url("kith_identity"), role="kith_event") as pool:
            with pytest.raises(Unavailable):
                await sql.AsyncpgFunctions(pool, "probe").call("echo", value=1)

    assert "kith_event" in lines[0]["text"]


async def test_postgrest_without_its_database_is_unavailable(
    postgrest: Postgrest, rest_functions: sql.SqlFunctions
):
    body = '{"code":"PGRST001","message":"no connection","details":null,"hint":null}'
    postgrest.faults += [Response(body, 503), Response("<html>bad gateway</html>", 502)]

    with pytest.raises(Unavailable):
        await rest_functions.call("echo", value=1)
    assert await rest_functions.call("echo", value=1) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504, 521, 522, 530, 544])
@pytest.mark.parametrize("body", ["<html>no</html>", '{"message":"no answer from upstream"}'])
async def test_a_proxy_that_gets_no_answer_is_unavailable(
    postgrest: Postgrest, rest_functions: sql.SqlFunctions, status: int, body: str
):
    postgrest.faults += [Response(body, status), Response(body, status)]

    with pytest.raises(Unavailable):
        await rest_functions.call("echo", value=1)


async def test_a_wrong_key_is_not_a_word_to_the_client(postgrest: Postgrest):
    async with sql.open_rest(postgrest.url, KEY + "x") as client:
        with pytest.raises(SqlError) as raised:
            await sql.RestFunctions(client, "probe").call("echo", value=1)

    assert not raised.value.is_about_data


async def _terminate_others(database: Database) -> None:
    connection = await asyncpg.connect(database.url())
    await connection.execute(
        """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    await connection.close()
