"""Has knowledge follow messages that were edited or deleted: at once, or later by the reader.

Whoever does it reads what the log says and brings the item there, so it may be done at any time,
again, and by several at once: an item never goes back behind the edit that it is of.
"""

import asyncio
from collections.abc import Sequence

from gateway.answers.messages import KnowledgeAnswer
from gateway.channels import FAILURES
from gateway.clients import MOST_IDS, Clients
from gateway.flows import entries, versions
from gateway.flows.histories import History, histories_of
from gateway.flows.knowing import Knowing, skipped
from gateway.flows.originals import originals_of
from gateway.flows.several import each
from kith.event.v1 import event_pb2, event_service_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit.errors import Conflict, NotFound

# Why the texts of a deleted message are redacted.
REASON = "message_delete"
# How many items are written at once.
_WIDTH = 32


class Settling:
    """Brings knowledge to what the log says of messages."""

    def __init__(self, clients: Clients, knowing: Knowing, seconds: float) -> None:
        self._clients = clients
        self._knowing = knowing
        self._seconds = seconds

    async def follow(
        self, message: event_pb2.Event, edits: Sequence[event_pb2.Event], reason: str
    ) -> KnowledgeAnswer:
        """Have a message's item say what its last edit says; raises nothing."""
        try:
            async with asyncio.timeout(self._seconds):
                outcome: (
                    knowledge_service_pb2.StoreKnowledgeResponse | BaseException
                ) = await self._follow(message, edits)
        except FAILURES as error:
            outcome = error
        return self._knowing.answer(message, reason, outcome)

    async def redact(self, histories: dict[str, History]) -> None:
        """Take away what deleted messages said, and their edits, for good."""
        event_ids = [
            event_id
            for message_id, history in histories.items()
            for event_id in (message_id, *(edit.event_id for edit in history.edits))
        ]
        events = self._clients.events
        for start in range(0, len(event_ids), MOST_IDS):
            await events.ask(
                events.stub.RedactEvents,
                event_service_pb2.RedactEventsRequest(
                    event_ids=event_ids[start : start + MOST_IDS], reason=REASON
                ),
            )

    async def forget(self, message: event_pb2.Event) -> KnowledgeAnswer:
        """Delete the item of a message that was redacted, for good; raises nothing."""
        identifier = entries.knowledge_id(message.event_id)
        try:
            async with asyncio.timeout(self._seconds):
                await self._clients.knowledge.delete(identifier)
        except FAILURES as error:
            return self._knowing.answer(message, "deleted", error)
        return skipped("deleted")

    async def finish(self, changes: Sequence[event_pb2.Event]) -> list[KnowledgeAnswer]:
        """Bring about what edits and deletions that are in the log have asked for."""
        messages = {
            origin.event_id: event_pb2.Event(
                event_id=origin.event_id, position=origin.position, subject_id=change.subject_id
            )
            for change in changes
            if (origin := versions.origin_of(change)) is not None
        }
        histories = await histories_of(self._clients.events, messages.values())
        deleted = {key: history for key, history in histories.items() if history.is_deleted}
        await self.redact(deleted)
        edited = await self._edited(
            [message for key, message in messages.items() if key not in deleted]
        )

        async def settled(message: event_pb2.Event) -> KnowledgeAnswer:
            if message.event_id in deleted:
                return await self.forget(message)
            return await self.follow(message, histories[message.event_id].edits, "followed")

        wanted = [
            message
            for message in edited
            if versions.is_edited(message, histories[message.event_id].edits)
        ]
        chosen = [*(messages[key] for key in deleted), *wanted]
        return await each(settled, chosen, at_once=_WIDTH)

    async def _edited(self, marks: Sequence[event_pb2.Event]) -> list[event_pb2.Event]:
        """The messages meant, as far as they still say something and are allowed to be known."""
        originals = await originals_of(self._clients.events, {mark.position for mark in marks})
        found = (originals.get(mark.position) for mark in marks)
        return await self._knowing.consenting(
            original
            for original, mark in zip(found, marks, strict=True)
            if original is not None
            and (original.event_id, original.subject_id) == (mark.event_id, mark.subject_id)
            and versions.is_message(original)
            and not original.HasField("redacted_at")
        )

    async def _follow(
        self, message: event_pb2.Event, edits: Sequence[event_pb2.Event]
    ) -> knowledge_service_pb2.StoreKnowledgeResponse:
        """Until nobody comes in between: each round that ends in vain is one that another won."""
        knowledge = self._clients.knowledge
        while True:
            item = await self._item(entries.knowledge_id(message.event_id))
            if item is None:
                new = entries.knowledge_item(versions.current(message, edits))
                [stored] = await knowledge.store([new])
                if isinstance(stored, BaseException):
                    raise stored
                if stored.outcome != knowledge_service_pb2.STORE_OUTCOME_DUPLICATE:
                    return stored
                continue
            try:
                updated = await knowledge.ask(
                    knowledge.stub.UpdateKnowledge, versions.update_of(item, edits)
                )
            except NotFound:
                continue
            except Conflict as error:
                if error.reason != "ETAG_MISMATCH":
                    raise
                continue
            return knowledge_service_pb2.StoreKnowledgeResponse(
                knowledge_id=item.knowledge_id, index_token=updated.index_token
            )

    async def _item(self, knowledge_id: str) -> knowledge_pb2.Knowledge | None:
        knowledge = self._clients.knowledge
        request = knowledge_service_pb2.GetKnowledgeRequest(knowledge_id=knowledge_id)
        try:
            return (await knowledge.ask(knowledge.stub.GetKnowledge, request)).item
        except NotFound:
            return None
