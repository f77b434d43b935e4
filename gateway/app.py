"""Assembles the gateway: services, flows, routes, and what surrounds them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from gateway import errors, openapi, rendering
from gateway.clients import Clients, connected
from gateway.flows.catch_up import CatchUp
from gateway.flows.change_messages import ChangeMessages
from gateway.flows.context import Contexts
from gateway.flows.erasing import Erasing, GoingOn
from gateway.flows.exporting import Exporting
from gateway.flows.following import Following
from gateway.flows.gathering import Gathering
from gateway.flows.keeping import Keeping
from gateway.flows.knowing import Knowing
from gateway.flows.log_events import LogEvents
from gateway.flows.memories import Remembering
from gateway.flows.process_message import ProcessMessages
from gateway.flows.reading import Reading
from gateway.flows.registrations import Registrations
from gateway.flows.searching import Searching
from gateway.flows.settling import Settling
from gateway.health import Health
from gateway.jsonbody import JsonRoute
from gateway.live import Live
from gateway.middleware.guard import Guard
from gateway.middleware.limits import Limits
from gateway.middleware.observe import Observe
from gateway.routes import (
    consent,
    context,
    documents,
    erasures,
    events,
    exports,
    groups,
    index,
    integrity,
    knowledge,
    links,
    memories,
    merges,
    message_changes,
    messages,
    persons,
    projections,
    register,
    search,
    sessions,
    streams,
    system,
)
from gateway.settings import Settings

# A search waits for writes to be indexed; what is left of the request's time is to answer.
SEARCH_SHARE = 0.6
# An erasure that takes longer is answered as it stands, and goes on.
ERASURE_SHARE = 0.8


@dataclass(frozen=True)
class Gateway:
    """The app, and the handle by which it learns that it is to stop."""

    app: ASGIApp
    health: Health
    live: Live

    def stop(self) -> None:
        """Take no more requests, and end what would not end by itself."""
        self.health.is_stopping = True
        self.live.stop()


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway over the services that the settings name, whether they are there yet or not.

    At the end the background work is done or stopped, batches are flushed, channels closed.
    """
    async with connected(settings) as clients:
        default = settings.consent_default
        registrations = Registrations(clients)
        knowing = Knowing(clients, default, settings.knowledge_seconds)
        process = ProcessMessages(
            clients, registrations, knowing,
            unknown_sender=settings.unknown_sender, consent_default=default,
        )  # fmt: skip
        settling = Settling(clients, knowing, settings.knowledge_seconds)
        searching = Searching(clients, default, settings.request_seconds * SEARCH_SHARE)
        following = Following(clients, settings.expand_seconds)
        erasing = Erasing(clients)
        health, live = Health(clients.channels), Live()

        app = _new_app()
        register.add(app, clients, registrations)
        messages.add(app, process, settings.request_seconds)
        message_changes.add(app, ChangeMessages(clients, settling, default))
        _add_identity(app, clients, registrations)
        erasures.add(
            app, clients, erasing, rendering.caveats(settings.backends),
            settings.request_seconds * ERASURE_SHARE,
        )  # fmt: skip
        exports.add(app, Exporting(clients), live)
        # Before the events, one of which might be called `stream`.
        streams.add(app, following, live)
        events.add(app, clients, LogEvents(clients), Reading(clients, following), live)
        projections.add(app, clients)
        search.add(app, searching)
        seconds = settings.request_seconds * SEARCH_SHARE
        memories.add(app, Remembering(clients, default, seconds))
        context.add(app, Contexts(Gathering(clients, default, seconds)))
        knowledge.add(app, clients, Keeping(clients, default))
        integrity.add(app, clients, live)
        index.add(app, clients)
        documents.add(app, clients, default)
        system.add(app, health, settings.backends)
        openapi.install(app)

        async with (
            _catching_up(settings, clients, registrations, knowing, settling),
            _going_on(settings, clients, erasing),
        ):
            yield Gateway(_surrounded(app, settings), health, live)
            await registrations.drain()


def _add_identity(app: FastAPI, clients: Clients, registrations: Registrations) -> None:
    persons.add(app, clients)
    links.add(app, clients, registrations)
    merges.add(app, clients)
    consent.add(app, clients)
    groups.add(app, clients)
    sessions.add(app, clients)


def _new_app() -> FastAPI:
    kinds: list[Any] = [*errors.STATUSES, errors.Refused, HTTPException, RequestValidationError]
    app = FastAPI(
        title="Kith",
        version=metadata.version("kith"),
        summary="Know your people across platforms: identity, events and knowledge.",
        redoc_url=None,
        # A path is written in one way; the other is a 404 that says so.
        redirect_slashes=False,
        exception_handlers=dict.fromkeys([*kinds, Exception], errors.answer),
    )
    app.router.route_class = JsonRoute
    return app


def _surrounded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The app within its bounds; what is outermost stands last."""
    app = Guard(Limits(app, settings), settings)
    if settings.allowed_origins:
        # Browsers ask first, without a key, whether an origin may call; and they hide an answer
        # from their page, a refusal too, that does not say so once more.
        app = CORSMiddleware(
            ExceptionMiddleware(app, handlers={Exception: errors.answer}),
            allow_origins=settings.allowed_origins,
            allow_methods=("*",),
            allow_headers=("*",),
            expose_headers=("etag", "retry-after", "x-request-id"),
        )
    return Observe(app)


@asynccontextmanager
async def _catching_up(
    settings: Settings, clients: Clients, registrations: Registrations, knowing: Knowing,
    settling: Settling,
) -> AsyncIterator[None]:  # fmt: skip
    reader = CatchUp(
        clients, registrations, knowing, settling,
        grace=settings.catch_up_grace_seconds, poll=settings.catch_up_poll_seconds,
        lease=settings.catch_up_lease_seconds,
    )  # fmt: skip
    async with _in_background(reader.run, "catch-up", is_on=settings.catch_up):
        yield


@asynccontextmanager
async def _going_on(settings: Settings, clients: Clients, erasing: Erasing) -> AsyncIterator[None]:
    worker = GoingOn(
        clients, erasing,
        grace=settings.catch_up_grace_seconds, poll=settings.erasure_poll_seconds,
        lease=settings.catch_up_lease_seconds,
    )  # fmt: skip
    async with _in_background(worker.run, "erasures", is_on=settings.catch_up):
        yield


@asynccontextmanager
async def _in_background(
    work: Callable[[], Coroutine[Any, Any, None]], name: str, *, is_on: bool
) -> AsyncIterator[None]:
    if not is_on:
        yield
        return
    task = asyncio.create_task(work(), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
