"""Edits and deletions of messages: the events that they are, and what a message says after them.

Pure, as `entries` is. The log has the order: of several edits the last one in it counts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from gateway.flows import entries, relevance
from gateway.flows.entries import RESERVED
from gateway.flows.relevance import Decision
from gateway.models.messages import MessageDeletion, MessageEdit
from kith.event.v1 import event_pb2
from kith.identity.v1 import person_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import fields, ids, structs

EDIT, DELETION = "message_edit", "message_delete"

# What was decided about a message once, whatever it says later. (An event that somebody logged
# by other means than as a message was never decided about.)
_FINAL = ("asked_for", "declined", "not_decided")
# Edits decided so are not to be known.
_UNHEARD = ("consent_denied", "declined", "not_decided")


@dataclass(frozen=True, slots=True)
class Origin:
    """The message that an edit or a deletion is of."""

    event_id: str
    position: int


def change_id(event_id: str, kind: str, edit_id: str) -> str:
    """The id of the event of a change that a client named; `kind` is `edit` or `delete`."""
    return ids.named(event_id, kind, edit_id)


def decision_on(
    text: str, original: event_pb2.Event, consent: person_pb2.Consent,
    default: relevance.ConsentDefault,
) -> Decision:  # fmt: skip
    """Whether a new text makes a message worth knowing; one that is known already stays so."""
    if not relevance.allows_knowledge(consent, default):
        return Decision(False, "consent_denied")
    before = entries.decision_of(original)
    if before.reason in _FINAL:
        return before
    reason = relevance.irrelevance(text)
    return Decision(False, reason) if reason else Decision(True, "relevant")


def edit_event(
    event_id: str, original: event_pb2.Event, edit: MessageEdit, consent: person_pb2.Consent,
    decision: Decision, *, keep_text: bool,
) -> event_pb2.NewEvent:  # fmt: skip
    """The event of an edit; without its text where that may not be kept."""
    kith: dict[str, Any] = {
        "knowledge": {"wanted": decision.wanted, "reason": decision.reason},
        "replaces_metadata": edit.metadata is not None,
    }
    event = _change(EDIT, event_id, original, edit, kith, edit.metadata or {})
    if keep_text:
        event.content["text"] = edit.text
    event.consent_version = consent.version
    return event


def deletion_event(
    event_id: str, original: event_pb2.Event, deletion: MessageDeletion
) -> event_pb2.NewEvent:
    """The event of a deletion."""
    return _change(DELETION, event_id, original, deletion, {}, {})


def is_message(event: event_pb2.Event) -> bool:
    """Whether an event is something that was said to or by somebody."""
    return event.event_type == entries.MESSAGE and bool(event.person_id and event.subject_id)


def origin_of(change: event_pb2.Event) -> Origin | None:
    """Which message a change is of; None for what was redacted, or is no change of Kith's."""
    position = _kith(change).get("message_position")
    event_id = structs.to_dict(change.content).get("message_event_id")
    if not isinstance(position, int) or not isinstance(event_id, str) or not ids.is_uuid(event_id):
        return None
    return Origin(event_id, position)


def is_heard(edit: event_pb2.Event) -> bool:
    """Whether an edit changes what is to be known."""
    return bool(_text(edit)) and entries.decision_of(edit).reason not in _UNHEARD


def current(original: event_pb2.Event, edits: Sequence[event_pb2.Event]) -> event_pb2.Event:
    """A message as it reads after edits, which are in the order of the log.

    What is worth knowing once stays so, whatever it says later: only deletions take away.
    """
    heard = [edit for edit in edits if is_heard(edit)]
    if not heard:
        return original
    event = event_pb2.Event()
    event.CopyFrom(original)
    event.content["text"] = _text(heard[-1])
    decisions = [entries.decision_of(each) for each in (original, *heard)]
    decision = next((each for each in decisions if each.wanted), decisions[-1])
    metadata = _metadata_after(heard)
    if metadata is None:
        metadata = structs.to_dict(original.metadata)
    metadata[RESERVED] = {
        **_kith(original),
        "knowledge": {"wanted": decision.wanted, "reason": decision.reason},
        "edit": _mark(heard[-1]),
    }
    event.metadata.CopyFrom(structs.from_dict(metadata))
    return event


