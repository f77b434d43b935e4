"""Who may ask: known hosts and origins on loopback, and an API key where keys are configured."""

import hashlib
import hmac
import re
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Refused
from gateway.middleware import HEALTH
from gateway.settings import Settings
from svckit.errors import Unauthenticated

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# The contract is public; a browser could not send a key for these.
PUBLIC = HEALTH | {"/docs", "/openapi.json"}

# In the scope: who asks, by the hash of the key.
CALLER = "kith.caller"
LOCAL = "local"
# Who comes with a link to a file in place of a key: the route has it checked by who signed it.
LINK = "link"
_LINKED = re.compile(r"/v1/documents/[^/]+/content")
_SIGNED = re.compile(rb"(?:^|&)signature=[^&]")


class Guard:
    """Refuses before anything is read or done.

    On loopback no key is needed, so any web page that the user opens could ask: its requests
    name the page's origin, or a host name that was made to lead here.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hashes = settings.api_key_hashes
        self._origins = frozenset(settings.allowed_origins)
        self._is_loopback = settings.bind.is_loopback
        own = LOOPBACK | {settings.bind.host} if self._is_loopback else frozenset()
        self._hosts = own | frozenset(settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            # Beyond loopback, probes ask by whatever address they have, and learn nothing.
            if self._is_loopback or scope["path"] not in HEALTH:
                self._check_host(headers.get(b"host", b"").decode("latin-1").lower())
            if b"origin" in headers:
                self._check_origin(headers[b"origin"].decode("latin-1").lower())
            scope[CALLER] = LINK if _is_link(scope) else self._caller(scope["path"], headers)
        await self._app(scope, receive, send)

    def _check_host(self, host: str) -> None:
        if self._hosts and not ({host, _name_of(f"//{host}")} & self._hosts):
            raise Refused(403, "HOST_NOT_ALLOWED", "this Host is not one of KITH_ALLOWED_HOSTS")

    def _check_origin(self, origin: str) -> None:
        if origin in self._origins or not (self._is_loopback or self._origins):
            return
        if not (self._is_loopback and _name_of(origin) in LOOPBACK):
            raise Refused(
                403, "ORIGIN_NOT_ALLOWED", "this Origin is not one of KITH_ALLOWED_ORIGINS"
            )

    def _caller(self, path: str, headers: dict[bytes, bytes]) -> str:
        if not self._hashes or path in PUBLIC:
            return LOCAL
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            key = headers.get(b"x-api-key", b"")
        given = hashlib.sha256(key.strip()).hexdigest()
        # Every hash is compared, so that time tells nothing about which one matched.
        if not sum(hmac.compare_digest(given, known) for known in self._hashes):
            raise Unauthenticated("an API key is needed: Authorization: Bearer, or X-API-Key")
        return given


def _is_link(scope: Scope) -> bool:
    return bool(
        scope["method"] == "GET"
        and _LINKED.fullmatch(scope["path"])
        and _SIGNED.search(scope["query_string"])
    )


def _name_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
