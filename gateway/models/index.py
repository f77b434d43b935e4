"""Changes of the index."""

from pydantic import BaseModel, Field

from gateway.models.common import body
from gateway.values import Word


class Reindex(BaseModel):
    """What to build."""

    model_config = body({"documents": False})

    documents: bool = Field(
        default=False,
        description="Read documents again whose pieces another chunker made, in place of "
        "building a space.",
    )


class CutOver(BaseModel):
    """Which space is to serve."""

    model_config = body({"space": "voyage_4_1024_whole_1"})

    space: Word
