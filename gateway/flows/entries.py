"""The events that the gateway writes, and the knowledge made from them.

Pure: the same inputs give the same ids and hashes, in every gateway and at every retry.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from google.protobuf import struct_pb2

from gateway.flows.relevance import Decision
from gateway.models.messages import Message
from gateway.rendering import values
from kith.event.v1 import event_pb2
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.knowledge.v1 import knowledge_pb2
from svckit import fields, ids, structs

MESSAGE, REGISTRATION = "message", "registration"
NAMESPACE = "messages"
# The key of an event's metadata that is Kith's own.
RESERVED = "kith"

IdempotencyKey = Sequence[str]


def registration_id(link_id: str) -> str:
    """The id of the event that says that a link was made."""
    return ids.derived(link_id, REGISTRATION)


def registration_event(
    linked: identity_service_pb2.Identity | person_pb2.Link,
) -> event_pb2.NewEvent:
    """The event that says that a link was made."""
    return event_pb2.NewEvent(
        event_id=registration_id(linked.link_id),
        link_id=linked.link_id,
        person_id=linked.person_id,
        event_type=REGISTRATION,
        platform=linked.platform,
        content=structs.from_dict({"platform_id": linked.platform_id}),
        # Only a link read back later knows; otherwise it is being made now.
        occurred_at=linked.created_at if isinstance(linked, person_pb2.Link) else None,
        # Whoever logs it, at once or after a crash, logs the same body.
        request_hash=hashlib.sha256(f"{REGISTRATION} {linked.link_id}".encode()).digest(),
    )


def message_id(message: Message, sender: str, key: IdempotencyKey | None) -> str:
    """The id of a message's event; `sender` is the sender's id as identity writes it."""
    if message.message_id is not None:
        place = message.group_id or message.session_id or ""
        return ids.named(message.platform, place, sender, message.message_id)
    return ids.named(*key) if key else ids.new()


def message_event(
    event_id: str, message: Message, identity: identity_service_pb2.Identity,
    decision: Decision, *, keep_text: bool,
) -> event_pb2.NewEvent:  # fmt: skip
    """The event of a message; without its text where that may not be kept."""
    content = {"message_id": message.message_id, "role": message.role}
    if keep_text:
        content["text"] = message.text
    kith: dict[str, Any] = {"knowledge": {"wanted": decision.wanted, "reason": decision.reason}}
    if message.role == "assistant":
        kith["sender_id"] = message.sender_id
    return event_pb2.NewEvent(
        event_id=event_id,
        link_id=identity.link_id,
        person_id=identity.person_id,
        group_id=message.group_id or "",
        session_id=message.session_id or "",
        event_type=MESSAGE,
        platform=message.platform,
        content=structs.from_dict({k: v for k, v in content.items() if v is not None}),
        metadata=structs.from_dict({**message.metadata, RESERVED: kith}),
        occurred_at=fields.to_timestamp(message.timestamp),
        consent_version=identity.consent.version,
        request_hash=_body_hash(message),
    )


def as_logged(new: event_pb2.NewEvent, logged: event_pb2.LoggedEvent) -> event_pb2.Event:
    """A new event as the log holds it."""
    event = event_pb2.Event(
        event_id=new.event_id,
        position=logged.position,
        subject_id=new.link_id,
        person_id=new.person_id,
        link_id=new.link_id,
        group_id=new.group_id,
        session_id=values.conversation(new.session_id, new.platform),
        event_type=new.event_type,
        platform=new.platform,
        content=new.content,
        metadata=new.metadata,
        created_at=logged.created_at,
    )
    event.occurred_at.CopyFrom(
        new.occurred_at if new.HasField("occurred_at") else logged.created_at
    )
    return event


def decision_of(event: event_pb2.Event) -> Decision:
    """What was decided about a message when it was logged."""
    if event.HasField("redacted_at"):
        return Decision(False, "gone")
    kith = _member(event.metadata, RESERVED)
    decided = structs.to_dict(_member(kith, "knowledge"))
    wanted, reason = decided.get("wanted") is True, str(decided.get("reason", "not_decided"))
    return Decision(wanted, reason) if _text_of(event) or not wanted else Decision(False, "gone")


def knowledge_id(event_id: str) -> str:
    """The id of the knowledge made from an event."""
    return ids.derived(event_id, "knowledge")


def knowledge_item(event: event_pb2.Event) -> knowledge_pb2.NewKnowledge:
    """The knowledge made from a logged message, the same whoever makes it, and when.

    Of one that was edited since, `event` is what it is now (`versions.current`).
    """
    metadata = struct_pb2.Struct()
    metadata.CopyFrom(event.metadata)
    edit = _member(_member(metadata, RESERVED), "edit")
    metadata.fields.pop(RESERVED, None)
    if edit.fields:
        # Of Kith's own an item says only which edit its text is from.
        metadata.update({RESERVED: {"edit": structs.to_dict(edit)}})
    return knowledge_pb2.NewKnowledge(
        knowledge_id=knowledge_id(event.event_id),
        namespace=NAMESPACE,
        content=_text_of(event),
        metadata=metadata,
        subject_id=event.subject_id,
        person_id=event.person_id,
        group_id=event.group_id,
        session_id=event.session_id,
        platform=event.platform,
        source_event_id=event.event_id,
        source_position=event.position,
        occurred_at=event.occurred_at,
        # An event never changes, and edits are changes of the item: the id stands for the body.
        request_hash=hashlib.sha256(f"knowledge of {event.event_id}".encode()).digest(),
    )


def _text_of(event: event_pb2.Event) -> str:
    # To ask a map field for what is not there would add it.
    return event.content.fields["text"].string_value if "text" in event.content.fields else ""


def _member(struct: struct_pb2.Struct, key: str) -> struct_pb2.Struct:
    return struct.fields[key].struct_value if key in struct.fields else struct_pb2.Struct()


def _body_hash(message: Message) -> bytes:
    """What "same body" means: the fields that the client sent, however they were spelled."""
    body = message.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
