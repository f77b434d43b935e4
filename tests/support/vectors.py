"""Vectors and what is near them, for the tests of vector indexes."""

from typing import Any

from knowledge_svc.domain.items import Filter, Space, Vector
from knowledge_svc.ports.items import VectorIndex
from svckit import ids

SPACE = Space("test", "model", 3, "whole-1")
EVERYTHING = Filter()


def a_vector(*values: float, **changes: Any) -> Vector:
    """A vector of an item of its own."""
    given = {
        "knowledge_id": ids.new(),
        "namespace": "default",
        "occurred_at": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return Vector(values=values, **given)


async def near(
    index: VectorIndex, *query: float, narrow: Filter = EVERYTHING, **changes: Any
) -> dict[str, float]:
    """The ids nearest to a point, and their similarities."""
    matches = await index.nearest(
        changes.get("space", SPACE.name), query, limit=changes.get("limit", 10), narrow=narrow,
        ids=changes.get("ids"),
    )  # fmt: skip
    return {match.knowledge_id: match.similarity for match in matches}
