"""Filters on metadata mean on the rows what a plain evaluator says, whatever they are made of."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from knowledge_svc.domain.filters import parsed
from knowledge_svc.domain.items import Filter
from knowledge_svc.domain.searching import Few
from svckit import sql
from tests.support.cluster import Database, administrator
from tests.support.knowledge import an_entry
from tests.support.metadata import FILTERS, METADATA, Json, examples, fits

ITEMS = 150


@pytest.fixture
def schema() -> str:
    return "knowledge"


def chosen(condition: Json) -> Filter:
    return Filter(metadata=parsed(condition, "filter"))


async def stored(functions: sql.SqlFunctions, *metadata: Json) -> dict[str, Json]:
    """Items with these metadata: metadata by id."""
    entries = [an_entry(f"{n}", metadata=one) for n, one in enumerate(metadata)]
    await SqlItemStore(functions).store(entries)
    return {entry.item.knowledge_id: entry.item.metadata for entry in entries}


async def found(functions: sql.SqlFunctions, condition: Json) -> set[str]:
    page = await SqlItemStore(functions).page(chosen(condition), before=None, limit=500)
    return {item.knowledge_id for item in page}


async def for_each(conditions: list[Json], ensure: Callable[[Json], Awaitable[None]]) -> None:
    for start in range(0, len(conditions), 20):
        await asyncio.gather(*map(ensure, conditions[start : start + 20]))


async def test_what_is_found_is_what_fits(functions):
    held = await stored(functions, *examples(METADATA, ITEMS))

    async def ensure(condition: Json) -> None:
        expected = {one for one, metadata in held.items() if fits(metadata, condition)}
        assert await found(functions, condition) == expected, condition

    await for_each(examples(FILTERS, 300), ensure)


async def test_every_function_that_chooses_items_reads_the_same_language(functions):
    held = await stored(functions, *examples(METADATA, 40))
    store, ids = SqlSearchStore(functions), list(held)

    async def ensure(condition: Json) -> None:
        expected = {one for one, metadata in held.items() if fits(metadata, condition)}
        given = chosen(condition)
        over = await store.look_over(given, [], most=5)
        assert isinstance(over, Few)
        passages = await store.passages(given, over.revisions)
        around = await store.surroundings(ids, given, reach=0)
        assert {one.knowledge_id for one in passages} == expected, condition
        assert {one.knowledge_id for one in around} == expected, condition
        assert set(await store.matching_ids(given, most=100) or []) == expected, condition
        assert set(await store.fitting_ids(given, after=None, limit=100)) == expected, condition
        assert set(await store.read(ids, given)) == expected, condition

    await for_each(examples(FILTERS, 20), ensure)


async def test_the_index_on_metadata_finds_what_the_rows_tell(database: Database, direct_functions):
    held = await stored(direct_functions, *examples(METADATA, ITEMS))

    async with administrator(database) as connection:
        await connection.execute("SET enable_seqscan = off; SET enable_indexscan = off")
        for condition in examples(FILTERS, 300):
            given = orjson.dumps(chosen(condition).as_json()).decode()
            answer = await connection.fetchval("SELECT knowledge.matching_ids($1, 500)", given)
            expected = {one for one, metadata in held.items() if fits(metadata, condition)}
            assert set(orjson.loads(answer)) == expected, condition


# What docs/knowledge.md says, by example: metadata, filter, whether it fits.
MEANINGS: list[tuple[Json, Json, bool]] = [
    ({"n": 1}, {"n": 1.0}, True),
    ({"n": 1}, {"n": "1"}, False),
    ({"n": 1}, {"n": True}, False),
    ({"n": 2**53}, {"n": {"$gt": 2**53 - 1}}, True),
    ({"n": 9}, {"n": {"$lt": 10}}, True),
    ({"n": "9"}, {"n": {"$lt": "10"}}, False),
    ({"n": "9"}, {"n": {"$lt": 10}}, False),
    ({"n": None}, {"n": {"$lte": 0}}, False),
    ({"t": "Z"}, {"t": {"$lt": "a"}}, True),
    ({"t": "z"}, {"t": {"$lt": "é"}}, True),
    ({"t": "\uffff"}, {"t": {"$lt": "😀"}}, True),
    ({"t": "é"}, {"t": "e\u0301"}, False),
    ({}, {"n": None}, False),
    ({"n": None}, {"n": None}, True),
    ({"n": None}, {"n": {"$ne": None}}, False),
    ({}, {"n": {"$ne": None}}, True),
    ({}, {"n": {"$ne": 1}}, True),
    ({}, {"n": {"$nin": [1]}}, True),
    ({"n": "1"}, {"n": {"$ne": 1}}, True),
    ({}, {"n": {"$exists": False}}, True),
    ({"n": None}, {"n": {"$exists": True}}, True),
    ({"n": None}, {"n": {"$exists": False}}, False),
    ({"n": 1}, {"n": {"$in": []}}, False),
    ({"n": 1}, {"n": {"$nin": []}}, True),
    ({"tags": ["a", "b"]}, {"tags": "a"}, True),
    ({"tags": ["a", "b"]}, {"tags": {"$in": ["c", "b"]}}, True),
    ({"tags": ["a", "b"]}, {"tags": {"$ne": "a"}}, False),
    ({"tags": ["a", "b"]}, {"tags": {"$nin": ["c"]}}, True),
    ({"tags": []}, {"tags": {"$ne": "a"}}, True),
    ({"tags": [1, 9]}, {"tags": {"$gt": 5, "$lt": 5}}, True),
    ({"tags": ["x", 9]}, {"tags": {"$gt": 5}}, True),
    ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}, True),
    ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, False),
    ({"tags": ["a", "b"]}, {"tags": ["a"]}, False),
    ({"tags": [["a"]]}, {"tags": "a"}, False),
    ({"tags": [["a"]]}, {"tags": ["a"]}, False),
    ({"tags": "a"}, {"tags": ["a"]}, False),
    ({"o": {"x": 1, "y": 2}}, {"o": {"y": 2, "x": 1}}, True),
    ({"o": {"x": 1, "y": 2}}, {"o": {"x": 1}}, False),
    ({"o": {"x": 1}}, {"o": {"x": 1, "y": None}}, False),
    ({"o": {"x": [1]}}, {"o": {"x": 1}}, False),
    ({"o": {"x": 1}}, {"o": {"$ne": {"x": 2}}}, True),
    ({"a.b": 1}, {"a.b": 1}, True),
    ({"a": {"b": 1}}, {"a.b": 1}, False),
    ({"$a": 1, "n": 1}, {"n": 1}, True),
]


async def test_what_the_table_of_the_docs_says(direct_functions):
    held = await stored(direct_functions, *(metadata for metadata, _, _ in MEANINGS))

    for one, (metadata, condition, does_fit) in zip(held, MEANINGS, strict=True):
        assert fits(metadata, condition) == does_fit, (metadata, condition)
        assert (one in await found(direct_functions, condition)) == does_fit, (metadata, condition)


HOSTILE = [
    '"',
    '" || true || "',
    "\\",
    '\\"',
    "$",
    "@",
    "') OR true --",
    "\x01",
    "\u2028",
    "]|[",
    "*",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_of_a_callers_is_taken_for_a_path(direct_functions, text: str):
    held = await stored(direct_functions, {"k": text}, {f"x{text}": "v"}, {"k": "other"}, {})
    named, keyed, *_ = held

    assert await found(direct_functions, {"k": text}) == {named}
    assert await found(direct_functions, {"k": {"$gte": text, "$lte": text}}) == {named}
    assert await found(direct_functions, {f"x{text}": "v"}) == {keyed}
    assert await found(direct_functions, {f"x{text}": {"$exists": True}}) == {keyed}
    assert await found(direct_functions, {"k": {"$in": [{f"x{text}": text}, [text]]}}) == set()


async def fill(connection: Any, items: int) -> None:
    """Items whose metadata tell them apart to different degrees, behind the store's back."""
    await connection.execute(
        """INSERT INTO knowledge.knowledge_items (
               knowledge_id, revision, occurred_at, owner, term_total, namespace, content_hash,
               body_hash, terms, term_counts, content, metadata)
           SELECT gen_random_uuid(), n, now(), gen_random_uuid(), 0, 'default',
                  sha256(n::text::bytea), '', '{}', '{}', n::text,
                  jsonb_build_object('document', 'd' || n / 10, 'price', n,
                                     'tags', jsonb_build_array('t' || n % 7, 'all'))
           FROM generate_series(1, $1) n""",
        items,
    )
    await connection.execute("ANALYZE knowledge.knowledge_items")


