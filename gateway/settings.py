"""What the gateway may be told by its environment."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from svckit.settings import BindAddress, ProcessSettings, bind_of

_HASH = re.compile(r"[0-9a-f]{64}")


def _split(value: object) -> object:
    """`a, b` as `("a", "b")`: lists are written with commas, as everywhere in an environment."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


# pydantic-settings would read a list as JSON; NoDecode leaves the text to us.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(ProcessSettings):
    """The settings of one gateway process."""

    bind: BindAddress = bind_of("KITH_GATEWAY_BIND", "127.0.0.1:8080")
    # gRPC targets: host:port, or what gRPC resolves, such as dns:///identity:50051.
    identity_address: str = Field(default="127.0.0.1:50051", min_length=1)
    event_address: str = Field(default="127.0.0.1:50052", min_length=1)
    knowledge_address: str = Field(default="127.0.0.1:50053", min_length=1)

    # SHA-256 of each API key, in hex; needed to listen beyond loopback.
    api_key_hashes: Words = ()
    # On loopback these are allowed beside localhost itself; elsewhere they are all that is.
    allowed_hosts: Words = ()
    allowed_origins: Words = ()

    unknown_sender: Literal["register", "reject"] = "register"
    # What a purpose of consent that was never decided means.
    consent_default: Literal["allow", "deny"] = "allow"

    # How long a request may take, and a call to a service on its behalf.
    request_seconds: float = Field(default=10.0, gt=0)
    call_seconds: float = Field(default=5.0, gt=0)
    # How long a message waits for its knowledge to be stored before that is deferred.
    knowledge_seconds: float = Field(default=2.0, gt=0)

    # How soon whoever follows a person notices that they have one more link, or were merged.
    expand_seconds: float = Field(default=3.0, gt=0)

    # How many requests may be in flight at once: single ones, JSON batches, NDJSON streams.
    most_requests: int = Field(default=1024, gt=0)
    most_batches: int = Field(default=16, gt=0)
    most_streams: int = Field(default=16, gt=0)
    # How many people may be exported at once.
    most_exports: int = Field(default=8, gt=0)
    # How many clients may follow the log at once, by event streams and long polls.
    most_followers: int = Field(default=1000, gt=0)
    # How many files may be on their way in or out at once, and for how long each.
    most_transfers: int = Field(default=64, gt=0)
    transfer_seconds: float = Field(default=300.0, gt=0)
    # How large a body may be: of a single request, and of a JSON batch.
    request_bytes: int = Field(default=1 << 20, gt=0)
    batch_bytes: int = Field(default=16 << 20, gt=0)

    # The catch-up reader; of all gateways that may run it one does, and another one takes over
    # so long after it was last heard of.
    catch_up: bool = True
    catch_up_lease_seconds: float = Field(default=15.0, ge=1, le=3600)
    # How old an event is before the reader concludes that its flow will not finish it.
    catch_up_grace_seconds: float = Field(default=5.0, ge=0)
    catch_up_poll_seconds: float = Field(default=2.0, gt=0)

    # How soon erasures that another gateway has left over are noticed, where catching up is on.
    erasure_poll_seconds: float = Field(default=5.0, gt=0)

    # Only to tell, on /healthz, which backends this environment chooses; the services choose by
    # the same variables.
    store: Literal["postgres", "supabase"] | None = None
    supabase_url: str | None = Field(default=None, validation_alias="SUPABASE_URL")
    blobs: Literal["local", "supabase"] | None = None
    vectors: Literal["pgvector", "pinecone"] | None = None
    embedder: Literal["wordllama", "voyage"] | None = None
    # Only whether they are set: compose gives the gateway a word in place of the keys.
    pinecone_key: SecretStr | None = Field(default=None, validation_alias="PINECONE_API_KEY")
    voyage_key: SecretStr | None = Field(default=None, validation_alias="VOYAGE_API_KEY")

    @field_validator("api_key_hashes")
    @classmethod
    def _are_hashes(cls, hashes: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(value.lower() for value in hashes)
        if not all(_HASH.fullmatch(value) for value in lowered):
            raise ValueError("each must be a SHA-256 in hex, 64 digits, never the key itself")
        return lowered

    @field_validator("allowed_hosts", "allowed_origins")
    @classmethod
    def _are_lower_case(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower().rstrip("/") for name in names)

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        if not (self.bind.is_loopback or self.api_key_hashes):
            raise ValueError(
                f"KITH_API_KEY_HASHES: is needed to listen on {self.bind}, beyond this machine"
            )
        return self

    @property
    def backends(self) -> dict[str, str]:
        """The backends in use, as far as this process's environment tells."""
        return {
            "storage_backend": self.store or ("supabase" if self.supabase_url else "postgres"),
            "blob_store": self.blobs or ("supabase" if self.supabase_url else "local"),
            "vector_backend": self.vectors or ("pinecone" if self.pinecone_key else "pgvector"),
            "embedder": self.embedder or ("voyage" if self.voyage_key else "wordllama"),
        }
