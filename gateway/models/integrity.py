"""Which walk through rows, vectors and files."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway.models.common import body
from gateway.values import Word

FindingKind = Literal[
    "VECTOR_MISSING", "VECTOR_ORPHANED", "VECTOR_STALE", "VECTOR_WRONG", "MODEL_WRONG",
    "FILE_MISSING", "FILE_ORPHANED", "FILE_CORRUPT", "CHUNKS_INCOMPLETE", "STUCK_PENDING",
    "STUCK_DELETING", "FAILED",
]  # fmt: skip


class CensusRequest(BaseModel):
    """What to look at, and after how long what waits is stuck."""

    model_config = body({"read_files": True, "grace_seconds": 600}, {"namespaces": ["profiles"]})

    read_files: bool = Field(
        default=False, description="Read each file and take its checksum, not its size alone."
    )
    namespaces: Annotated[list[Word], Field(max_length=32)] = Field(
        default_factory=list, description="Only on these shelves; orphans stand on none."
    )
    grace_seconds: int = Field(
        default=300, ge=1, le=604_800,
        description="After so long what waits is stuck, and what is unknown an orphan.",
    )  # fmt: skip


class RepairRequest(CensusRequest):
    """What to mend."""

    model_config = body({"dry_run": True}, {"kinds": ["VECTOR_MISSING", "VECTOR_STALE"]})

    kinds: Annotated[list[FindingKind], Field(max_length=12)] = Field(
        default_factory=list, description="Only findings of these kinds; none named means all."
    )
    dry_run: bool = Field(default=False, description="Only tell what would be done.")
