"""What is known."""

from gateway.answers import knowledge as answers
from gateway.rendering.values import moment
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import structs

_INDEX_STATES = {
    knowledge_pb2.INDEX_STATE_PENDING: "pending",
    knowledge_pb2.INDEX_STATE_INDEXED: "indexed",
    knowledge_pb2.INDEX_STATE_FAILED: "failed",
}


def hit(message: knowledge_service_pb2.SearchHit) -> answers.HitAnswer:
    """One item found."""
    scores = message.scores
    return {
        **known(message.item),
        "score": message.score,
        "scores": {
            "keyword": scores.keyword if scores.HasField("keyword") else None,
            "semantic": scores.semantic if scores.HasField("semantic") else None,
            "conversation": scores.conversation if scores.HasField("conversation") else None,
            "kin": [{"asked": k.asked, "found": k.found, "share": k.share} for k in scores.kin],
            "rerank": scores.rerank if scores.HasField("rerank") else None,
        },
        "beside": [{**known(near.item), "distance": near.distance} for near in message.beside],
    }


def known(item: knowledge_pb2.Knowledge) -> answers.ItemAnswer:
    """What all answers about an item say of it."""
    return {
        "knowledge_id": item.knowledge_id,
        "content": item.content,
        "namespace": item.namespace,
        "metadata": structs.to_dict(item.metadata),
        "person_id": item.person_id or None,
        "group_id": item.group_id or None,
        "session_id": item.session_id or None,
        "platform": item.platform or None,
        "occurred_at": moment(item, "occurred_at"),
        "source_event_id": item.source_event_id or None,
        "source_position": item.source_position or None,
        "document_id": item.document_id or None,
        "place": _place(item.place) if item.HasField("place") else None,
        "index_state": _INDEX_STATES.get(item.index_state, "pending"),
    }


def _place(message: knowledge_pb2.DocumentPlace) -> answers.PlaceAnswer:
    return {
        "chunk_number": message.chunk_number,
        "page": message.page or None,
        "start": message.start,
        "end": message.end,
        "speakers": [*message.speakers],
        "seconds": message.seconds if message.HasField("seconds") else None,
    }
