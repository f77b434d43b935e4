"""Makes knowledge of logged messages: at once where possible, or later by the catch-up reader."""

import asyncio
from collections.abc import Iterable, Sequence

from prometheus_client import Counter

from gateway.answers.messages import KnowledgeAnswer
from gateway.clients import Clients
from gateway.flows import relevance
from gateway.flows.entries import decision_of, knowledge_id, knowledge_item
from gateway.flows.owners import ownership_of, people_of
from kith.event.v1 import event_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import errors, logs

log = logs.get(__name__)

STORED = Counter("kith_knowledge_stored_total", "Messages stored as knowledge, or there already.")
DEFERRED = Counter("kith_knowledge_deferred_total", "Messages left to the catch-up reader.")


def skipped(reason: str) -> KnowledgeAnswer:
    """The answer for a message of which no knowledge is made."""
    return {"state": "skipped", "knowledge_id": None, "index_token": None, "reason": reason}


class Knowing:
    """Stores logged messages as knowledge; `deferred` is set when some must wait."""

    def __init__(self, clients: Clients, default: relevance.ConsentDefault, seconds: float) -> None:
        self._clients = clients
        self._default = default
        self._seconds = seconds
        self.deferred = asyncio.Event()

    async def keep(self, events: Sequence[event_pb2.Event]) -> list[KnowledgeAnswer]:
        """What becomes of messages that are in the log, in order; raises nothing."""
        decisions = [decision_of(event) for event in events]
        wanted = [
            event for event, decision in zip(events, decisions, strict=True) if decision.wanted
        ]
        outcomes = iter(await self._store(wanted))
        return [
            self.answer(event, decision.reason, next(outcomes))
            if decision.wanted
            else skipped(decision.reason)
            for event, decision in zip(events, decisions, strict=True)
        ]

    async def consenting(self, events: Iterable[event_pb2.Event]) -> list[event_pb2.Event]:
        """The events of people who allow knowledge now; somebody unknown has been erased."""
        events = list(events)
        people = await people_of(self._clients.identity, map(ownership_of, events))
        return [
            event
            for event in events
            if (person := people.get(ownership_of(event))) is not None
            and relevance.allows_knowledge(person.consent, self._default)
        ]

    async def _store(
        self, events: Sequence[event_pb2.Event]
    ) -> Sequence[knowledge_service_pb2.StoreKnowledgeResponse | BaseException]:
        if not events:
            return []
        items: list[knowledge_pb2.NewKnowledge] = [knowledge_item(event) for event in events]
        try:
            async with asyncio.timeout(self._seconds):
                return await self._clients.knowledge.store(items)
        except TimeoutError as error:
            return [error] * len(items)

    def answer(
        self,
        event: event_pb2.Event,
        reason: str,
        outcome: knowledge_service_pb2.StoreKnowledgeResponse | BaseException,
    ) -> KnowledgeAnswer:
        """What to say of the knowledge of a message; what failed is left to the reader."""
        if isinstance(outcome, BaseException):
            if getattr(outcome, "reason", "") == "SUBJECT_ERASED":
                return skipped("gone")
            if errors.is_about_data(outcome):
                # The log has the message; trying again would change nothing.
                log.error("knowledge was refused", event_id=event.event_id, exc_info=outcome)
                return skipped("refused")
            self.deferred.set()
            DEFERRED.inc()
            return {
                "state": "deferred",
                "knowledge_id": knowledge_id(event.event_id),
                "index_token": None,
                "reason": "knowledge_unavailable",
            }
        if outcome.outcome == knowledge_service_pb2.STORE_OUTCOME_DELETED:
            return skipped("deleted")
        STORED.inc()
        return {
            "state": "stored",
            "knowledge_id": outcome.knowledge_id,
            "index_token": outcome.index_token or None,
            "reason": reason,
        }
