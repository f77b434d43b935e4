"""Services that answer as a test says, on real channels, and gateways in front of them.

Whoever has a `gateway` or a `url` of this need not know whether the services are real.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from google.protobuf.message import Message

from gateway.app import Gateway, open_gateway
from gateway.settings import Settings
from kith.event.v1 import event_service_pb2, event_service_pb2_grpc
from kith.identity.v1 import identity_service_pb2, identity_service_pb2_grpc, person_pb2
from kith.knowledge.v1 import knowledge_service_pb2, knowledge_service_pb2_grpc
from svckit import serve
from svckit.addresses import Bind
from tests.support.http import serving
from tests.support.stack import QUICK, client_of

# A message, an exception, what makes one of the two of a request, or, for a stream, an
# asynchronous generator function of the request.
Answer = Message | Exception | Callable[[Any], Any]

_PARTS: dict[str, tuple[Any, Any, str]] = {
    "identity": (identity_service_pb2, identity_service_pb2_grpc, "IdentityService"),
    "event": (event_service_pb2, event_service_pb2_grpc, "EventService"),
    "knowledge": (knowledge_service_pb2, knowledge_service_pb2_grpc, "KnowledgeService"),
}


class Script:
    """What one service answers to its methods, by name, and what it was asked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers: dict[str, Answer] = {}
        self.asked: dict[str, list[Any]] = {}

    def forget(self) -> None:
        """Answer nothing any more, and have been asked nothing."""
        self._answers.clear()
        self.asked.clear()

    def answer(self, method: str, answer: Answer) -> None:
        """Answer a method so from now on."""
        self._answers[method] = answer

    def last(self, method: str) -> Any:
        """The last request to a method."""
        return self.asked[method][-1]

    def service(self) -> serve.Service:
        """The service as a process would serve it, so that errors travel as they do there."""
        messages, stubs, service = _PARTS[self._name]
        methods = messages.DESCRIPTOR.services_by_name[service].methods
        servicer = type(
            service,
            (getattr(stubs, f"{service}Servicer"),),
            {method.name: self._method(method) for method in methods},
        )()

        async def nothing() -> None:
            """There is nothing to do."""

        return serve.Service(
            domain=f"{self._name}.kith",
            names=[],
            add=lambda server: getattr(stubs, f"add_{service}Servicer_to_server")(servicer, server),
            prepare=nothing,
            check=nothing,
            drain=nothing,
        )

    def _method(self, method: Any) -> Any:
        def answer_to(request: Any) -> Any:
            self.asked.setdefault(method.name, []).append(request)
            answer = self._answers[method.name]
            found = answer(request) if callable(answer) else answer
            if isinstance(found, Exception):
                raise found
            return found

        async def unary(_: Any, request: Any, context: Any) -> Any:
            return answer_to(request)

        async def stream(_: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            found = answer_to(request)
            assert inspect.isasyncgen(found)
            try:
                async for message in found:
                    yield message
            finally:
                await found.aclose()

        return stream if method.server_streaming else unary


class Scripted:
    """The three services, each by its script."""

    def __init__(self) -> None:
        self.identity = Script("identity")
        self.events = Script("event")
        self.knowledge = Script("knowledge")
        self._targets: dict[str, str] = {}
        self._people: dict[str, person_pb2.Person] = {}
        self.forget()

    def forget(self) -> None:
        """Begin anew: nobody is known, and nothing is answered."""
        for script in (self.identity, self.events, self.knowledge):
            script.forget()
        self._people.clear()
        self.identity.answer("BatchGetPersons", self._batch_get)

    def people(self, *people: person_pb2.Person) -> None:
        """These are known from now on, and nobody else, when many are asked for."""
        self._people = {
            person_id: person
            for person in people
            for person_id in (person.person_id, *person.person_ids)
        }

    def _batch_get(self, request: Any) -> Message:
        found = {
            person.person_id: person
            for person_id in request.person_ids
            if (person := self._people.get(person_id)) is not None
        }
        missing = [person_id for person_id in request.person_ids if person_id not in self._people]
        return identity_service_pb2.BatchGetPersonsResponse(
            persons=found.values(), missing_ids=missing
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scripted"]:
        """The services while the block runs."""
        async with AsyncExitStack() as stack:
            for name, script in (
                ("identity", self.identity), ("event", self.events), ("knowledge", self.knowledge)
            ):  # fmt: skip
                started = await serve.start(script.service(), Bind("127.0.0.1", 0))
                stack.push_async_callback(started.stop, 0)
                self._targets[f"{name}_address"] = str(started.address)
            yield self

    def settings(self, **changes: Any) -> Settings:
        """The settings of a gateway in front of these services."""
        return Settings(**{**QUICK, **self._targets, **changes})

    @asynccontextmanager
    async def gateway(self, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of a gateway of its own; `changes` are to its settings."""
        async with open_gateway(self.settings(**changes)) as opened, client_of(opened) as client:
            yield client

    @asynccontextmanager
    async def listening(self, **changes: Any) -> AsyncIterator[tuple[str, Gateway]]:
        """The URL of a gateway on a real port, and the gateway."""
        async with (
            open_gateway(self.settings(**changes)) as gateway,
            serving(gateway.app) as url,
        ):
            yield url, gateway
