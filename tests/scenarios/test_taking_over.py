"""Of several gateways one catches up, and another one goes on when it is gone."""

import asyncio

import pytest

from gateway.clients import Clients
from gateway.flows.catch_up import CURSOR
from svckit import errors, ids
from tests.support.cluster import Database, administrator
from tests.support.messages import a_message, eventually, sent
from tests.support.stack import Stack


async def holder(database: Database) -> tuple[str | None, int]:
    """Who holds the cursor, under which token."""
    async with administrator(database) as admin:
        row = await admin.fetchrow("SELECT owner, fencing_token FROM event.cursors")
        return (row["owner"], row["fencing_token"]) if row else (None, 0)


async def caught_up_to(clients: Clients, position: int) -> None:
    async def is_there() -> bool:
        return await clients.events.cursor(CURSOR) >= position

    await eventually(is_there)


async def test_of_several_gateways_one_catches_up(
    stack: Stack, database: Database, clients: Clients
):
    async with stack.gateway(catch_up=True) as one, stack.gateway(catch_up=True) as other:
        first = await sent(one, a_message())
        await caught_up_to(clients, first["position"])
        held = await holder(database)
        for gateway in (one, other) * 5:
            last = await sent(gateway, a_message())
            await caught_up_to(clients, last["position"])

        assert await holder(database) == held


async def test_what_any_gateway_deferred_is_stored_by_the_one_that_catches_up(
    stack: Stack, clients: Clients
):
    async with stack.gateway(catch_up=True) as one, stack.gateway(catch_up=True) as other:
        await stack.stop("knowledge")
        answers = [await sent(gateway, a_message()) for gateway in (one, other)]
        await stack.start("knowledge")
        wanted = [ids.derived(answer["event_id"], "knowledge") for answer in answers]

        async def is_stored() -> bool:
            return not await clients.knowledge.missing(wanted)

        await eventually(is_stored)


async def test_a_gateway_that_stops_leaves_the_cursor_to_the_next_at_once(
    stack: Stack, database: Database, clients: Clients
):
    async with stack.gateway(catch_up=True, catch_up_lease_seconds=3600) as one:
        first = await sent(one, a_message())
        await caught_up_to(clients, first["position"])
    released = await holder(database)

    async with stack.gateway(catch_up=True) as other:
        second = await sent(other, a_message())
        await caught_up_to(clients, second["position"])
        taken = await holder(database)

    assert released == (None, 1)
    assert taken[1] == 2


async def test_another_gateway_takes_over_from_one_that_died(
    stack: Stack, database: Database, clients: Clients
):
    clock = asyncio.get_running_loop().time
    dead = await clients.events.acquire_cursor(CURSOR, "dead", 1.0)
    died_at = clock()

    async with stack.gateway(catch_up=True) as gateway:
        message = await sent(gateway, a_message())
        await caught_up_to(clients, message["position"])
        took = clock() - died_at
        with pytest.raises(errors.Conflict) as raised:
            await clients.events.save_cursor(CURSOR, message["position"], dead.fencing_token)

    assert 0.9 < took < 3
    assert raised.value.reason == "LEASE_LOST"


async def test_a_reader_that_lost_the_cursor_lets_the_other_one_work(
    stack: Stack, database: Database, clients: Clients
):
    async with stack.gateway(catch_up=True) as gateway:
        first = await sent(gateway, a_message())
        await caught_up_to(clients, first["position"])
        async with administrator(database) as admin:
            # As if it had been frozen while somebody else came.
            await admin.execute(
                """UPDATE event.cursors SET owner = 'other', fencing_token = fencing_token + 1,
                   expires_at = now() + interval '1 second'"""
            )
        second = await sent(gateway, a_message())
        position = await clients.events.cursor(CURSOR)
        await caught_up_to(clients, second["position"])
        owner, token = await holder(database)

    assert position < second["position"]
    assert owner is not None and owner.startswith("gateway:")
    assert token == 3
