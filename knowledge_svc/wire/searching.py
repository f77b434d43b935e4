"""Searches, from messages and to messages."""

import math

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.searching import Found, Hit, Mode, Question, Scored
from knowledge_svc.wire.items import from_item, index_token, to_filter, to_write
from svckit import fields
from svckit.errors import InvalidRequest

QUERY_BYTES = 8 << 10
_MOST_HITS = 100
_MOST_BESIDE = 10
# What comes along with the hits is to leave room in a message of 16 MiB.
_MOST_BYTES = 12 << 20

_MODES = {
    pb.SEARCH_MODE_UNSPECIFIED: Mode.HYBRID,
    pb.SEARCH_MODE_HYBRID: Mode.HYBRID,
    pb.SEARCH_MODE_SEMANTIC: Mode.SEMANTIC,
    pb.SEARCH_MODE_KEYWORD: Mode.KEYWORD,
}


def to_question(request: pb.SearchKnowledgeRequest, seconds: float) -> Question:
    """A search that has so many seconds."""
    if request.mode not in _MODES:
        raise InvalidRequest("mode", "is unknown")
    if request.limit < 0:
        raise InvalidRequest("limit", "must not be negative")
    if len(request.at_least) > 100:
        raise InvalidRequest(
            "at_least", f"has {len(request.at_least)} values; at most 100 are allowed"
        )
    return Question(
        query=fields.text(request.query, "query", most=QUERY_BYTES),
        mode=_MODES[request.mode],
        filter=to_filter(request.filter),
        limit=min(request.limit or 10, _MOST_HITS),
        at_least=[
            to_write(token, f"at_least[{index}]") for index, token in enumerate(request.at_least)
        ],
        seconds=seconds,
        min_score=_least(request),
        expand=_expand(request.expand),
        rerank=request.rerank,
    )


def _least(request: pb.SearchKnowledgeRequest) -> float | None:
    if not request.HasField("min_score"):
        return None
    if not math.isfinite(request.min_score):
        raise InvalidRequest("min_score", "must be a finite number")
    return request.min_score


def _expand(items: int) -> int:
    if not 0 <= items <= _MOST_BESIDE:
        raise InvalidRequest("expand", f"must be 0 to {_MOST_BESIDE}")
    return items


def from_found(found: Found) -> pb.SearchKnowledgeResponse:
    """The answer to a search, with neighbours of the best hits only where all are too large."""
    hits = [_from_hit(hit) for hit in found.hits]
    left = _MOST_BYTES - sum(hit.ByteSize() for hit in hits)
    for hit, shown in zip(found.hits, hits, strict=True):
        beside = [
            pb.Neighbour(item=from_item(other.item), distance=other.distance)
            for other in hit.beside
        ]
        left -= sum(other.ByteSize() for other in beside)
        if left < 0:
            break
        shown.beside.extend(beside)
    return pb.SearchKnowledgeResponse(
        hits=hits,
        pending_tokens=map(index_token, found.pending),
        degraded=found.is_degraded,
        reranked=found.is_reranked,
    )


def _from_hit(hit: Hit) -> pb.SearchHit:
    return pb.SearchHit(
        item=from_item(hit.item),
        score=hit.scored.score,
        scores=_from_scored(hit.scored),
    )


def _from_scored(scored: Scored) -> pb.SearchScores:
    return pb.SearchScores(
        keyword=scored.keyword,
        semantic=scored.semantic,
        conversation=scored.conversation,
        kin=[pb.KinWord(asked=k.asked, found=k.found, share=k.share) for k in scored.kin],
        rerank=scored.reranked,
    )
