"""The OpenAPI document: FastAPI's, with our errors and credentials in it."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from gateway.answers.common import ProblemAnswer
from gateway.errors import MEDIA_TYPE

_REF = "#/components/schemas/{model}"
_ALWAYS = (400, 401, 403, 429, 500, 503, 504)

Responses = dict[int | str, dict[str, Any]]


def problems(*more: int) -> Responses:
    """The errors of a route: those that each route may answer, and `more`."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemAnswer")}}},
        }
        for status in sorted({*_ALWAYS, *more})
    }


def install(app: FastAPI) -> None:
    """Make `app` answer this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    # FastAPI adds its own answer to what is invalid; here that is a 400 like any other.
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("422", None)
    components = document.setdefault("components", {})
    schema = TypeAdapter(ProblemAnswer).json_schema(ref_template=_REF)
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(schema.pop("$defs", {}))
    schemas["ProblemAnswer"] = schema
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    # On loopback nothing is needed.
    document["security"] = [{}, {"bearer": []}, {"header": []}]
    return document
