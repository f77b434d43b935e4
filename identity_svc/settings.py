"""What the identity service may be told by its environment."""

from pydantic import Field, SecretStr

from identity_svc.cache import DEFAULT_ENTRIES
from svckit.settings import BindAddress, StoreSettings, bind_of, database_url_of


class Settings(StoreSettings):
    """The settings of one identity process."""

    database_url: SecretStr | None = database_url_of("identity")
    bind: BindAddress = bind_of("KITH_IDENTITY_BIND", "127.0.0.1:50051")
    metrics_bind: BindAddress = bind_of("KITH_IDENTITY_METRICS_BIND", "127.0.0.1:9101")
    # How many answers to "who holds this account" are kept; 0 keeps none.
    cache_entries: int = Field(
        default=DEFAULT_ENTRIES, ge=0, le=10_000_000,
        validation_alias="KITH_IDENTITY_CACHE_ENTRIES",
    )  # fmt: skip
