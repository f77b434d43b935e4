"""A second opinion on what was found, by a model that reads query and text together."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from knowledge_svc.domain.items import Item
from knowledge_svc.domain.searching import Question, Scored
from knowledge_svc.ports.searching import Reranker
from svckit import logs
from svckit.errors import InvalidRequest, Unavailable

log = logs.get(__name__)


class Reranking:
    """Reranks where a search asks for it."""

    def __init__(self, reranker: Reranker | None) -> None:
        self._reranker = reranker

    def ensure_possible(self, question: Question) -> None:
        """Raise InvalidRequest where a search asks for what is not configured."""
        if question.rerank and self._reranker is None:
            raise InvalidRequest("rerank", "needs a reranker, and none is configured")

    async def applied(
        self,
        question: Question,
        best: Sequence[Scored],
        items: Mapping[str, Item],
        *,
        until: float,
    ) -> tuple[Sequence[Scored], bool]:
        """The same in the reranker's order, and whether it could be asked.

        Where it fails, the order stays as it was; `min_score` is then not applied, because it
        speaks of the reranker's scores.
        """
        if not (question.rerank and self._reranker and best):
            return best, False
        texts = [items[one.knowledge_id].content for one in best]
        try:
            async with asyncio.timeout_at(until):
                scores = await self._reranker.rerank(question.query, texts)
        except Exception as error:
            known = isinstance(error, Unavailable | TimeoutError)
            log.warning("no reranking", why=str(error), exc_info=None if known else error)
            return best, False
        reranked = [
            replace(one, score=score, reranked=score)
            for one, score in zip(best, scores, strict=True)
            if question.min_score is None or score >= question.min_score
        ]
        return sorted(reranked, key=lambda one: (-one.score, one.knowledge_id)), True
