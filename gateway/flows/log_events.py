"""Logging whatever happened: finds whom it concerns, then appends all of it or nothing."""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.clients import Clients
from gateway.errors import Refused
from gateway.flows.several import each
from gateway.models.events import NewEvent
from kith.event.v1 import event_pb2, event_service_pb2
from kith.identity.v1 import identity_service_pb2
from svckit import errors, fields, serve, structs

# How many events are looked up at once.
_WIDTH = 32

# What goes to the service at once, with a little room for what is around it.
MOST_BYTES = serve.MESSAGE_BYTES - (64 << 10)


class LogEvents:
    """The flow, over identity and the log."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def __call__(
        self, events: Sequence[NewEvent], event_ids: Sequence[str], *, is_keyed: bool = False
    ) -> Sequence[event_pb2.LoggedEvent]:
        """Where each event stands under its id, in order; raises if none is logged.

        `is_keyed`: those that brought no id have it from a key of all of them, and a repeat is
        one only if all are the same, and as many. Errors name fields as the service does:
        `events[17].content`.
        """
        people = await self._resolve(events, event_ids)
        new = [
            _new_event(event, event_id, people.get((event.platform, event.platform_id)))
            for event, event_id in zip(events, event_ids, strict=True)
        ]
        if is_keyed and len(events) > 1:
            _bind(events, new)
        request = event_service_pb2.LogEventsRequest(events=new)
        if request.ByteSize() > MOST_BYTES:
            raise Refused(413, "BODY_TOO_LARGE", "these events are too large to be logged at once")
        [outcome] = await self._clients.events.log([request])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome.events

    async def _resolve(
        self, events: Sequence[NewEvent], event_ids: Sequence[str]
    ) -> dict[tuple[str, str | None], identity_service_pb2.Identity]:
        """Who holds the platform ids that events name; raises where nobody does, unless what
        they name is logged already: a repeat is answered whoever has been unlinked since.
        """
        accounts = {
            (event.platform, event.platform_id): index
            for index, event in reversed(list(enumerate(events)))
            if event.platform_id is not None
        }
        asked = [(platform, str(platform_id)) for platform, platform_id in accounts]
        found: dict[tuple[str, str | None], identity_service_pb2.Identity] = {}
        outcomes = await self._clients.identity.resolve(asked)
        for (account, index), outcome in zip(accounts.items(), outcomes, strict=True):
            if isinstance(outcome, errors.InvalidRequest):
                [(field, problem), *_] = outcome.violations
                raise errors.InvalidRequest(f"events[{index}].{field}", problem)
            if isinstance(outcome, errors.NotFound):
                named = zip(events, event_ids, strict=True)
                repeated = [
                    event_id
                    for each, event_id in named
                    if (each.platform, each.platform_id) == account
                ]
                await self._ensure_logged(repeated, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found[account] = outcome
        return found

    async def _ensure_logged(self, event_ids: Sequence[str], error: errors.NotFound) -> None:
        """Raise the error unless the log has all of the events."""
        log = self._clients.events

        async def look(event_id: str) -> None:
            request = event_service_pb2.GetEventRequest(event_id=event_id)
            await log.ask(log.stub.GetEvent, request)

        try:
            # Where it is no repeat, that shows by the first.
            await look(event_ids[0])
            await each(look, event_ids[1:], at_once=_WIDTH)
        except errors.NotFound:
            raise error from None


def _new_event(
    event: NewEvent, event_id: str, resolved: identity_service_pb2.Identity | None
) -> event_pb2.NewEvent:
    new = event_pb2.NewEvent(
        event_id=event_id,
        link_id=event.link_id or "",
        person_id=event.person_id or "",
        group_id=event.group_id or "",
        session_id=event.session_id or "",
        event_type=event.event_type,
        platform=event.platform,
        content=structs.from_dict(event.content),
        metadata=structs.from_dict(event.metadata),
        occurred_at=fields.to_timestamp(event.occurred_at),
    )
    if resolved is not None:
        new.link_id, new.person_id = resolved.link_id, resolved.person_id
        new.consent_version = resolved.consent.version
    if event.platform_id is not None:
        # A retry is the same even if somebody else holds the platform id by then.
        new.request_hash = _body_hash(event)
    return new


def _bind(events: Sequence[NewEvent], new: Sequence[event_pb2.NewEvent]) -> None:
    """Have "same body" mean that of the whole batch, for events that have no id of their own."""
    body_hash = _hash([event.model_dump(mode="json", exclude_none=True) for event in events])
    for event, message in zip(events, new, strict=True):
        if event.event_id is None:
            message.request_hash = body_hash


def _body_hash(event: NewEvent) -> bytes:
    """What "same body" means: the fields that the client sent, however they were spelled."""
    return _hash(event.model_dump(mode="json", exclude={"event_id"}, exclude_none=True))


def _hash(body: Any) -> bytes:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
