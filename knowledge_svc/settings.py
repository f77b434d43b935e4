"""What the knowledge service may be told by its environment."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from svckit.settings import BindAddress, StoreSettings, bind_of, database_url_of

# What Voyage's models offer.
_DIMENSIONS = (256, 512, 1024, 2048)
# More than this pgvector cannot index.
_MOST_DIMENSIONS = 2_000


def _in_one_word(key: SecretStr) -> SecretStr:
    word = key.get_secret_value()
    if not all("!" <= character <= "~" for character in word):
        raise ValueError("is no key: it has blanks or what is no ASCII")
    return key


def _is_offered(dimension: int) -> int:
    if dimension not in _DIMENSIONS:
        raise ValueError(f"is one of {', '.join(map(str, _DIMENSIONS))}")
    return dimension


Dimension = Annotated[int, AfterValidator(_is_offered)]
Key = Annotated[SecretStr, AfterValidator(_in_one_word)]


class Settings(StoreSettings):
    """The settings of one knowledge process."""

    database_url: SecretStr | None = database_url_of("knowledge")
    bind: BindAddress = bind_of("KITH_KNOWLEDGE_BIND", "127.0.0.1:50053")
    metrics_bind: BindAddress = bind_of("KITH_KNOWLEDGE_METRICS_BIND", "127.0.0.1:9103")

    # The folder of local state, as `kith up` has it; files are in its folder `blobs`.
    home: Path = Path(".kith")

    # Where files are kept: by default in Supabase Storage where there is a Supabase.
    blobs: Literal["local", "supabase"] | None = None
    bucket: str = Field(default="kith", pattern="^[a-z0-9][a-z0-9._-]{0,62}$")

    # Where vectors are kept, and what makes them: by default whatever there is a key for.
    vectors: Literal["pgvector", "pinecone"] | None = None
    embedder: Literal["wordllama", "voyage"] | None = None

    pinecone_key: Key | None = Field(default=None, validation_alias="PINECONE_API_KEY")
    pinecone_index: str | None = Field(
        default=None, validation_alias="PINECONE_INDEX", pattern="^[a-z0-9-]{0,45}$"
    )
    pinecone_host: str | None = Field(default=None, validation_alias="PINECONE_HOST")
    # Where an index that is missing is made.
    pinecone_cloud: str = Field(default="aws", validation_alias="PINECONE_CLOUD")
    pinecone_region: str = Field(default="us-east-1", validation_alias="PINECONE_REGION")

    voyage_key: Key | None = Field(default=None, validation_alias="VOYAGE_API_KEY")
    voyage_url: str | None = None
    voyage_model: str = Field(default="voyage-4", pattern="^[a-z0-9.-]{1,64}$")
    voyage_dimension: Dimension = 1024
    # What the vectors are to be made by later: `kith knowledge reindex` builds for it.
    next_embedder: Literal["wordllama", "voyage"] | None = None
    next_voyage_model: str | None = Field(default=None, pattern="^[a-z0-9.-]{1,64}$")
    next_voyage_dimension: Dimension | None = None
    voyage_reranker: str = Field(default="rerank-2.5", pattern="^[a-z0-9.-]{1,64}$")

    # What reading one uploaded file may cost, and how many are read at once.
    extraction_memory_mib: int = Field(default=512, ge=128, le=65_536)
    extraction_seconds: float = Field(default=120.0, ge=1, le=3_600)
    extraction_workers: int = Field(default=2, ge=1, le=64)

    @property
    def blob_backend(self) -> Literal["local", "supabase"]:
        """Where files are kept: as forced, else as configured."""
        return self.blobs or ("supabase" if self.supabase_url else "local")

    @property
    def vector_backend(self) -> Literal["pgvector", "pinecone"]:
        """Where vectors are kept: as forced, else as configured."""
        return self.vectors or ("pinecone" if self.pinecone_key else "pgvector")

    @property
    def embedding_backend(self) -> Literal["wordllama", "voyage"]:
        """What makes them: as forced, else as configured."""
        return self.embedder or ("voyage" if self.voyage_key else "wordllama")

    @model_validator(mode="after")
    def _backends_are_whole(self) -> Self:
        if self.blob_backend == "supabase":
            if not self.supabase_url:
                raise ValueError("SUPABASE_URL: is needed for KITH_BLOBS=supabase")
            if not self.supabase_key:
                raise ValueError("SUPABASE_SERVICE_ROLE_KEY: is needed beside SUPABASE_URL")
        if self.vector_backend == "pinecone":
            if not self.pinecone_key:
                raise ValueError("PINECONE_API_KEY: is needed for KITH_VECTORS=pinecone")
            if not (self.pinecone_index or self.pinecone_host):
                raise ValueError(
                    "PINECONE_INDEX: is needed beside PINECONE_API_KEY (it is made if it is "
                    "missing), or PINECONE_HOST; KITH_VECTORS=pgvector does without Pinecone"
                )
        if self.embedding_backend == "voyage":
            self._ensure_voyage("", self.voyage_dimension)
        return self

    @model_validator(mode="after")
    def _next_embedder_is_whole(self) -> Self:
        if self.next_embedder == "voyage":
            if self.next_voyage_model is None:
                raise ValueError("KITH_NEXT_VOYAGE_MODEL: is needed for KITH_NEXT_EMBEDDER=voyage")
            self._ensure_voyage("NEXT_", self.next_voyage_dimension or self.voyage_dimension)
            return self
        for name in ("next_voyage_model", "next_voyage_dimension"):
            if getattr(self, name) is not None:
                raise ValueError(f"KITH_NEXT_EMBEDDER: is needed beside KITH_{name.upper()}")
        return self

    def _ensure_voyage(self, which: str, dimension: int) -> None:
        if not self.voyage_key:
            raise ValueError(f"VOYAGE_API_KEY: is needed for KITH_{which}EMBEDDER=voyage")
        if self.vector_backend == "pgvector" and dimension > _MOST_DIMENSIONS:
            raise ValueError(
                f"KITH_{which}VOYAGE_DIMENSION: pgvector indexes up to {_MOST_DIMENSIONS}; "
                "choose 1024"
            )