def as_read(events: Sequence[event_pb2.Event]) -> list[event_pb2.Event]:
    """The messages among events that are newest first, each with the text of its last edit."""
    edits: dict[str, event_pb2.Event] = {}
    for event in events:
        if event.event_type == EDIT and _text(event) and (origin := origin_of(event)):
            edits.setdefault(origin.event_id, event)
    return [
        _retold(event, edits[event.event_id]) if event.event_id in edits else event
        for event in events
        if event.event_type == entries.MESSAGE
    ]


def is_edited(original: event_pb2.Event, edits: Sequence[event_pb2.Event]) -> bool:
    """Whether a message that is worth knowing says something else after its edits."""
    after = current(original, edits)
    return after is not original and entries.decision_of(after).wanted


def update_of(
    item: knowledge_pb2.Knowledge, edits: Sequence[event_pb2.Event]
) -> knowledge_service_pb2.UpdateKnowledgeRequest:
    """What of a message's edits its item does not say yet, if it is still as it was read."""
    metadata = structs.to_dict(item.metadata)
    mark = _edit_in(metadata.pop(RESERVED, None))
    newer = [edit for edit in edits if is_heard(edit) and edit.position > mark.get("position", 0)]
    request = knowledge_service_pb2.UpdateKnowledgeRequest(
        knowledge_id=item.knowledge_id, etag=item.etag
    )
    patch: dict[str, Any] = {}
    if newer:
        request.content, mark = _text(newer[-1]), _mark(newer[-1])
        replaced = _metadata_after(newer)
        patch = {} if replaced is None else _patch(metadata, replaced)
    request.metadata_patch.CopyFrom(structs.from_dict({**patch, RESERVED: {"edit": mark}}))
    return request


def _change(
    event_type: str, event_id: str, original: event_pb2.Event, sent: MessageEdit | MessageDeletion,
    kith: dict[str, Any], metadata: dict[str, Any],
) -> event_pb2.NewEvent:  # fmt: skip
    said = structs.to_dict(original.content)
    content: dict[str, Any] = {name: said[name] for name in ("message_id", "role") if name in said}
    return event_pb2.NewEvent(
        event_id=event_id,
        link_id=original.link_id,
        person_id=original.person_id,
        group_id=original.group_id,
        session_id=original.session_key or original.session_id,
        event_type=event_type,
        platform=original.platform,
        content=structs.from_dict({**content, "message_event_id": original.event_id}),
        metadata=structs.from_dict(
            {**metadata, RESERVED: {**kith, "message_position": original.position}}
        ),
        occurred_at=fields.to_timestamp(sent.timestamp),
        request_hash=_body_hash(event_type, original.event_id, sent),
    )


def _retold(message: event_pb2.Event, edit: event_pb2.Event) -> event_pb2.Event:
    if message.HasField("redacted_at"):
        return message
    event = event_pb2.Event()
    event.CopyFrom(message)
    event.content["text"] = _text(edit)
    event.metadata[RESERVED] = {**_kith(message), "edit": _mark(edit)}
    return event


def _body_hash(event_type: str, event_id: str, sent: BaseModel) -> bytes:
    """What "same body" means: the fields that the client sent, however they were spelled."""
    body = sent.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    said = orjson.dumps([event_type, event_id, body], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).digest()


def _text(event: event_pb2.Event) -> str:
    return event.content.fields["text"].string_value if "text" in event.content.fields else ""


def _kith(event: event_pb2.Event) -> dict[str, Any]:
    kith = structs.to_dict(event.metadata).get(RESERVED)
    return kith if isinstance(kith, dict) else {}


def _mark(edit: event_pb2.Event) -> dict[str, Any]:
    """What an item says of where its text is from."""
    return {"event_id": edit.event_id, "position": edit.position}


def _edit_in(kith: Any) -> dict[str, Any]:
    mark = kith.get("edit") if isinstance(kith, dict) else None
    return mark if isinstance(mark, dict) and isinstance(mark.get("position"), int) else {}


def _metadata_after(edits: Sequence[event_pb2.Event]) -> dict[str, Any] | None:
    """The metadata that the last of the edits that brought any has left; None where none did."""
    for edit in reversed(edits):
        if _kith(edit).get("replaces_metadata") is True:
            metadata = structs.to_dict(edit.metadata)
            metadata.pop(RESERVED)
            return _without_nulls(metadata)
    return None


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same without members that are null, which a merge patch cannot set."""
    return {
        key: _without_nulls(member) if isinstance(member, dict) else member
        for key, member in value.items()
        if member is not None
    }


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7396) that makes `new` of `old`."""
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        is_inside = isinstance(value, dict) and isinstance(before, dict)
        patch[key] = _patch(old[key], value) if is_inside else value
    return patch
