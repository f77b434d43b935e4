"""How the Voyage adapter behaves towards the service: bounds, retries, mistakes, connections."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy
import pytest

from knowledge_svc.adapters.voyage import VoyageEmbedder, VoyageModel, open_voyage
from knowledge_svc.domain.backends import Misconfigured, Refused
from knowledge_svc.ports.items import Purpose
from svckit.errors import Unavailable
from tests.support import voyage as stand_in

DOCUMENT = Purpose.DOCUMENT


@pytest.fixture
async def service() -> AsyncIterator[stand_in.Voyage]:
    service = stand_in.Voyage()
    async with service.running():
        yield service


@pytest.fixture
async def embedder(service: stand_in.Voyage) -> AsyncIterator[VoyageEmbedder]:
    async with open_voyage(stand_in.KEY, VoyageModel(url=service.url)) as (embedder, _):
        service.asked.clear()
        yield embedder


async def opened(service: stand_in.Voyage, key: str = stand_in.KEY, **model: Any) -> None:
    async with open_voyage(key, VoyageModel(url=service.url, **model)):
        pass


async def test_texts_are_sent_as_what_they_are_for(service, embedder):
    await embedder.embed(["tea"], DOCUMENT)
    await embedder.embed(["tea?"], Purpose.QUERY)

    assert [given["input_type"] for given in service.asked] == ["document", "query"]
    assert all(given["truncation"] for given in service.asked)
    assert {given["output_dimension"] for given in service.asked} == {1024}


async def test_what_one_request_does_not_take_goes_in_several_and_comes_back_in_order(
    service, embedder
):
    texts = ["", *(f"text number {n} " * 1_500 for n in range(12)), " ", "short"]

    vectors = await embedder.embed(texts, DOCUMENT)

    assert len(service.asked) > 1
    assert service.texts == [text[:32_000] for text in texts if text.strip()]
    assert [any(vector) for vector in vectors] == [bool(text.strip()) for text in texts]
    assert vectors[-1] == pytest.approx((await embedder.embed(["short"], DOCUMENT))[0])


async def test_many_short_texts_are_bounded_by_count(service, embedder):
    await embedder.embed(["a"] * 1_001, DOCUMENT)

    assert [len(given["input"]) for given in service.asked] == [1_000, 1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_passes_is_tried_again(service, embedder, status):
    service.faults.append(stand_in.error(status, "a moment, please"))

    [vector] = await embedder.embed(["tea"], DOCUMENT)

    assert any(vector)
    assert len(service.asked) == 2


async def test_a_body_that_cannot_be_read_is_tried_again(service, embedder):
    service.faults += [
        stand_in.Response("<html>", 200), stand_in.answer({"data": [{"odd": 1}]}),
    ]  # fmt: skip

    [vector] = await embedder.embed(["tea"], DOCUMENT)

    assert any(vector)


async def test_a_pause_asked_for_is_kept(service, embedder):
    service.faults.append(stand_in.error(429, "slower", retry_after="1"))
    clock = asyncio.get_running_loop()
    started = clock.time()

    await embedder.embed(["tea"], DOCUMENT)

    assert clock.time() - started >= 1


async def test_during_a_long_pause_calls_fail_at_once_and_the_service_is_left_alone(
    service, embedder
):
    service.faults.append(stand_in.error(429, "much slower", retry_after="30"))

    for _ in range(3):
        with pytest.raises(Unavailable) as raised:
            await embedder.embed(["tea"], DOCUMENT)

    assert raised.value.retry_after > 25
    assert len(service.asked) == 1


async def test_an_outage_is_unavailable_after_a_few_tries(service, embedder):
    service.down = 503

    with pytest.raises(Unavailable, match="voyage answers 503"):
        await embedder.embed(["tea"], DOCUMENT)

    assert len(service.asked) == 3


async def test_a_host_that_is_not_there_is_unavailable():
    async with open_voyage(stand_in.KEY, VoyageModel(url="http://127.0.0.1:9/v1")) as (embedder, _):
        with pytest.raises(Unavailable, match="reached"):
            await embedder.embed(["tea"], DOCUMENT)


async def test_a_text_that_is_refused_is_its_own_fault_and_not_tried_again(service, embedder):
    service.faults.append(stand_in.error(400, "indigestible"))

    with pytest.raises(Refused, match="indigestible"):
        await embedder.embed(["tea"], DOCUMENT)

    assert len(service.asked) == 1


async def test_a_key_that_ended_is_not_the_texts_fault(service, embedder):
    service.faults.append(stand_in.error(401, "Provided API key is invalid."))

    with pytest.raises(Unavailable):
        await embedder.embed(["tea"], DOCUMENT)

    assert len(service.asked) == 1


async def test_vectors_of_another_shape_are_not_taken(service, embedder):
    service.dimension = 512

    with pytest.raises(Unavailable, match="1024 dimensions"):
        await embedder.embed(["tea"], DOCUMENT)


async def test_a_vector_with_a_hole_is_not_taken(service, embedder):
    odd = numpy.full(1024, numpy.nan, dtype="<f4")
    data = [{"embedding": base64.b64encode(odd.tobytes()).decode(), "index": 0}]
    service.faults.append(stand_in.answer({"data": data, "usage": {"total_tokens": 1}}))

    with pytest.raises(Unavailable, match="no number"):
        await embedder.embed(["tea"], DOCUMENT)


async def test_requests_share_connections(service, embedder):
    service.connections.clear()

    for _ in range(5):
        await embedder.embed(["tea"], DOCUMENT)

    assert len(service.connections) == 1


async def test_whoever_stops_waiting_is_let_go_at_once(service, embedder):
    service.delay = 1.5
    clock = asyncio.get_running_loop()
    started = clock.time()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await embedder.embed(["tea"], DOCUMENT)

    assert clock.time() - started < 1


@pytest.mark.parametrize(
    ("chosen", "variable"),
    [
        ({"key": "pa-wrong"}, "VOYAGE_API_KEY"),
        ({"name": "voyage-9"}, "KITH_VOYAGE_MODEL"),
        ({"dimension": 1000}, "KITH_VOYAGE_DIMENSION"),
        ({"name": "voyage-4-nano"}, "KITH_VOYAGE_MODEL"),
    ],
)
async def test_what_voyage_does_not_have_stops_the_start_by_name(service, chosen, variable):
    with pytest.raises(Misconfigured, match=variable) as raised:
        await opened(service, **chosen)

    assert "pa-wrong" not in str(raised.value)


async def test_another_dimension_than_was_asked_for_stops_the_start(service):
    service.dimension = 512

    with pytest.raises(Misconfigured, match="KITH_VOYAGE_DIMENSION"):
        await opened(service)


async def test_a_service_that_is_away_does_not_stop_the_start(service):
    service.down = 503

    await opened(service)


async def test_neither_the_key_nor_a_text_is_in_a_log(service, embedder, caplog, capsys):
    caplog.set_level("DEBUG")
    service.faults.append(stand_in.error(401, "Provided API key is invalid."))
    with pytest.raises(Unavailable):
        await embedder.embed(["a private matter"], DOCUMENT)

    await embedder.embed(["a private matter"], DOCUMENT)

    printed = capsys.readouterr()
    said = caplog.text + printed.out + printed.err
    assert "voyage answers 401" in said
    assert stand_in.KEY not in said
    assert "private" not in said


def test_only_where_it_is_chosen_is_the_package_imported():
    script = (
        "import sys; import knowledge_svc.__main__; "
        "sys.exit(bool({'voyageai', 'pinecone', 'wordllama'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