async def plan(connection: Any, condition: Json) -> str:
    """How the items that fit are found, as `matching_ids` asks for them."""
    await connection.execute(
        """SET plan_cache_mode = 'force_custom_plan';
           PREPARE fitting (knowledge.item_filter) AS
           SELECT i.knowledge_id FROM knowledge.knowledge_items i
           WHERE knowledge.fits(i, $1) LIMIT 2001"""
    )
    given = orjson.dumps(chosen(condition).as_json()).decode().replace("'", "''")
    rows = await connection.fetch(
        f"EXPLAIN EXECUTE fitting (knowledge.parsed_filter('{given}'::jsonb))"
    )
    await connection.execute("DEALLOCATE fitting")
    return "\n".join(row[0] for row in rows)


async def test_equality_in_a_conjunction_goes_by_the_index_and_nothing_else_does(
    database: Database,
):
    async with administrator(database) as connection:
        await fill(connection, 20_000)

        for condition in (
            {"document": "d7"},
            {"document": "d7", "price": {"$gt": 5}},
            {"document": {"$in": ["d7", "d8", "d9"]}},
            {"$and": [{"document": {"$eq": "d7"}}, {"tags": {"$ne": "t3"}}]},
            {"$or": [{"document": "d7"}, {"document": "d8", "price": {"$lt": 75}}]},
            {"tags": ["t1", "all"], "document": "d7"},
        ):
            assert "Index Scan on knowledge_items_by_metadata" in await plan(connection, condition)
        # Without equality the index would be read through as a whole, even where it must not be.
        await connection.execute("SET enable_seqscan = off")
        for condition in (
            {"price": {"$gt": 19_990}},
            {"document": {"$ne": "d7"}},
            {"tags": {"$exists": False}},
            {"$or": [{"document": "d7"}, {"price": 3, "tags": {"$nin": ["t3"]}}, {"x": {}}]},
        ):
            assert "knowledge_items_by_metadata" not in await plan(connection, condition)


async def test_fitting_ids_come_in_pages(direct_functions):
    held = await stored(direct_functions, *[{"n": n} for n in range(10)])
    store, given = SqlSearchStore(direct_functions), chosen({"n": {"$gte": 3}})
    expected = sorted(one for one, metadata in held.items() if metadata["n"] >= 3)

    first = await store.fitting_ids(given, after=None, limit=4)
    second = await store.fitting_ids(given, after=first[-1], limit=4)

    assert [*first, *second] == expected
    assert await store.fitting_ids(given, after=second[-1], limit=4) == []
