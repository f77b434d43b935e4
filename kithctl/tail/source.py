"""What a log tells, wherever it comes from, and going on after cuts."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0

Start = Literal["beginning", "now"] | int


@dataclass(frozen=True)
class Choice:
    """Which events; of several values in one field any will do."""

    person_id: str | None = None
    event_types: Sequence[str] = ()
    platforms: Sequence[str] = ()


@dataclass(frozen=True)
class Told:
    """An event, as the gateway shows it; or how far the log has been looked at."""

    position: int
    event: dict[str, Any] | None = None
    is_caught_up: bool = False


class Cut(Exception):
    """The connection broke, or was refused for now; `seconds` is how long to stay away."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class Source(Protocol):
    """Where events come from."""

    def tell(self, start: Start) -> Iterator[Told]:
        """What there is and what follows, until a Cut; raises Failure for what is final."""
        ...


def going_on(
    source: Source,
    start: Start,
    on_pause: Callable[[float, str], None],
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Told]:
    """What a source tells, taken up again after each cut where it was left."""
    pause = 0.0
    while True:
        try:
            for told in source.tell(start):
                start, pause = told.position, 0.0
                yield told
        except Cut as cut:
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            # Spread, so that many that were cut together do not return together.
            seconds = max(pause * random.uniform(0.5, 1.0), cut.seconds)
            on_pause(seconds, str(cut))
            sleep(seconds)
