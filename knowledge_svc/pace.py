"""How indexers go about their work."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How an indexer goes about its work; the defaults are for production."""

    # A batch, which is embedded together, ends at so many items or tokens.
    most_items: int = 128
    most_tokens: int = 32_000
    # Claims grow up to this while there is more to do than a batch.
    most_claimed: int = 1_024
    most_attempts: int = 5
    # After this a row is anybody's again; whoever is at it renews it three times as often.
    lease_seconds: float = 30.0
    # How soon what other replicas left over is noticed.
    poll_seconds: float = 1.0
    # How long embedding or writing a batch may take, before it counts as an outage.
    step_seconds: float = 60.0
    # Before the second try; doubled for each further one.
    retry_seconds: float = 1.0
    # After this a deletion that its process did not finish is finished by an indexer.
    deletion_seconds: float = 10.0
    # How often the metrics look, and words are settled whoever stored them.
    watch_seconds: float = 5.0
    # How long a batch may take to end when the process stops.
    stop_seconds: float = 5.0


def delay(first: float, times: int, longest: float) -> float:
    """Twice as long each time, give or take half, so that replicas do not move in step."""
    return min(first * 2.0 ** min(times - 1, 30), longest) * random.uniform(0.5, 1.5)
