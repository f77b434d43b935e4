"""What every Embedder does; a new adapter adds a fixture and a name to `embedder`."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from knowledge_svc.adapters.remembering import MOST_REMEMBERED, RememberingEmbedder
from knowledge_svc.adapters.voyage import VoyageModel, open_voyage
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.ports.items import Embedder, Purpose
from tests.support import voyage as stand_in
from tests.support.knowledge import FailingEmbedder, wordllama

DOCUMENT, QUERY = Purpose.DOCUMENT, Purpose.QUERY


@pytest.fixture
def local() -> Embedder:
    return wordllama()


@pytest.fixture
async def voyage() -> AsyncIterator[Embedder]:
    async with (
        stand_in.Voyage().running() as url,
        open_voyage(stand_in.KEY, VoyageModel(dimension=512, url=url)) as (embedder, _),
    ):
        yield embedder


@pytest.fixture
def remembering() -> Embedder:
    return RememberingEmbedder(wordllama())


@pytest.fixture(params=["local", "voyage", "remembering"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    """Each kind of embedder in turn."""
    chosen: Embedder = request.getfixturevalue(request.param)
    return chosen


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_each_text_has_a_vector_of_the_models_dimension_and_of_length_one(embedder):
    texts = ["hello", "مرحبا", "你好", "👩‍👩‍👧", "a" * 5000, "!?", "two words"]

    vectors = await embedder.embed(texts, DOCUMENT)

    assert len(vectors) == len(texts)
    assert {len(vector) for vector in vectors} == {embedder.dimension}
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * 7, abs=1e-4)


async def test_no_texts_have_no_vectors(embedder):
    assert await embedder.embed([], DOCUMENT) == []


async def test_a_text_with_nothing_in_it_has_a_vector_of_zeros(embedder):
    empty, other = await embedder.embed(["", "tea"], DOCUMENT)

    assert empty == [0.0] * embedder.dimension
    assert any(other)


async def test_what_means_the_same_is_nearer_than_what_does_not(embedder):
    [query] = await embedder.embed(["I love dogs"], QUERY)
    like, unlike = await embedder.embed(
        ["canine pets are great", "the invoice is due on Friday"], DOCUMENT
    )

    assert cosine(query, like) > cosine(query, unlike) + 0.2


async def test_a_vector_does_not_depend_on_its_neighbours(embedder):
    texts = ["short", "a longer text about the sea " * 20, "你好", "", "x" * 3000]

    together = await embedder.embed(texts, DOCUMENT)
    alone = [(await embedder.embed([text], DOCUMENT))[0] for text in texts]

    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


async def test_of_a_very_long_text_the_beginning_counts(embedder):
    [long] = await embedder.embed(["the sea and the beach " * 3000], DOCUMENT)
    [topic] = await embedder.embed(["the sea and the beach"], QUERY)

    assert cosine(long, topic) > 0.8


async def test_many_callers_at_once_get_their_own_vectors(embedder):
    texts = [f"text number {n} " * (1 + 40 * (n % 5)) for n in range(40)]

    answers = await asyncio.gather(*(embedder.embed([text], DOCUMENT) for text in texts))

    expected = await embedder.embed(texts, DOCUMENT)
    for [answer], vector in zip(answers, expected, strict=True):
        assert answer == pytest.approx(vector, abs=1e-5)


async def test_the_local_model_is_loaded_once_by_whoever_comes_first():
    embedder = WordLlamaEmbedder()

    first, second, _ = await asyncio.gather(
        embedder.embed(["tea"], QUERY), embedder.embed(["tea"], QUERY), embedder.load()
    )

    assert first == second


async def test_an_embedder_leaves_the_loop_to_others(embedder):
    """A batch that takes long is worked on elsewhere."""
    await embedder.load()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    other = asyncio.create_task(others())
    text = "a text of some length, about this and that " * 50
    await embedder.embed([f"{n}. {text}" for n in range(400)], DOCUMENT)
    other.cancel()

    assert turns > 5


def test_an_embedder_says_what_its_cosines_mean(embedder):
    assert 0 <= embedder.calibration.unrelated < 1
    assert embedder.calibration.weight > 0


def test_what_remembers_has_the_calibration_of_what_it_asks(remembering):
    assert remembering.calibration == WordLlamaEmbedder.calibration


async def test_what_was_embedded_lately_is_not_embedded_again():
    counted = FailingEmbedder(lambda texts: None)
    embedder = RememberingEmbedder(counted)

    first = await embedder.embed(["tea", "coffee", "tea"], DOCUMENT)
    second = await embedder.embed(["coffee", "milk", "tea"], DOCUMENT)
    await embedder.embed(["tea"], QUERY)

    assert counted.calls == [["tea", "coffee"], ["milk"], ["tea"]]
    assert first[0] == first[2] == second[2]
    assert first[1] == second[0]


async def test_what_is_remembered_is_bounded_and_the_oldest_goes_first():
    counted = FailingEmbedder(lambda texts: None)
    embedder = RememberingEmbedder(counted)

    texts = [f"text {n}" for n in range(MOST_REMEMBERED + 10)]
    vectors = await embedder.embed(texts, DOCUMENT)
    counted.calls.clear()
    await embedder.embed(texts[10:], DOCUMENT)
    await embedder.embed(texts[:1], DOCUMENT)

    assert len(vectors) == len(texts)
    assert counted.calls == [texts[:1]]
