"""Search over what is known."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import ADA, IndexTokens, body, ensure_platform
from gateway.values import Conditions, Moment, SearchText, SessionId, Uuid, Word


class Search(BaseModel):
    """What to look for, and where."""

    model_config = body(
        {
            "query": "Where does she live?",
            "person_id": ADA,
            "filter": {
                "mood": "happy",
                "price": {"$gte": 10, "$lt": 50},
                "$or": [{"tags": {"$in": ["pets", "home"]}}, {"draft": {"$exists": False}}],
            },
            "limit": 5,
        }
    )

    query: SearchText
    mode: Literal["hybrid", "semantic", "keyword"] = "hybrid"
    person_id: Uuid | None = Field(default=None, description="Only what belongs to this person.")
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    platform: Word | None = None
    namespaces: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    from_: Moment | None = Field(default=None, alias="from", description="Said then or later.")
    to: Moment | None = Field(default=None, description="Said before then.")
    filter: Conditions = Field(
        default_factory=dict,
        description="Over item metadata. `{key: value}` asks for an equal value, `{key: {operator: "
        "operand}}` compares by `$eq`, `$ne`, `$in`, `$nin`, `$gt`, `$gte`, `$lt`, `$lte` or "
        "`$exists`; `$and` and `$or` take lists of such filters. What stands side by side must "
        "all hold.",
    )
    limit: int = Field(default=10, ge=1, le=100)
    min_score: float | None = Field(
        default=None, allow_inf_nan=False, description="Leave out hits whose score is less."
    )
    expand: int = Field(
        default=0, ge=0, le=10,
        description="How many items on either side of each hit in its session come along.",
    )  # fmt: skip
    rerank: bool = Field(default=False, description="In the order of the configured reranker.")
    at_least: IndexTokens = Field(
        default_factory=list,
        description="Index tokens of writes that must be searched, one or a list: the search "
        "waits for them, and says which are still pending.",
    )

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        ensure_platform(self.session_id, self.platform)
        return self
