"""What every Reranker does; a new adapter adds a fixture and a name to `reranker`."""

from collections.abc import AsyncIterator

import pytest

from knowledge_svc.adapters.voyage import VoyageModel, open_voyage
from knowledge_svc.ports.searching import Reranker
from svckit.errors import Unavailable
from tests.support import voyage as stand_in

TEXTS = ["the invoice is due on Friday", "canine pets are great", " ", "", "dogs are loved here"]


@pytest.fixture
async def service() -> AsyncIterator[stand_in.Voyage]:
    service = stand_in.Voyage()
    async with service.running():
        yield service


@pytest.fixture
async def reranker(service: stand_in.Voyage) -> AsyncIterator[Reranker]:
    async with open_voyage(stand_in.KEY, VoyageModel(url=service.url)) as (_, reranker):
        yield reranker


async def test_each_text_has_a_score_in_its_place_and_the_better_answers_higher_ones(reranker):
    invoice, pets, blank, empty, loved = await reranker.rerank("I love dogs", TEXTS)

    assert min(pets, loved) > invoice
    assert blank == empty == 0
    assert all(0 <= score <= 1 for score in (invoice, pets, loved))
    assert reranker.model


@pytest.mark.parametrize(("query", "texts"), [("dogs", []), ("dogs", [" "]), (" ", ["dogs"])])
async def test_nothing_to_read_is_worth_nothing(service, reranker, query, texts):
    service.asked.clear()

    assert await reranker.rerank(query, texts) == [0.0] * len(texts)
    assert not service.asked


async def test_more_texts_than_one_request_takes_keep_their_places(service, reranker):
    texts = ["the invoice is due on Friday"] * 450
    texts[7] = texts[333] = "dogs are loved here"
    service.asked.clear()

    scores = await reranker.rerank("I love dogs", texts)

    assert len(service.asked) == 3
    assert scores[7] == pytest.approx(scores[333])
    assert [place for place, score in enumerate(scores) if score > scores[0] + 0.01] == [7, 333]


async def test_scores_that_are_missing_are_not_made_up(service, reranker):
    data = [{"relevance_score": 0.5, "index": 0}]
    service.faults.append(stand_in.answer({"data": data, "usage": {"total_tokens": 1}}))

    with pytest.raises(Unavailable, match="3 scores"):
        await reranker.rerank("I love dogs", TEXTS)


async def test_many_long_texts_fit_into_one_request(reranker):
    texts = [f"number {n}, and so on 你好 " * 2_000 for n in range(150)]

    scores = await reranker.rerank("which number? 你好 " * 3_000, texts)

    assert len(scores) == 150
    assert all(scores)


async def test_a_model_that_is_away_is_unavailable(service, reranker):
    service.down = 503

    with pytest.raises(Unavailable):
        await reranker.rerank("dogs", TEXTS)
