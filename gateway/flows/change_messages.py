"""Edits and deletions of messages, as clients ask for them: log, then have knowledge follow.

docs/messages.md tells the same in words.
"""

from gateway.answers.messages import KnowledgeAnswer, MessageAnswer
from gateway.clients import Clients
from gateway.clients.identity import PersonNotFound
from gateway.errors import Refused, renamed
from gateway.flows import entries, relevance, versions
from gateway.flows.histories import History, histories_of
from gateway.flows.knowing import skipped
from gateway.flows.owners import ownership_of, people_of
from gateway.flows.settling import Settling
from gateway.models.messages import MessageDeletion, MessageEdit
from kith.event.v1 import event_pb2, event_service_pb2
from kith.identity.v1 import person_pb2
from svckit.errors import FailedPrecondition, NotFound


class NotAMessage(FailedPrecondition):
    """Something else than a message is asked to be changed."""

    reason = "NOT_A_MESSAGE"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} is no message of anybody", event_id=event_id)


class ChangeMessages:
    """The flow, over the three services."""

    def __init__(
        self, clients: Clients, settling: Settling, consent_default: relevance.ConsentDefault
    ) -> None:
        self._clients = clients
        self._settling = settling
        self._default = consent_default

    async def edit(self, event_id: str, change_id: str, edit: MessageEdit) -> MessageAnswer:
        """Have a message say something else.

        Raises EVENT_NOT_FOUND, NotAMessage, MESSAGE_GONE for one that was taken away, unless this
        edit was logged before that; PersonNotFound; IDEMPOTENCY_CONFLICT.
        """
        message = await self._message(event_id, change_id)
        consent = await self._consent(message)
        decision = versions.decision_on(edit.text, message, consent, self._default)
        logged = await self._log(
            versions.edit_event(
                change_id, message, edit, consent, decision,
                keep_text=relevance.allows_text(consent, self._default),
            )
        )  # fmt: skip
        # Read only now, so that of two who come together the later one sees the earlier.
        history = await self._history(message)
        if history.is_deleted:
            knowledge = await self._delete(message, history)
        else:
            is_allowed = relevance.allows_knowledge(consent, self._default)
            knowledge = await self._follow(message, history, change_id, is_allowed=is_allowed)
        return _answer(message, logged, knowledge)

    async def delete(
        self, event_id: str, change_id: str, deletion: MessageDeletion
    ) -> MessageAnswer:
        """Take away what a message says and said, and the knowledge made from it, for good.

        Raises as `edit` does, but for what is about the person.
        """
        message = await self._message(event_id, change_id)
        logged = await self._log(versions.deletion_event(change_id, message, deletion))
        knowledge = await self._delete(message, await self._history(message))
        return _answer(message, logged, knowledge)

    async def _message(self, event_id: str, change_id: str) -> event_pb2.Event:
        message = await self._event(event_id)
        if not versions.is_message(message):
            raise NotAMessage(event_id)
        if message.HasField("redacted_at"):
            try:
                # What was done before can be asked for again.
                await self._event(change_id)
            except NotFound:
                raise Refused(
                    410, "MESSAGE_GONE", f"what message {event_id} said was taken away"
                ) from None
        return message

    async def _event(self, event_id: str) -> event_pb2.Event:
        events = self._clients.events
        request = event_service_pb2.GetEventRequest(event_id=event_id)
        return (await events.ask(events.stub.GetEvent, request)).event

    async def _consent(self, message: event_pb2.Event) -> person_pb2.Consent:
        ownership = ownership_of(message)
        people = await people_of(self._clients.identity, [ownership])
        if ownership not in people:
            raise PersonNotFound(message.person_id)
        return people[ownership].consent

    async def _log(self, new: event_pb2.NewEvent) -> event_pb2.LoggedEvent:
        [outcome] = await self._clients.events.log(
            [event_service_pb2.LogEventsRequest(events=[new])]
        )
        if isinstance(outcome, BaseException):
            raise renamed(outcome, {"content": "text", "occurred_at": "timestamp"})
        return outcome.events[0]

    async def _history(self, message: event_pb2.Event) -> History:
        return (await histories_of(self._clients.events, [message]))[message.event_id]

    async def _delete(self, message: event_pb2.Event, history: History) -> KnowledgeAnswer:
        await self._settling.redact({message.event_id: history})
        return await self._settling.forget(message)

    async def _follow(
        self, message: event_pb2.Event, history: History, edit_id: str, *, is_allowed: bool
    ) -> KnowledgeAnswer:
        """What becomes of the knowledge; of an edit that was logged before, the same as then."""
        edit = next((each for each in history.edits if each.event_id == edit_id), None)
        if edit is None or message.HasField("redacted_at"):
            return skipped("gone")
        decision = entries.decision_of(edit)
        if not versions.is_heard(edit):
            return skipped(decision.reason)
        before = [each for each in history.edits if each.position <= edit.position]
        if not entries.decision_of(versions.current(message, before)).wanted:
            return skipped(decision.reason)
        if not is_allowed:
            return skipped("consent_denied")
        reason = decision.reason if decision.wanted else "followed"
        return await self._settling.follow(message, history.edits, reason)


def _answer(
    message: event_pb2.Event, logged: event_pb2.LoggedEvent, knowledge: KnowledgeAnswer
) -> MessageAnswer:
    return {
        "person_id": message.person_id,
        "event_id": logged.event_id,
        "position": logged.position,
        "duplicate": logged.duplicate,
        "knowledge": knowledge,
    }
