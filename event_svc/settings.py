"""What the event service may be told by its environment."""

from pydantic import Field, SecretStr

from event_svc.domain.retention import MOST_DAYS
from svckit.settings import BindAddress, StoreSettings, bind_of, database_url_of


class Settings(StoreSettings):
    """The settings of one event process."""

    database_url: SecretStr | None = database_url_of("event")
    bind: BindAddress = bind_of("KITH_EVENT_BIND", "127.0.0.1:50052")
    metrics_bind: BindAddress = bind_of("KITH_EVENT_METRICS_BIND", "127.0.0.1:9102")
    # How many whole days before today are kept; every day where it is not set.
    retention_days: int | None = Field(
        default=None, ge=1, le=MOST_DAYS, validation_alias="KITH_EVENT_RETENTION_DAYS"
    )
    # How often a subscriber hears something although there is no event for it.
    heartbeat_seconds: float = Field(default=15.0, gt=0)
