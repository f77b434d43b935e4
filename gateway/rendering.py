"""Messages of the services as the answers of the gateway, and values of requests as messages."""

from datetime import UTC, datetime
from typing import Any

import orjson
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from starlette.responses import Response

from gateway import answers
from kith.event.v1 import event_pb2
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import ids, structs

STATES = {
    "granted": person_pb2.CONSENT_STATE_GRANTED,
    "denied": person_pb2.CONSENT_STATE_DENIED,
    "unset": person_pb2.CONSENT_STATE_UNSET,
}
_STATE_NAMES = {state: name for name, state in STATES.items()}
_INDEX_STATES = {
    knowledge_pb2.INDEX_STATE_PENDING: "pending",
    knowledge_pb2.INDEX_STATE_INDEXED: "indexed",
    knowledge_pb2.INDEX_STATE_FAILED: "failed",
}


def respond(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(orjson.dumps(answer), status, headers, media_type="application/json")


def moment(message: Message, field: str) -> str | None:
    """A Timestamp field as RFC 3339 text in UTC, None where it is not set."""
    if not message.HasField(field):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, field)
    whole = datetime.fromtimestamp(value.seconds, UTC).replace(microsecond=value.nanos // 1000)
    return whole.isoformat().replace("+00:00", "Z")


def conversation(session_id: str | None, platform: str) -> str:
    """The UUID of the conversation that a client names; empty for none."""
    return ids.conversation(platform, session_id) if session_id else ""


def identity(message: identity_service_pb2.Identity) -> answers.IdentityAnswer:
    """Who holds a platform id."""
    return {
        "person_id": message.person_id,
        "link_id": message.link_id,
        "platform": message.platform,
        "platform_id": message.platform_id,
        "consent": consent(message.consent),
    }


def consent(message: person_pb2.Consent) -> answers.ConsentAnswer:
    """Decisions by purpose."""
    purposes = {
        purpose: _STATE_NAMES[state]
        for purpose, state in sorted(message.purposes.items())
        if state in _STATE_NAMES
    }
    return {"purposes": purposes, "version": message.version}


def person(message: person_pb2.Person) -> answers.PersonAnswer:
    """Somebody the app knows."""
    return {
        "person_id": message.person_id,
        "created_at": moment(message, "created_at"),
        "last_seen_at": moment(message, "last_seen_at"),
        "metadata": structs.to_dict(message.metadata),
        "consent": consent(message.consent),
        "etag": message.etag,
    }


def link(message: person_pb2.Link) -> answers.LinkAnswer:
    """One tenure of one platform id."""
    return {
        "link_id": message.link_id,
        "person_id": message.person_id,
        "platform": message.platform,
        "platform_id": message.platform_id,
        "original_platform_id": message.original_platform_id,
        "verified": message.verified,
        "created_at": moment(message, "created_at"),
        "ended_at": moment(message, "ended_at"),
    }


def event(message: event_pb2.Event) -> answers.EventAnswer:
    """An entry of the log."""
    return {
        "event_id": message.event_id,
        "position": message.position,
        "event_type": message.event_type,
        "platform": message.platform,
        "person_id": message.person_id or None,
        "link_id": message.link_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "session_key": message.session_key or None,
        "content": structs.to_dict(message.content),
        "metadata": structs.to_dict(message.metadata),
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "consent_version": message.consent_version,
    }


def hit(message: knowledge_service_pb2.SearchHit) -> answers.HitAnswer:
    """One item found."""
    item, scores = message.item, message.scores
    return {
        "knowledge_id": item.knowledge_id,
        "content": item.content,
        "score": message.score,
        "scores": {
            "keyword": scores.keyword if scores.HasField("keyword") else None,
            "semantic": scores.semantic if scores.HasField("semantic") else None,
        },
        "namespace": item.namespace,
        "metadata": structs.to_dict(item.metadata),
        "person_id": item.person_id or None,
        "group_id": item.group_id or None,
        "session_id": item.session_id or None,
        "platform": item.platform or None,
        "occurred_at": moment(item, "occurred_at"),
        "source_event_id": item.source_event_id or None,
        "source_position": item.source_position or None,
        "index_state": _INDEX_STATES.get(item.index_state, "pending"),
    }
