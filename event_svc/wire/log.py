"""The contract's messages to the domain, checked on the way, and back."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from event_svc.domain.log import (
    MOST_EVENTS,
    Append,
    Event,
    EventFilter,
    EventPage,
    LoggedEvent,
    NewEvent,
    body_hash,
)
from event_svc.domain.redaction import is_notice
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import fields, ids, pages, structs
from svckit.errors import InvalidRequest

CONTENT_BYTES = 256 << 10
# A message's own 16 KiB, and room for what the gateway adds.
METADATA_BYTES = 17 << 10
MOST_SESSION_CHARACTERS = 256
MOST_SCOPE_CHARACTERS = 128
MOST_SUBJECTS = 1000
MOST_WORDS = 32
HASH_BYTES = 32

_LARGEST = 2**63 - 1

# Most events belong to conversations that are going on, and hashing is not free.
_conversation = lru_cache(maxsize=10_000)(ids.conversation)


def to_append(messages: Sequence[event_pb2.NewEvent]) -> Append:
    """Events to be logged together; problems are named `events[0].platform` and so on."""
    fields.batch(messages, "events", most=MOST_EVENTS)
    events = [_to_new_event(message, f"events[{n}]") for n, message in enumerate(messages)]
    seen: set[str] = set()
    for index, event in enumerate(events):
        if event.event_id in seen:
            raise InvalidRequest(f"events[{index}].event_id", "occurs twice in the request")
        seen.add(event.event_id)
    return Append(events, _bytes_of(messages))


def to_append_of_one(message: event_pb2.NewEvent) -> Append:
    """A single event; problems are named `event.platform` and so on."""
    return Append((_to_new_event(message, "event"),), _bytes_of((message,)))


def from_logged(event: LoggedEvent) -> event_pb2.LoggedEvent:
    """Where an event stands."""
    return event_pb2.LoggedEvent(
        event_id=event.event_id,
        position=event.position,
        created_at=fields.to_timestamp(event.created_at),
        duplicate=event.duplicate,
    )


def from_all_logged(logged: Sequence[LoggedEvent]) -> pb.LogEventsResponse:
    """Where the events of one request stand."""
    return pb.LogEventsResponse(events=[from_logged(event) for event in logged])


def from_event(event: Event) -> event_pb2.Event:
    """An entry of the log."""
    return event_pb2.Event(
        event_id=event.event_id,
        position=event.position,
        subject_id=event.subject_id or "",
        person_id=event.person_id or "",
        link_id=event.link_id or "",
        group_id=event.group_id or "",
        session_id=event.session_id or "",
        session_key=event.session_key or "",
        event_type=event.event_type,
        platform=event.platform,
        content=structs.from_dict(event.content),
        metadata=structs.from_dict(event.metadata),
        occurred_at=fields.to_timestamp(event.occurred_at),
        created_at=fields.to_timestamp(event.created_at),
        consent_version=event.consent_version,
        redacted_at=fields.to_timestamp(event.redacted_at),
        redaction_reason=event.redaction_reason or "",
    )


def from_page(page: EventPage, shown: Sequence[Event]) -> tuple[list[event_pb2.Event], bool, int]:
    """What is shown of a page, as far as any client can take it; whether others may follow, and
    up to where it was looked at then.

    The store counts what it has as text, and a digit takes eleven bytes in a message.
    """
    messages = pages.fitting(map(from_event, shown))
    if len(messages) < len(shown):
        return messages, True, messages[-1].position
    return messages, page.more, page.scanned_position


def to_filter(message: event_pb2.EventFilter) -> EventFilter:
    """A checked filter; problems are named `filter.group_id` and so on."""
    return EventFilter(
        subject_ids=fields.uuids(message.subject_ids, "filter.subject_ids", most=MOST_SUBJECTS),
        group_id=fields.optional_uuid(message.group_id, "filter.group_id"),
        session_id=fields.optional_uuid(message.session_id, "filter.session_id"),
        event_types=to_event_types(message.event_types, "filter.event_types"),
        platforms=fields.words(message.platforms, "filter.platforms", most=MOST_WORDS),
        occurred_from=fields.timestamp(message, "filter.occurred_from"),
        occurred_to=fields.timestamp(message, "filter.occurred_to"),
    )


def query_of(request: pb.ListEventsRequest, chosen: EventFilter, *, descending: bool) -> Any:
    """What page tokens are bound to: everything but the size of a page."""
    return [*choice_of(chosen, request.page_scope), request.after_position, descending]


def choice_of(chosen: EventFilter, page_scope: str) -> list[Any]:
    """A filter, as far as page tokens are bound to it.

    A scope stands in place of the subjects, so that these may change between two pages.
    """
    scope = _characters(page_scope, "page_scope", most=MOST_SCOPE_CHARACTERS)
    return [
        scope or sorted(set(chosen.subject_ids)),
        chosen.group_id,
        chosen.session_id,
        sorted(set(chosen.event_types)),
        sorted(set(chosen.platforms)),
        chosen.occurred_from,
        chosen.occurred_to,
    ]


def to_event_types(names: Sequence[str], field: str) -> list[str]:
    """Up to 32 types of events; none is fine."""
    return [
        _event_type(name, f"{field}[{index}]")
        for index, name in enumerate(_at_most(MOST_WORDS, names, field))
    ]


def to_place(page_token: str, query: Any) -> int | None:
    """The position of the last event of the page before, None where there is none."""
    found = pages.place(page_token, query)
    if found is not None and not (type(found) is int and 0 < found <= _LARGEST):
        raise InvalidRequest("page_token", "is malformed")
    return found


def to_descending(order: int) -> bool:
    """Whether the newest come first."""
    if order not in pb.Order.values():
        raise InvalidRequest("order", "is unknown")
    return order == pb.ORDER_DESCENDING


def to_follows(request: pb.ListEventsRequest) -> bool:
    """Whether the caller goes on where it was."""
    if request.follow and request.order == pb.ORDER_DESCENDING:
        raise InvalidRequest("follow", "is only for ascending order")
    return request.follow


def to_position(value: int, field: str) -> int:
    """A place in the log, 0 for its beginning."""
    if value < 0:
        raise InvalidRequest(field, "must not be negative")
    return value


def _to_new_event(message: event_pb2.NewEvent, field: str) -> NewEvent:
    body = _to_body(message, field)
    request_hash = message.request_hash
    if request_hash and len(request_hash) != HASH_BYTES:
        raise InvalidRequest(f"{field}.request_hash", f"must be {HASH_BYTES} bytes")
    if message.consent_version < 0:
        raise InvalidRequest(f"{field}.consent_version", "must not be negative")
    return NewEvent(
        event_id=fields.optional_uuid(message.event_id, f"{field}.event_id") or ids.new(),
        body=body,
        body_hash=request_hash.hex() if request_hash else body_hash(body),
        consent_version=message.consent_version,
    )


def _to_body(message: event_pb2.NewEvent, field: str) -> dict[str, Any]:
    platform = fields.word(message.platform, f"{field}.platform")
    event_type = _event_type(message.event_type, f"{field}.event_type")
    if is_notice(platform, event_type):
        raise InvalidRequest(f"{field}.event_type", f"is the service's own on platform {platform}")
    body: dict[str, Any] = {"event_type": event_type, "platform": platform}
    if message.person_id:
        body["person_id"] = fields.uuid(message.person_id, f"{field}.person_id")
    if message.link_id:
        body["link_id"] = fields.uuid(message.link_id, f"{field}.link_id")
    if message.group_id:
        body["group_id"] = fields.uuid(message.group_id, f"{field}.group_id")
    if message.session_id:
        name = _characters(message.session_id, f"{field}.session_id", most=MOST_SESSION_CHARACTERS)
        body["session_id"] = _conversation(platform, name)
        if not ids.is_uuid(name):
            body["session_key"] = name
    content = fields.struct(message.content, f"{field}.content", most_bytes=CONTENT_BYTES)
    if content:
        body["content"] = content
    metadata = fields.struct(message.metadata, f"{field}.metadata", most_bytes=METADATA_BYTES)
    if metadata:
        body["metadata"] = metadata
    occurred_at = fields.timestamp(message, f"{field}.occurred_at")
    if occurred_at:
        body["occurred_at"] = occurred_at
    return body


def _event_type(value: str, field: str) -> str:
    if fields.word(value, field) != value:
        raise InvalidRequest(field, "must be in lower case")
    return value


def _characters(value: str, field: str, *, most: int) -> str:
    structs.check_text(value, field)
    if len(value) > most:
        raise InvalidRequest(field, f"is {len(value)} characters long; at most {most} are allowed")
    return value


def _at_most(most: int, values: Sequence[str], field: str) -> Sequence[str]:
    if len(values) > most:
        raise InvalidRequest(field, f"has {len(values)} values; at most {most} are allowed")
    return values


def _bytes_of(messages: Iterable[event_pb2.NewEvent]) -> int:
    # Beside what was sent: the hash, and the names of the fields.
    return sum(message.ByteSize() + 300 for message in messages)
