"""Reads what became of messages: their edits and deletions, in the order of the log."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.clients import MOST_EVENTS, MOST_IDS, Events
from gateway.flows import versions
from kith.event.v1 import event_pb2, event_service_pb2


@dataclass(slots=True)
class History:
    """The changes of a message that the log still tells: not those that were redacted."""

    edits: list[event_pb2.Event] = field(default_factory=list)
    is_deleted: bool = False


async def histories_of(events: Events, messages: Iterable[event_pb2.Event]) -> dict[str, History]:
    """The history of each message, by the id of its event.

    A change belongs to the same subject as its message and stands behind it, so the subjects
    are read from the first of the messages on.
    """
    ordered = sorted(messages, key=lambda message: message.position)
    found = {message.event_id: History() for message in ordered}
    for start in range(0, len(ordered), MOST_IDS):
        await _read(events, ordered[start : start + MOST_IDS], found)
    return found


async def current_of(events: Events, messages: Sequence[event_pb2.Event]) -> list[event_pb2.Event]:
    """Messages as they read now, in the same order."""
    histories = await histories_of(events, messages)
    return [versions.current(each, histories[each.event_id].edits) for each in messages]


async def _read(
    events: Events, messages: Sequence[event_pb2.Event], found: dict[str, History]
) -> None:
    subjects = {message.event_id: message.subject_id for message in messages}
    request = event_service_pb2.ListEventsRequest(
        filter=event_pb2.EventFilter(
            subject_ids=sorted(set(subjects.values())),
            event_types=[versions.EDIT, versions.DELETION],
        ),
        after_position=messages[0].position,
        order=event_service_pb2.ORDER_ASCENDING,
        page_size=MOST_EVENTS,
    )
    async for page in events.pages(events.stub.ListEvents, request):
        for event in page.events:
            origin = versions.origin_of(event)
            if origin is None or subjects.get(origin.event_id) != event.subject_id:
                continue
            if event.event_type == versions.DELETION:
                found[origin.event_id].is_deleted = True
            else:
                found[origin.event_id].edits.append(event)
