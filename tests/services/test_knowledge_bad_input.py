"""What the knowledge service refuses, and that it names the field."""

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.items import Filter
from svckit import ids, pages
from tests.support.knowledge import Stub, a_request, knowledge_service, refusal


@pytest.fixture(scope="module")
def store_database(cluster: Any) -> Any:
    with cluster.database() as fresh:
        yield fresh


@pytest.fixture
async def knowledge(store_database: Any) -> AsyncIterator[Stub]:
    """A running service; what is refused leaves nothing behind, so the tests share a database."""
    async with knowledge_service(store_database) as stub:
        yield stub


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


def number(value: float) -> knowledge_pb2.NewKnowledge:
    metadata = struct_pb2.Struct(fields={"n": struct_pb2.Value(number_value=value)})
    return knowledge_pb2.NewKnowledge(content="x", metadata=metadata)


def item(**changes: Any) -> knowledge_pb2.NewKnowledge:
    return knowledge_pb2.NewKnowledge(**{"content": "x", **changes})


TOO_LATE = timestamp_pb2.Timestamp(seconds=300_000_000_000)
BEFORE_1970 = timestamp_pb2.Timestamp(seconds=-1)

BAD_ITEMS = [
    (item(knowledge_id="42"), "item.knowledge_id"),
    (item(knowledge_id="{" + ids.new()[1:-1] + "}"), "item.knowledge_id"),
    (item(content=""), "item.content"),
    (item(content="ü" * (16 << 10) + "."), "item.content"),
    (item(content="a\0b"), "item.content"),
    (item(namespace="no spaces"), "item.namespace"),
    (item(namespace="x" * 65), "item.namespace"),
    (item(subject_id="ann"), "item.subject_id"),
    (item(person_id="ann"), "item.person_id"),
    (item(group_id="g"), "item.group_id"),
    (item(session_id="s"), "item.session_id"),
    (item(platform="dis cord"), "item.platform"),
    (item(source_event_id="e"), "item.source_event_id"),
    (item(source_position=-1), "item.source_position"),
    (item(source_position=1), "item.source_position"),
    (item(occurred_at=TOO_LATE), "item.occurred_at"),
    (item(occurred_at=BEFORE_1970), "item.occurred_at"),
    (item(request_hash=b"short"), "item.request_hash"),
    (number(float("nan")), "item.metadata.n"),
    (number(float("inf")), "item.metadata.n"),
    (number(2.0**53 + 2), "item.metadata.n"),
    (a_request("x", metadata={"x": nested(35)}).item, "item.metadata.x" + "[0]" * 31),
    (a_request("x", metadata={"long": "y" * (17 << 10)}).item, "item.metadata"),
    (a_request("x", metadata={"nul": "\0"}).item, "item.metadata.nul"),
]


@pytest.mark.parametrize(("bad", "field"), BAD_ITEMS)
async def test_a_malformed_item_is_refused_by_field(knowledge, bad, field):
    refused = await refusal(knowledge.StoreKnowledge(pb.StoreKnowledgeRequest(item=bad)))

    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


def chosen(**changes: Any) -> knowledge_pb2.KnowledgeFilter:
    return knowledge_pb2.KnowledgeFilter(**changes)


def forged(*place: Any) -> str:
    """A token that fits the query, with a place of one's own."""
    return pages.token(list(place), Filter().as_json())


WRONG_NUMBERS = struct_pb2.Struct(fields={"n": struct_pb2.Value(number_value=float("nan"))})

BAD_REQUESTS = [
    ("StoreKnowledge", pb.StoreKnowledgeRequest(), "item"),
    ("BatchStoreKnowledge", pb.BatchStoreKnowledgeRequest(), "requests"),
    (
        "BatchStoreKnowledge",
        pb.BatchStoreKnowledgeRequest(requests=[a_request("x")] * 1001),
        "requests",
    ),
    ("GetKnowledge", pb.GetKnowledgeRequest(), "knowledge_id"),
    ("GetKnowledge", pb.GetKnowledgeRequest(knowledge_id="x"), "knowledge_id"),
    ("DeleteKnowledge", pb.DeleteKnowledgeRequest(knowledge_id="x"), "knowledge_id"),
    ("FindMissing", pb.FindMissingRequest(), "knowledge_ids"),
    ("FindMissing", pb.FindMissingRequest(knowledge_ids=[ids.new()] * 1001), "knowledge_ids"),
    ("FindMissing", pb.FindMissingRequest(knowledge_ids=[ids.new(), "x"]), "knowledge_ids[1]"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_size=-1), "page_size"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_token="?"), "page_token"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_token=pages.token([], "x")), "page_token"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_token=forged("now", ids.new())), "page_token"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_token=forged(1, 2, 3)), "page_token"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_token=forged("2026-01-01", "x")), "page_token"),
    ("ListKnowledge", pb.ListKnowledgeRequest(page_scope="x" * 129), "page_scope"),
    (
        "ListKnowledge",
        pb.ListKnowledgeRequest(filter=chosen(namespaces=["x"] * 33)),
        "filter.namespaces",
    ),
    (
        "ListKnowledge",
        pb.ListKnowledgeRequest(filter=chosen(namespaces=["x", "y z"])),
        "filter.namespaces[1]",
    ),
    (
        "ListKnowledge",
        pb.ListKnowledgeRequest(filter=chosen(subject_ids=[ids.new()] * 1001)),
        "filter.subject_ids",
    ),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(), "query"),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x" * 8193), "query"),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x\0"), "query"),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x", limit=-1), "limit"),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x", at_least=["x"]), "at_least[0]"),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x", at_least=["é" * 32]), "at_least[0]"),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(
            query="x", at_least=[base64.urlsafe_b64encode(struct.pack(">16sq", b"", -1)).decode()]
        ),
        "at_least[0]",
    ),
    ("SearchKnowledge", pb.SearchKnowledgeRequest(query="x", at_least=["x"] * 101), "at_least"),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(group_id="g")),
        "filter.group_id",
    ),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(session_id="s")),
        "filter.session_id",
    ),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(platform="p q")),
        "filter.platform",
    ),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(occurred_from=TOO_LATE)),
        "filter.occurred_from",
    ),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(occurred_to=BEFORE_1970)),
        "filter.occurred_to",
    ),
    (
        "SearchKnowledge",
        pb.SearchKnowledgeRequest(query="x", filter=chosen(metadata=WRONG_NUMBERS)),
        "filter.metadata.n",
    ),
]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    BAD_REQUESTS,
    ids=[f"{method} {field} {n}" for n, (method, _, field) in enumerate(BAD_REQUESTS)],
)
async def test_a_malformed_request_is_refused_by_field(knowledge, method, request_, field):
    refused = await refusal(getattr(knowledge, method)(request_))

    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


async def test_an_unknown_mode_is_refused(knowledge):
    request = pb.SearchKnowledgeRequest(query="x")
    request.mode = 9

    assert (await refusal(knowledge.SearchKnowledge(request)))[2] == ["mode"]


async def test_what_is_well_formed_and_unknown_finds_nothing(knowledge):
    nowhere = chosen(
        namespaces=["nowhere"], subject_ids=[ids.new()], group_id=ids.new(), platform="nothing",
        metadata={"x": orjson.dumps({}).decode()},
    )  # fmt: skip

    found = await knowledge.SearchKnowledge(pb.SearchKnowledgeRequest(query="x", filter=nowhere))
    listed = await knowledge.ListKnowledge(pb.ListKnowledgeRequest(filter=nowhere))

    assert (len(found.hits), len(listed.items), listed.next_page_token) == (0, 0, "")
