"""How the Pinecone adapter behaves towards the service: sizes, retries, mistakes, lateness."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from knowledge_svc.adapters import patience
from knowledge_svc.adapters import pinecone as adapter
from knowledge_svc.adapters.pinecone import PineconeIndex, PineconePlace, open_pinecone
from knowledge_svc.domain.backends import Misconfigured, Refused
from knowledge_svc.domain.items import Filter, Space, Vector
from svckit import ids
from svckit.errors import Unavailable
from tests.support import pinecone as stand_in
from tests.support.knowledge import eventually

SPACE = Space("test", "model", 3, "whole-1")
PLACE = PineconePlace("kith")


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[stand_in.Pinecone]:
    service = stand_in.Pinecone()
    async with service.running() as url:
        monkeypatch.setenv("PINECONE_CONTROLLER_HOST", url)
        yield service


@pytest.fixture
async def index(service: stand_in.Pinecone) -> AsyncIterator[PineconeIndex]:
    service.add("kith", SPACE.dimension)
    async with open_pinecone(stand_in.KEY, PLACE) as index:
        await index.prepare(SPACE)
        service.requests.clear()
        yield index


def a_vector(*values: float, **changes: Any) -> Vector:
    return Vector(
        values=values or (1, 0, 0),
        **{
            "knowledge_id": ids.new(), "namespace": "default",
            "occurred_at": "2026-01-01T00:00:00+00:00", **changes,
        },
    )  # fmt: skip


async def near(index: PineconeIndex, limit: int = 10) -> list[str]:
    matches = await index.nearest(SPACE.name, (1, 0, 0), limit=limit, narrow=Filter())
    return [match.knowledge_id for match in matches]


async def test_large_vectors_go_in_requests_below_the_limit(service):
    service.add("wide", 2_048)
    wide = Space("wide", "model", 2_048, "whole-1")
    vectors = [a_vector(*([0.12345678912345] * 2_048)) for _ in range(150)]
    async with open_pinecone(stand_in.KEY, PineconePlace("wide")) as index:
        await index.prepare(wide)
        await index.upsert(wide.name, vectors)

        found = await index.nearest(wide.name, [0.1] * 2_048, limit=1_000, narrow=Filter())

    sizes = [size for verb, size in service.requests if verb == "upsert"]
    assert len(found) == 150
    assert len(sizes) > 1
    assert max(sizes) <= 2 << 20


async def test_many_vectors_and_ids_are_bounded_by_count(service, index):
    vectors = [a_vector() for _ in range(1_001)]

    await index.upsert(SPACE.name, vectors)
    held = await index.fetch(SPACE.name, [vector.knowledge_id for vector in vectors])
    await index.delete(SPACE.name, [vector.knowledge_id for vector in vectors])

    assert len(held) == 1_001
    assert [service.count(verb) for verb in ("upsert", "fetch", "delete")] == [2, 2, 2]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_passes_is_tried_again(service, index, status):
    vector = a_vector()
    service.faults.append(stand_in.error(status, "UNAVAILABLE", "a moment, please"))

    await index.upsert(SPACE.name, [vector])

    assert service.count("upsert") == 2
    assert await near(index) == [vector.knowledge_id]


async def test_a_pause_asked_for_is_kept(service, index):
    service.faults.append(stand_in.error(429, "RESOURCE_EXHAUSTED", "slower", retry_after="1"))
    clock = asyncio.get_running_loop()
    started = clock.time()

    await index.upsert(SPACE.name, [a_vector()])

    assert clock.time() - started >= 1


async def test_during_a_long_pause_calls_fail_at_once_and_the_service_is_left_alone(service, index):
    service.faults.append(stand_in.error(429, "RESOURCE_EXHAUSTED", "slower", retry_after="30"))

    for _ in range(3):
        with pytest.raises(Unavailable) as raised:
            await near(index)

    assert raised.value.retry_after > 25
    assert len(service.requests) == 1


async def test_after_an_outage_others_do_not_wait_for_what_is_not_there(service, index):
    service.down = 503
    with pytest.raises(Unavailable, match="pinecone answers 503"):
        await near(index)
    clock = asyncio.get_running_loop()
    started = clock.time()

    with pytest.raises(Unavailable, match="a moment ago"):
        await near(index)

    assert clock.time() - started < 0.2
    assert len(service.requests) == 3


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_what_is_nobodys_vectors_fault_is_unavailable_and_not_tried_again(
    service, index, status
):
    service.faults.append(stand_in.error(status, "PERMISSION_DENIED", "no"))

    with pytest.raises(Unavailable):
        await index.upsert(SPACE.name, [a_vector()])

    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_refused_is_the_vectors_own_fault(service, index, status):
    service.faults.append(stand_in.error(status, "INVALID_ARGUMENT", "indigestible"))

    with pytest.raises(Refused, match="indigestible"):
        await index.upsert(SPACE.name, [a_vector()])

    assert len(service.requests) == 1


async def test_a_value_that_is_no_number_is_refused_before_it_is_spoiled(service, index):
    with pytest.raises(Refused, match="no number"):
        await index.upsert(SPACE.name, [a_vector(1, float("nan"), 0)])

    assert service.requests == []


async def test_a_write_that_is_seen_late_returns_when_it_is_seen(service, index):
    service.lag = 0.5
    first, second = a_vector(), a_vector()

    await index.upsert(SPACE.name, [first])
    assert await near(index) == [first.knowledge_id]
    await index.upsert(SPACE.name, [second])

    assert set(await near(index)) == {first.knowledge_id, second.knowledge_id}


async def test_a_write_that_is_not_seen_in_time_is_counted_and_not_repeated(
    service, index, monkeypatch
):
    monkeypatch.setattr(adapter, "_VISIBLE_SECONDS", 0.2)
    late = "kith_knowledge_index_late_total"
    before = REGISTRY.get_sample_value(late) or 0
    service.lag = 60

    await index.upsert(SPACE.name, [a_vector()])

    assert (REGISTRY.get_sample_value(late) or 0) == before + 1
    assert service.count("upsert") == 1


async def test_a_slow_upsert_ends_before_an_indexers_lease(service, index, monkeypatch):
    monkeypatch.setattr(adapter, "_UPSERT_SECONDS", 0.2)
    service.delay = 0.15

    with pytest.raises(Unavailable, match="in time"):
        await index.upsert(SPACE.name, [a_vector() for _ in range(2_001)])


async def test_without_positions_nothing_is_waited_for(service, index):
    service.tells_positions = False
    service.lag = 60

    await index.upsert(SPACE.name, [a_vector()])

    assert [verb for verb, _ in service.requests] == ["upsert"]


async def test_an_outage_at_the_start_is_caught_up_with_when_the_index_is_needed(
    service, monkeypatch
):
    monkeypatch.setattr(patience, "_SHUT_SECONDS", 0)
    service.add("kith", SPACE.dimension)
    service.down = 503
    async with open_pinecone(stand_in.KEY, PLACE) as index:
        await index.prepare(SPACE)
        service.down = None
        vector = a_vector()
        await index.upsert(SPACE.name, [vector])

        assert await near(index) == [vector.knowledge_id]


async def test_an_index_that_turns_out_to_be_another_is_not_the_vectors_fault(service, monkeypatch):
    monkeypatch.setattr(patience, "_SHUT_SECONDS", 0)
    service.down = 503
    async with open_pinecone(stand_in.KEY, PLACE) as index:
        await index.prepare(SPACE)
        service.down = None
        service.add("kith", 1_024)
        with pytest.raises(Unavailable, match="PINECONE_INDEX: kith holds vectors of 1024"):
            await index.upsert(SPACE.name, [a_vector()])
        with pytest.raises(Misconfigured):
            await index.prepare(SPACE)


async def test_a_missing_index_is_made_once_by_whoever_comes_first(service):
    async with (
        open_pinecone(stand_in.KEY, PLACE) as one,
        open_pinecone(stand_in.KEY, PLACE) as other,
    ):
        await asyncio.gather(one.prepare(SPACE), other.prepare(SPACE))

        vector = a_vector()

        async def made() -> bool:
            try:
                await one.upsert(SPACE.name, [vector])
            except Unavailable as error:
                assert error.message == "pinecone is making the index"
                return False
            return True

        await eventually(made)
        assert await near(other) == [vector.knowledge_id]

    assert set(service.indexes) == {"kith"}


async def test_the_key_is_in_no_log(service, caplog, capsys):
    caplog.set_level("DEBUG")
    service.add("kith", SPACE.dimension)
    async with open_pinecone(stand_in.KEY, PLACE) as index:
        await index.prepare(SPACE)
        service.down = 401
        with pytest.raises(Unavailable):
            await index.upsert(SPACE.name, [a_vector()])

    said = capsys.readouterr()
    assert stand_in.KEY not in caplog.text + said.out + said.err
