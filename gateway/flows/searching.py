"""Search: a person expands to subjects, and what may not be shown is left out."""

from collections.abc import Sequence

from gateway.clients import Clients
from gateway.errors import moved
from gateway.flows import relevance
from gateway.flows.filters import filter_of
from gateway.flows.owners import ownership_of, silent_among
from gateway.models.search import Search
from kith.knowledge.v1 import knowledge_service_pb2
from svckit import structs
from svckit.errors import InvalidRequest

MOST_HITS = 100

_MODES = {
    "hybrid": knowledge_service_pb2.SEARCH_MODE_HYBRID,
    "semantic": knowledge_service_pb2.SEARCH_MODE_SEMANTIC,
    "keyword": knowledge_service_pb2.SEARCH_MODE_KEYWORD,
}


class Searching:
    """Reads what is known, of a person or of everybody."""

    def __init__(
        self, clients: Clients, consent_default: relevance.ConsentDefault, seconds: float
    ) -> None:
        self._clients = clients
        self._default = consent_default
        self._seconds = seconds

    async def search(self, search: Search) -> knowledge_service_pb2.SearchKnowledgeResponse:
        """The best hits that may be shown now."""
        request = knowledge_service_pb2.SearchKnowledgeRequest(
            query=search.query,
            mode=_MODES[search.mode],
            filter=await filter_of(
                self._clients.identity,
                search,
                search.namespaces,
                structs.from_dict(search.filter),
            ),
            limit=search.limit,
            at_least=search.at_least,
            min_score=search.min_score,
            expand=search.expand,
            rerank=search.rerank,
        )
        found = await self._found(request)
        shown = await self._shown(found.hits)
        if len(shown) < len(found.hits) == search.limit < MOST_HITS:
            # Some of the page may not be shown: what is behind it fills it up.
            request.limit = MOST_HITS
            found = await self._found(request)
            shown = await self._shown(found.hits)
        return knowledge_service_pb2.SearchKnowledgeResponse(
            hits=shown[: search.limit],
            pending_tokens=found.pending_tokens,
            degraded=found.degraded,
            reranked=found.reranked,
        )

    async def _found(
        self, request: knowledge_service_pb2.SearchKnowledgeRequest
    ) -> knowledge_service_pb2.SearchKnowledgeResponse:
        try:
            return await self._clients.knowledge.search(request, self._seconds)
        except InvalidRequest as error:
            raise moved(error, "filter.metadata", "filter") from None

    async def _shown(
        self, hits: Sequence[knowledge_service_pb2.SearchHit]
    ) -> list[knowledge_service_pb2.SearchHit]:
        """The hits without those of people who do not allow knowledge now."""
        items = [hit.item for hit in hits] + [near.item for hit in hits for near in hit.beside]
        silent = await silent_among(self._clients.identity, items, self._default)
        shown = [hit for hit in hits if ownership_of(hit.item) not in silent]
        for hit in shown:
            near = [one for one in hit.beside if ownership_of(one.item) not in silent]
            del hit.beside[:]
            hit.beside.extend(near)
        return shown
