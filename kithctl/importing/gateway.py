"""Calls a gateway: patient with what passes, plain with the rest."""

import email.utils
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import orjson

from kithctl.failure import Failure
from svckit.addresses import Bind

# Answers of a gateway, or of a proxy before it, that the same call may not get a second time.
PASSING = frozenset({408, 429, 502, 503, 504})

TRIES = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_LONGEST_RETRY_AFTER = 60.0
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)

OnPause = Callable[[float, str], None]


class Refused(Failure):
    """The gateway will not do it. `problem` is its RFC 9457 answer, as far as it gave one."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        said = problem.get("detail") or problem.get("title") or "no reason given"
        super().__init__(f"the gateway answers {status}: {said}")
        self.status = status
        self.problem = problem


class Unreachable(Failure):
    """The gateway has not answered, however often it was asked."""


class Pauses:
    """Growing pauses between the tries of something; Unreachable when there were enough."""

    def __init__(self, on_pause: OnPause, sleep: Callable[[float], object]) -> None:
        self._on_pause = on_pause
        self._sleep = sleep
        self._failed = 0

    def again(self, why: str, retry_after: float | None = None) -> None:
        """Wait before the next try, at least as long as the gateway asks."""
        self._failed += 1
        if self._failed >= TRIES:
            raise Unreachable(f"gave up after {TRIES} tries: {why}")
        pause = min(_FIRST_PAUSE * 2 ** (self._failed - 1), _LONGEST_PAUSE)
        # Spread, so that many clients that were refused together do not return together.
        pause = max(pause * random.uniform(0.5, 1.0), min(retry_after or 0.0, _LONGEST_RETRY_AFTER))
        self._on_pause(pause, why)
        self._sleep(pause)

    def progress(self) -> None:
        """Something worked: what fails next is a new failure."""
        self._failed = 0


class Gateway:
    """One gateway, over one connection. Every call made here may be repeated safely."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        on_pause: OnPause = lambda _, __: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = _checked(url)
        self._on_pause = on_pause
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=_TIMEOUT,
            # A proxy of the environment would not find this machine's own ports.
            trust_env=not Bind(self.url.host, 0).is_loopback,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def check(self) -> None:
        """Raise Failure, saying what to do, unless a gateway answers right now."""
        try:
            answer = _read(self._http.get("/healthz"))
        except httpx.TransportError:
            raise Unreachable(f"nothing answers at {self.url}; start it with `make run`") from None
        if "storage_backend" not in answer:
            raise Unreachable(f"what answers at {self.url} is not Kith's gateway")

    def pauses(self) -> Pauses:
        """The pauses between the tries of one piece of work."""
        return Pauses(self._on_pause, self._sleep)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a GET answers; raises Refused or Unreachable."""
        return self._call(lambda: self._http.get(path, params=query))

    def post(self, path: str, body: Any) -> Any:
        """The JSON that a POST answers; raises Refused or Unreachable."""
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        return self._call(lambda: self._http.post(path, content=content, headers=headers))

    def delete(self, path: str) -> Any:
        """The JSON that a DELETE answers; raises Refused or Unreachable."""
        return self._call(lambda: self._http.delete(path))

    @contextmanager
    def stream(self, path: str, query: dict[str, Any]) -> Iterator[httpx.Response]:
        """An answer as it comes, once and without tries; raises Refused, httpx.TransportError."""
        with self._http.stream("GET", path, params=query) as answer:
            if not answer.is_success:
                answer.read()
                raise Refused(answer.status_code, _problem(answer))
            yield answer

    def _call(self, send: Callable[[], httpx.Response]) -> Any:
        pauses = self.pauses()
        while True:
            try:
                answer = send()
            except httpx.TransportError as error:
                said = str(error) or type(error).__name__
                pauses.again(f"{self.url} cannot be reached: {said}")
                continue
            if answer.status_code not in PASSING:
                return _read(answer)
            refused = Refused(answer.status_code, _problem(answer))
            pauses.again(str(refused), _retry_after(answer))


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Failure(f"{url!r} is not a URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Failure(f"{url!r} is not a URL: it is to look like http://127.0.0.1:8080")
    return parsed


def _read(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise Refused(answer.status_code, _problem(answer))
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        raise Refused(answer.status_code, {"detail": "not JSON; is this Kith's gateway?"}) from None


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        problem = None
    return problem if isinstance(problem, dict) else {"title": answer.reason_phrase}


def _retry_after(answer: httpx.Response) -> float | None:
    """How many seconds the gateway asks to wait: a number, or a date (RFC 9110, 10.2.3)."""
    said = answer.headers.get("retry-after", "")
    try:
        return float(said)
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
