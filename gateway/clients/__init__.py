"""What the gateway asks of the three services; hot methods are batched.

Methods that take several requests answer each with its result or its exception, in order.
What is asked one at a time goes through `ask`, with the method of the stub.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.channels import Channel
from gateway.clients.documents import Documents
from gateway.clients.events import MOST_EVENTS, Events
from gateway.clients.identity import MOST_IDS, Identity
from gateway.clients.knowledge import Knowledge
from gateway.clients.memories import Memories
from gateway.settings import Settings

__all__ = [
    "MOST_EVENTS", "MOST_IDS", "Clients", "Documents", "Events", "Identity", "Knowledge",
    "Memories", "connected",
]  # fmt: skip

# The repeat of one of these that succeeded would be answered as a conflict, or would count as
# one more try.
_ONCE = (
    *("UpdatePerson", "UpdateGroup", "UpdateSession"),
    *("StartLinkVerification", "ConfirmLinkVerification"),
    *("RollBack", "DropSpace"),
)


class Clients:
    """The three services."""

    def __init__(self, settings: Settings) -> None:
        token, seconds = settings.token, settings.call_seconds
        self.identity = Identity(
            Channel(
                "identity", settings.identity_address, token,
                ["kith.identity.v1.IdentityService"], once=_ONCE,
            ),
            seconds,
        )  # fmt: skip
        self.events = Events(
            Channel("event", settings.event_address, token, ["kith.event.v1.EventService"]), seconds
        )
        self.knowledge = Knowledge(
            Channel(
                "knowledge",
                settings.knowledge_address,
                token,
                [
                    f"kith.knowledge.v1.{name}"
                    for name in (
                        "KnowledgeService",
                        "DocumentService",
                        "MemoryService",
                        "IntegrityService",
                        "IndexService",
                    )
                ],
                once=_ONCE,
            ),
            seconds,
            settings.knowledge_seconds,
        )
        # One process answers all of them, over one channel.
        self.memories = Memories(self.knowledge.channel, seconds)
        self.documents = Documents(self.knowledge.channel, seconds, settings.transfer_seconds)

    @property
    def channels(self) -> Sequence[Channel]:
        """One to each service."""
        return [self.identity.channel, self.events.channel, self.knowledge.channel]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Clients]:
    """The services, whether they are there yet or not; flushed and closed at the end."""
    clients = Clients(settings)
    try:
        yield clients
    finally:
        for service in (clients.identity, clients.events, clients.memories, clients.knowledge):
            await service.close()
