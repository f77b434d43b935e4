"""Prometheus metrics of the log; those that every process has stand in `svckit`."""

from prometheus_client import Counter, Gauge

SHREDDED = Counter(
    "kith_events_shredded_total", "Events that lost what they said, by redaction or erasure.",
    ["by"],
)  # fmt: skip
BACKFILL_REMAINING = Gauge(
    "kith_projection_backfill_positions",
    "Positions of the log that are still to be counted into projections.",
)
BACKFILL_FAILURES = Counter(
    "kith_projection_backfill_failures_total", "Steps of the back-fill that failed."
)

DROPPED_DAYS = Counter("kith_event_dropped_days_total", "Days of the log that retention dropped.")
UPKEEP_FAILURES = Counter(
    "kith_event_upkeep_failures_total",
    "Times that partitions could not be made, closed or dropped; tried again a minute later.",
)
INGEST_HELD = Gauge(
    "kith_event_ingest_held_events", "Events that streams have read and that are not logged yet."
)
