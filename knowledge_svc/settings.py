"""What the knowledge service may be told by its environment."""

from typing import Literal

from pydantic import SecretStr

from svckit.settings import BindAddress, StoreSettings, bind_of, database_url_of


class Settings(StoreSettings):
    """The settings of one knowledge process."""

    database_url: SecretStr | None = database_url_of("knowledge")
    bind: BindAddress = bind_of("KITH_KNOWLEDGE_BIND", "127.0.0.1:50053")
    metrics_bind: BindAddress = bind_of("KITH_KNOWLEDGE_METRICS_BIND", "127.0.0.1:9103")
    # Where vectors are kept, and what makes them.
    vectors: Literal["pgvector"] = "pgvector"
    embedder: Literal["wordllama"] = "wordllama"
