"""Builders for people and accounts, and a client of the identity service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf import struct_pb2

from identity_svc import normalisation
from identity_svc.__main__ import assemble
from identity_svc.domain.links import Linked
from identity_svc.domain.people import Account, Creation, Identity, Person, Registration
from identity_svc.ports.links import LinkStore
from identity_svc.ports.people import IdentityStore
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import identity_service_pb2_grpc, person_pb2
from svckit import ids, structs
from tests.support.cluster import Database, administrator
from tests.support.forest import assert_sound
from tests.support.services import channel_to, running

Stub = identity_service_pb2_grpc.IdentityServiceStub

UNSET = person_pb2.CONSENT_STATE_UNSET
GRANTED = person_pb2.CONSENT_STATE_GRANTED
DENIED = person_pb2.CONSENT_STATE_DENIED


def an_account(platform_id: str | None = None, platform: str = "discord") -> Account:
    """An account that nobody else has, unless it is named."""
    return normalisation.account(platform, ids.new() if platform_id is None else platform_id)


def a_registration(account: Account | None = None, **changes: Any) -> Registration:
    """A registration of an account that nobody else has, unless it is given."""
    return Registration(account or an_account(), **changes)


async def registered(store: IdentityStore, **changes: Any) -> Identity:
    """Somebody new; `changes` are those of `a_registration`."""
    [outcome] = await store.register([a_registration(**changes)])
    return outcome.identity


async def person_of(store: IdentityStore, person_id: str) -> Person:
    """A person who is there."""
    [found] = await store.get([person_id])
    assert isinstance(found, Person)
    return found


async def created(store: IdentityStore, **changes: Any) -> Person:
    """Somebody new without an account; `changes` are fields of `Creation`."""
    creation = Creation(**{"person_id": ids.new(), "metadata": {}, "consent": {}, **changes})
    return (await store.create(creation, etag=ids.new())).person


async def linked(
    store: LinkStore, person_id: str, account: Account | None = None, **changes: Any
) -> Linked:
    """One more account for a person, one that nobody else has unless it is given."""
    arguments = {"verified": False, "link_id": ids.new(), "merge_id": ids.new(), **changes}
    return await store.link(person_id, account or an_account(), **arguments)


def a_request(platform_id: str | None = None, **changes: Any) -> pb.RegisterPersonRequest:
    """What registers an account that nobody else has, unless it is named.

    `metadata` is a dict, `consent` states by purpose.
    """
    metadata = changes.pop("metadata", None)
    consent = changes.pop("consent", None)
    return pb.RegisterPersonRequest(
        **{
            "platform": "discord",
            "platform_id": ids.new() if platform_id is None else platform_id,
            "metadata": None if metadata is None else a_struct(metadata),
            "consent": None if consent is None else person_pb2.Consent(purposes=consent),
            **changes,
        }
    )


def a_struct(value: dict[str, Any]) -> struct_pb2.Struct:
    """A dict as a Struct, whatever is in it."""
    return structs.from_dict(value)


@asynccontextmanager
async def identity_service(database: Database) -> AsyncIterator[Stub]:
    """One instance of the service over a database, behind a channel of its own."""
    async with running(assemble, database, "identity") as address, channel_to(address) as channel:
        yield Stub(channel)


@asynccontextmanager
async def sound_replicas(database: Database) -> AsyncIterator[list[Stub]]:
    """Two replicas; when they stop the store is sound, and nobody has waited in a circle."""
    async with identity_service(database) as one, identity_service(database) as two:
        yield [one, two]
    async with administrator(database) as admin:
        await assert_sound(admin)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await admin.fetchval(deadlocks) == 0
