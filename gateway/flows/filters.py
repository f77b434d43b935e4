"""What of all that is known a query is about."""

from collections.abc import Sequence

from google.protobuf import struct_pb2

from gateway.clients.identity import Identity
from gateway.flows.subjects import subjects_of
from gateway.models.documents import DocumentsQuery
from gateway.models.knowledge import KnowledgeQuery
from gateway.models.search import Search
from gateway.rendering.values import conversation
from kith.knowledge.v1 import knowledge_pb2
from svckit import fields


async def filter_of(
    identity: Identity,
    query: DocumentsQuery | KnowledgeQuery | Search,
    namespaces: Sequence[str],
    metadata: struct_pb2.Struct | None = None,
) -> knowledge_pb2.KnowledgeFilter:
    """The conditions of a query, a person as their subjects; raises what `subjects_of` raises."""
    return knowledge_pb2.KnowledgeFilter(
        namespaces=namespaces,
        subject_ids=await subjects_of(identity, query.person_id),
        group_id=query.group_id or "",
        session_id=conversation(query.session_id, query.platform or ""),
        platform=query.platform or "",
        occurred_from=fields.to_timestamp(query.from_),
        occurred_to=fields.to_timestamp(query.to),
        metadata=metadata,
    )
