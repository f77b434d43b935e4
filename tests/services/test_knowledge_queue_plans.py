"""The queue's functions read what they are asked about, however much waits beside it."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, Database, administrator

WAITING = 50_000
ASKED = 500
# Each function looks at a row a few times: to lock it, to judge it, to change it.
MOST_READ = 6 * ASKED

# In each space half wait to be indexed and half to be removed, as far as no planner knows.
FILL = f"""
    SELECT knowledge.ensure_space('old', 'model a', 4, 'whole-1');
    SELECT knowledge.start_reindex('new', 'model b', 4, 'whole-1');
    SELECT knowledge.set_following(false);
    ALTER TABLE knowledge.space_states SET (autovacuum_enabled = false);
    ALTER TABLE knowledge.knowledge_items SET (autovacuum_enabled = false);
    INSERT INTO knowledge.knowledge_items (
        knowledge_id, revision, occurred_at, owner, term_total, namespace, content_hash, body_hash,
        terms, term_counts, metadata, content)
    SELECT gen_random_uuid(), n, now(), gen_random_uuid(), 0, 'default', '', '', '{{}}', '{{}}',
           '{{}}', 'text'
    FROM generate_series(1, {WAITING}) n;
    INSERT INTO knowledge.space_states (knowledge_id, space_id, revision, state, lease_owner)
    SELECT i.knowledge_id, s.space_id, i.revision,
           CASE WHEN i.revision % 2 = 0 THEN 'pending' ELSE 'deleting' END,
           CASE WHEN i.revision <= {2 * ASKED} THEN 'me' END
    FROM knowledge.knowledge_items i CROSS JOIN knowledge.spaces s;
    SELECT knowledge.set_following(true);"""


@pytest.fixture(scope="module", params=["unknown", "analyzed"])
def filled(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Database]:
    """A long queue in each of two spaces."""

    async def fill(admin: Any) -> None:
        await admin.execute(FILL)
        if request.param == "analyzed":
            await admin.execute("ANALYZE")

    with cluster.filled(fill) as database:
        yield database


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def admin(request: pytest.FixtureRequest, filled: Database) -> AsyncIterator[Any]:
    """A session of its own, for its counters count all that it does."""
    async with administrator(filled) as connection:
        await connection.execute(f"SET plan_cache_mode = {request.param}")
        yield connection


CALLS = {
    "renew_leases": "renew_leases($1, 'me', 1000, 'new')",
    "forget_removals": "forget_removals('new', $1)",
    "finish_deletions": "finish_deletions($1, 'me')",
    "mark_indexed": "mark_indexed($1, 'me', 'new')",
    "put_off": "put_off($1, 'me', 'new')",
    "pending_writes": "pending_writes($1)",
}
OF_WRITES = {"mark_indexed", "put_off", "pending_writes"}


@pytest.mark.parametrize("function", CALLS)
async def test_rows_that_are_named_are_not_looked_for_in_the_queue(admin, function: str):
    rows = await admin.fetch(
        f"""SELECT knowledge_id::text, revision FROM knowledge.knowledge_items
            WHERE revision <= {2 * ASKED} AND revision % 2 = $1""",
        0 if function in OF_WRITES else 1,
    )
    if function in OF_WRITES:
        more = {"embedding_model": "m", "attempts": 1, "delay_seconds": 0, "is_final": False}
        given: Any = json.dumps([{**dict(row), **more} for row in rows])
    else:
        given = [row["knowledge_id"] for row in rows]

    async with admin.transaction():
        await admin.fetchval(f"SELECT knowledge.{CALLS[function]}", given)
        read = await admin.fetchval(
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'space_states'"
        )
    assert len(rows) == ASKED
    assert 0 < read <= MOST_READ


@pytest.mark.parametrize("call", ["'pending'", "'deleting'", "'pending', space => 'new'"])
async def test_a_claim_reads_as_much_of_the_queue_as_it_claims(admin, call: str):
    async with admin.transaction():
        claimed = await admin.fetchval(
            f"""SELECT jsonb_array_length(
                    knowledge.claim_pending('me', {ASKED}, 1000, {call}))"""
        )
        read = await admin.fetchval(
            "SELECT pg_stat_get_xact_tuples_returned('knowledge.space_states_to_do'::regclass)"
        )
    assert claimed == ASKED <= read <= MOST_READ


async def test_dead_letters_are_read_in_the_order_of_their_index(admin):
    async with admin.transaction():
        await admin.execute(
            f"""UPDATE knowledge.space_states SET state = 'failed', lease_owner = NULL,
                    failed_at = now() - revision * interval '1 ms'
                WHERE state = 'pending' AND revision <= {20 * ASKED}"""
        )
    async with admin.transaction():
        replayed = await admin.fetchval(
            f"SELECT knowledge.replay_dead_letters(NULL, {ASKED}, NULL)"
        )
        read = await admin.fetchval(
            "SELECT pg_stat_get_xact_tuples_returned('knowledge.space_states_failed'::regclass)"
        )
    assert json.loads(replayed)["replayed"] == ASKED
    assert read <= MOST_READ
