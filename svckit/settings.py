"""What every service may be told by its environment, and how a mistake is reported."""

import base64
import binascii
import re
import sys
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from svckit.addresses import Bind

S = TypeVar("S", bound=BaseSettings)

# An address to bind to, `host:port`; without NoDecode the variable would have to be JSON.
BindAddress = Annotated[
    Bind, NoDecode, BeforeValidator(lambda v: Bind.parse(v) if isinstance(v, str) else v)
]

_HOST = r"(?:\[[^\]]*\]|[^][:,@/?#]*)(?::\d*)?"
_DATABASE_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^@/?#]*@)?{_HOST}(?:,{_HOST})*(?:[/?#].*)?", re.DOTALL
)


class ProcessSettings(BaseSettings):
    """What every process has: where it listens is the process's own."""

    model_config = SettingsConfigDict(env_prefix="KITH_", frozen=True, extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Shared by the services and by whoever calls them; needed beyond loopback.
    service_token: SecretStr | None = None

    @property
    def token(self) -> str | None:
        """The service token in clear."""
        return self.service_token.get_secret_value() if self.service_token else None


class StoreSettings(ProcessSettings):
    """What a service with a store has; a service adds its own addresses and database."""

    store: Literal["postgres", "supabase"] | None = None
    database_url: SecretStr | None = None
    supabase_url: str | None = Field(default=None, validation_alias="SUPABASE_URL")
    supabase_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_SECRET_KEY",
            "SUPABASE_KEY",
        ),
    )  # fmt: skip
    bind: BindAddress
    metrics_bind: BindAddress

    @field_validator("supabase_url")
    @classmethod
    def _is_of_the_web(cls, url: str | None) -> str | None:
        if url and not re.match(r"https?://.", url):
            raise ValueError("is to look like https://PROJECT.supabase.co")
        return url

    @property
    def backend(self) -> Literal["postgres", "supabase"]:
        """The store in use: the one forced, else the one configured."""
        return self.store or ("supabase" if self.supabase_url else "postgres")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.backend == "supabase":
            if not self.supabase_url:
                raise ValueError("SUPABASE_URL: is needed for KITH_STORE=supabase")
            if not self.supabase_key:
                raise ValueError("SUPABASE_SERVICE_ROLE_KEY: is needed beside SUPABASE_URL")
            _refuse_public_key(self.supabase_key.get_secret_value())
            if find_spec("supabase") is None:
                raise ValueError(
                    "SUPABASE_URL: its client is not installed: pip install 'kith[supabase]'"
                )
        elif not self.database_url:
            raise ValueError(
                "KITH_DATABASE_URL: is needed (a Postgres with pgvector), or SUPABASE_URL; "
                "`kith up` brings an embedded one"
            )
        else:
            check_database_url(self.database_url.get_secret_value())
        if not (self.bind.is_loopback or self.service_token):
            raise ValueError(
                f"KITH_SERVICE_TOKEN: is needed to listen on {self.bind}, beyond this machine"
            )
        return self


def check_database_url(url: str) -> None:
    """Raise ValueError unless it reads as the URL of a Postgres.

    The driver would say so, too, but in words of the URL, which may be a part of the password:
    what follows a `/` in it is taken for the database, and what comes before for a port.
    """
    if not _DATABASE_URL.fullmatch(url):
        raise ValueError(
            "KITH_DATABASE_URL (or that of one service): is to look like "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, with /, ?, # and @ in the password as "
            "%2F, %3F, %23 and %40"
        )


def database_url_of(service: str) -> Any:
    """The field of a service's database: its own variable, else the one for all."""
    return Field(
        default=None,
        validation_alias=AliasChoices(f"KITH_{service.upper()}_DATABASE_URL", "KITH_DATABASE_URL"),
    )


def bind_of(variable: str, default: str) -> Any:
    """The field of an address to listen on, read from `variable`."""
    return Field(default=Bind.parse(default), validation_alias=variable)


def load(settings: type[S], process: str) -> S:
    """The settings out of the environment; a mistake ends the process with one clear line."""
    try:
        return settings()
    except ValidationError as error:
        problems = "; ".join(_described(problem) for problem in error.errors())
        print(f"kith {process}: {problems}", file=sys.stderr)  # noqa: T201 - before logs exist
        raise SystemExit(2) from None


def _described(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    return f"{name if name.isupper() else f'KITH_{name.upper()}'}: {message}"


def _refuse_public_key(key: str) -> None:
    role = None
    if key.startswith("sb_publishable_"):
        role = "publishable"
    elif key.count(".") == 2:
        payload = key.split(".")[1]
        try:
            role = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get(
                "role"
            )
        except (binascii.Error, ValueError, AttributeError):
            role = None
    if role in {"anon", "publishable"}:
        raise ValueError(
            f"SUPABASE_SERVICE_ROLE_KEY: this is the {role} key, which may not call Kith's "
            "functions; use the service role key or a secret key"
        )
