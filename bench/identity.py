"""Identity from outside of its process: resolving out of the cache and not, and registering."""

import asyncio
import itertools
import json
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bench.measure import CALLERS, Figures, closed_loop
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import identity_service_pb2_grpc
from tests.support.up import RunningKith, wait_until

BATCH = 1000
SECONDS = 2.0
START_SECONDS = 20.0

Stub = identity_service_pb2_grpc.IdentityServiceStub


_FLOOR = "floor: empty RPC in the kit, 64 callers"
RATIOS = tuple(
    (f"{name}, 64 callers", _FLOOR)
    for name in ("ResolveIdentity", "ResolveIdentity, cold", "RegisterPerson")
)


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Resolving and registering; `cold` is a service that keeps no answers."""
    callers, database_url = CALLERS, running.addresses["database_url"]
    async with grpc.aio.insecure_channel(running.address("identity")) as channel:
        stub = Stub(channel)
        names = itertools.cycle(await _known(stub))
        async with _keeping_nothing(database_url) as cold:
            async for name, found in _resolves(cold, names, callers, "ResolveIdentity, cold"):
                yield name, found
            yield "BatchResolveIdentities, cold (rows)", await _batch_resolves(cold, names)
        await stub.BatchResolveIdentities(_batch(names))
        async for name, found in _resolves(stub, names, callers, "ResolveIdentity"):
            yield name, found
        yield "BatchResolveIdentities (rows)", await _batch_resolves(stub, names)
        for count in callers:
            yield (
                f"RegisterPerson, {count} callers",
                await closed_loop(
                    lambda: stub.RegisterPerson(_somebody_new()), callers=count, seconds=SECONDS
                ),
            )
        yield (
            "BatchRegisterPersons (rows)",
            await closed_loop(lambda: _register(stub), callers=2, seconds=SECONDS, items=BATCH),
        )


@asynccontextmanager
async def _keeping_nothing(database_url: str) -> AsyncIterator[Stub]:
    """An identity service of its own over the same database, without a cache."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as folder:
        file = Path(folder) / "address.json"
        environment = {
            **os.environ, "KITH_DATABASE_URL": database_url, "KITH_LOG_LEVEL": "warning",
            "KITH_IDENTITY_CACHE_ENTRIES": "0", "KITH_IDENTITY_BIND": "127.0.0.1:0",
            "KITH_IDENTITY_METRICS_BIND": "127.0.0.1:0", "KITH_ADDRESS_FILE": str(file),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "identity_svc", env=environment
        )
        try:
            await asyncio.to_thread(wait_until, file.exists, seconds=START_SECONDS)
            address = json.loads(file.read_text())["address"]
            async with grpc.aio.insecure_channel(address) as channel:
                yield Stub(channel)
        finally:
            process.terminate()
            await process.wait()


def _somebody_new() -> pb.RegisterPersonRequest:
    return pb.RegisterPersonRequest(platform="web", platform_id=str(uuid.uuid4()))


async def _register(stub: Stub) -> list[pb.Identity]:
    """As many people as a batch holds."""
    requests = [_somebody_new() for _ in range(BATCH)]
    answer = await stub.BatchRegisterPersons(pb.BatchRegisterPersonsRequest(requests=requests))
    return [result.response.identity for result in answer.results]


async def _known(stub: Stub) -> list[str]:
    """The platform ids of people who are registered and confirmed, a batch of them."""
    people = await _register(stub)
    await stub.ConfirmRegistrations(
        pb.ConfirmRegistrationsRequest(link_ids=[person.link_id for person in people])
    )
    return [person.platform_id for person in people]


async def _resolves(
    stub: Stub, names: Iterator[str], callers: Sequence[int], what: str
) -> AsyncIterator[tuple[str, Figures]]:
    for count in callers:
        yield (
            f"{what}, {count} callers",
            await closed_loop(
                lambda: stub.ResolveIdentity(_request(next(names))),
                callers=count, seconds=SECONDS,
            ),
        )  # fmt: skip


async def _batch_resolves(stub: Stub, names: Iterator[str]) -> Figures:
    """Two callers, so that client and server overlap."""
    return await closed_loop(
        lambda: stub.BatchResolveIdentities(_batch(names)),
        callers=2, seconds=SECONDS, items=BATCH,
    )  # fmt: skip


def _request(name: str) -> pb.ResolveIdentityRequest:
    return pb.ResolveIdentityRequest(platform="web", platform_id=name)


def _batch(names: Iterator[str]) -> pb.BatchResolveIdentitiesRequest:
    requests = [_request(name) for name in itertools.islice(names, BATCH)]
    return pb.BatchResolveIdentitiesRequest(requests=requests)
