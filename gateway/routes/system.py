"""Health, status and metrics of this process and of the services behind it."""

from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from gateway.health import Health
from gateway.responses import respond


def add(app: FastAPI, health: Health, backends: dict[str, str]) -> None:
    """Add the routes; `backends` is what this process's environment chooses."""

    @app.get("/healthz", tags=["system"], responses=_answers(200, {**backends, "status": "ok"}))
    async def healthz() -> Response:
        """Whether this process lives, and which backends its environment chooses."""
        return respond({**backends, "status": "ok"})

    ready = {"status": "ready", "services": dict.fromkeys(("identity", "event"), "serving")}

    @app.get("/readyz", tags=["system"], responses=_answers(200, ready, 503))
    async def readyz() -> Response:
        """Whether requests should come here: 200, or 503."""
        services = await health.services()
        is_ready = health.is_ready(services)
        body = {"status": "ready" if is_ready else "not_ready", "services": _named(services)}
        return respond(body, 200 if is_ready else 503)

    @app.get("/v1/status", tags=["system"], responses=_answers(200, {**ready, "status": "ok"}))
    async def status() -> Response:
        """The health of each service."""
        services = await health.services()
        body = {
            "status": "ok" if all(services.values()) else "degraded",
            "services": _named(services),
            "backends": backends,
        }
        return respond(body)

    @app.get("/metrics", tags=["system"], response_class=Response, responses=_METRICS)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _named(services: dict[str, bool]) -> dict[str, str]:
    return {name: "serving" if works else "not_serving" for name, works in services.items()}


def _answers(status: int, example: dict[str, Any], *more: int) -> Any:
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    described = {"description": "The state.", "content": content}
    return {status: described, **dict.fromkeys(more, described)}


_METRICS: Any = {
    200: {"content": {"text/plain": {"example": "kith_http_in_flight 1.0\n"}}},
}
