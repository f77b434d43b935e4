"""The OpenAPI document is whole: it can be read, and every example in it is true."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from gateway import answers, models
from gateway.app import open_gateway
from gateway.settings import Settings
from tests.support.stack import client_of

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def document() -> dict[str, Any]:
    async with open_gateway(Settings(catch_up=False)) as gateway, client_of(gateway) as client:
        answer = await client.get("/openapi.json")
        return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield f"{method} {path}", operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def schema_of(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    schema = content["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return dict(schema)


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    if "example" in content or "examples" in content:
        return True
    schema = schema_of(document, content)
    if "examples" in schema:
        return True
    # A list of things that have examples.
    inner = [n for n in nodes(schema.get("properties", {})) if "$ref" in n]
    return any("examples" in schema_of(document, {"schema": ref}) for ref in inner)


async def test_every_reference_leads_somewhere(document: dict[str, Any]):
    schemas = document["components"]["schemas"]

    for node in nodes(document):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix("#/components/schemas/") in schemas


async def test_all_routes_are_described(document: dict[str, Any]):
    assert {name for name, _ in operations(document)} == {
        "post /v1/register", "get /v1/resolve", "post /v1/messages", "post /v1/messages:batch",
        "put /v1/messages/{event_id}", "delete /v1/messages/{event_id}",
        "post /v1/persons", "get /v1/persons",
        "get /v1/persons/{person_id}", "patch /v1/persons/{person_id}",
        "delete /v1/persons/{person_id}", "get /v1/persons/{person_id}/export",
        "get /v1/erasures", "get /v1/erasures/{erasure_id}",
        "get /v1/persons/{person_id}/links", "post /v1/persons/{person_id}/links",
        "delete /v1/persons/{person_id}/links/{link_id}",
        "post /v1/persons/{person_id}/links/verifications",
        "post /v1/links/verifications/{verification_id}/confirm",
        "post /v1/persons/{person_id}/merge", "post /v1/persons/{person_id}/unmerge",
        "get /v1/persons/{person_id}/consent", "patch /v1/persons/{person_id}/consent",
        "get /v1/persons/{person_id}/consent/history",
        "post /v1/groups", "get /v1/groups", "get /v1/groups/{group_id}",
        "patch /v1/groups/{group_id}", "get /v1/groups/{group_id}/members",
        "put /v1/groups/{group_id}/members/{person_id}",
        "delete /v1/groups/{group_id}/members/{person_id}", "get /v1/persons/{person_id}/groups",
        "post /v1/sessions", "get /v1/sessions/{session_id}", "patch /v1/sessions/{session_id}",
        "post /v1/sessions/{session_id}/claim",
        "post /v1/events", "post /v1/events:batch", "get /v1/events", "get /v1/events/{event_id}",
        "get /v1/events/stats", "get /v1/events/search", "post /v1/events:redact",
        "get /v1/events/stream", "get /v1/persons/{person_id}/timeline/stream",
        "post /v1/projections", "get /v1/projections", "get /v1/projections/{name}",
        "delete /v1/projections/{name}", "get /v1/persons/{person_id}/projections/{name}",
        "get /v1/persons/{person_id}/timeline", "post /v1/search", "post /v1/context",
        "get /v1/persons/{person_id}/memories", "post /v1/persons/{person_id}/memories",
        "post /v1/persons/{person_id}/memories/search",
        "get /v1/persons/{person_id}/memories/{key}",
        "put /v1/persons/{person_id}/memories/{key}",
        "delete /v1/persons/{person_id}/memories/{key}",
        "get /v1/persons/{person_id}/memories/{key}/versions",
        "post /v1/documents", "get /v1/documents", "get /v1/documents/{document_id}",
        "delete /v1/documents/{document_id}", "get /v1/documents/{document_id}/content",
        "get /v1/documents/{document_id}/url", "post /v1/documents/{document_id}/extract",
        "post /v1/knowledge", "get /v1/knowledge", "get /v1/knowledge/{knowledge_id}",
        "patch /v1/knowledge/{knowledge_id}", "delete /v1/knowledge/{knowledge_id}",
        "get /v1/namespaces",
        "post /v1/integrity/verify", "post /v1/integrity/repair",
        "get /v1/integrity/ground-truth/{id}",
        "get /v1/index", "post /v1/index/reindex", "post /v1/index/cut-over",
        "post /v1/index/roll-back", "delete /v1/index/spaces/{space}",
        "get /v1/index/dead-letters", "post /v1/index/dead-letters/replay",
        "get /healthz", "get /readyz", "get /v1/status", "get /metrics",
    }  # fmt: skip
    for name, operation in operations(document):
        assert operation["summary"] and operation["description"], name
        assert operation["tags"], name


async def test_every_route_shows_what_goes_in_and_what_comes_out(document: dict[str, Any]):
    for name, operation in operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert has_example(document, content), (name, media_type)
        good = [status for status in operation["responses"] if status.startswith("2")]
        assert good, name
        for status in good:
            for content in operation["responses"][status]["content"].values():
                assert has_example(document, content), (name, status)


async def test_every_parameter_that_is_required_shows_an_example(document: dict[str, Any]):
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["required"]:
                assert parameter["schema"].get("examples"), (name, parameter["name"])


async def test_validation_is_described_as_400_and_as_a_problem(document: dict[str, Any]):
    for name, operation in operations(document):
        assert "422" not in operation["responses"], name
        if name.startswith(("post", "patch")):
            content = operation["responses"]["400"]["content"]
            assert list(content) == ["application/problem+json"], name
    assert "HTTPValidationError" not in document["components"]["schemas"]


def kinds(package: ModuleType) -> Iterator[Any]:
    """The bodies or answers of a package that show what they look like."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for kind in vars(module).values():
            is_body = isinstance(kind, type) and issubclass(kind, BaseModel)
            is_own = getattr(kind, "__module__", "") == module.__name__
            if (
                (is_body or is_typeddict(kind))
                and is_own
                and "examples" in TypeAdapter(kind).json_schema()
            ):
                yield kind


EXAMPLES = [*kinds(models), *kinds(answers)]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_every_example_is_valid(kind: Any):
    adapter = TypeAdapter(kind)
    examples = adapter.json_schema()["examples"]

    assert examples
    for example in examples:
        adapter.validate_python(example)


async def test_the_docs_are_served():
    async with open_gateway(Settings(catch_up=False)) as gateway, client_of(gateway) as client:
        answer = await client.get("/docs")

    assert answer.status_code == 200
    assert "/openapi.json" in answer.text
    assert isinstance(answer, httpx.Response)
