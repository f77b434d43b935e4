"""The OpenAPI document is whole: it can be read, and every example in it is true."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

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
        "get /v1/persons/{person_id}", "patch /v1/persons/{person_id}",
        "get /v1/persons/{person_id}/links", "post /v1/persons/{person_id}/links",
        "get /v1/persons/{person_id}/timeline", "post /v1/search",
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


async def test_validation_is_described_as_400_and_as_a_problem(document: dict[str, Any]):
    for name, operation in operations(document):
        assert "422" not in operation["responses"], name
        if name.startswith(("post", "patch")):
            content = operation["responses"]["400"]["content"]
            assert list(content) == ["application/problem+json"], name
    assert "HTTPValidationError" not in document["components"]["schemas"]


BODIES = [models.Registration, models.Message, models.PersonPatch, models.NewLink, models.Search]
ANSWERS = [
    answers.ProblemAnswer, answers.RegistrationAnswer, answers.MessageAnswer,
    answers.IdentityAnswer, answers.PersonAnswer, answers.LinkAnswer, answers.EventAnswer,
    answers.HitAnswer,
]  # fmt: skip


@pytest.mark.parametrize("kind", [*BODIES, *ANSWERS], ids=lambda kind: kind.__name__)
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
