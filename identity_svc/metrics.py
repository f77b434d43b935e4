"""Prometheus metrics of identity; those that every process has stand in `svckit`."""

from prometheus_client import Counter, Gauge

MERGES = Counter(
    "kith_identity_merges_total",
    "People who became one by a call or by linking, and merges taken back.",
    ["how"],
)
VERIFICATIONS = Counter(
    "kith_identity_verifications_total",
    "Link verifications, by outcome: started, throttled, confirmed, failed or expired.",
    ["outcome"],
)
SESSIONS = Gauge(
    "kith_identity_sessions", "Onboarding sessions that nobody claimed, by state.", ["state"]
)
SESSIONS_CREATED = Counter("kith_identity_sessions_created_total", "Onboarding sessions created.")
SESSIONS_CLAIMED = Counter("kith_identity_sessions_claimed_total", "Onboarding sessions claimed.")
SWEPT = Counter("kith_identity_swept_total", "Rows that were past their time, by kind.", ["kind"])
ERASURES_RUNNING = Gauge("kith_identity_erasures_running", "Erasures that are not finished.")
CACHE_LOOKUPS = Counter(
    "kith_identity_cache_lookups_total", "Accounts looked up in the cache.", ["outcome"]
)
CACHE_REMOVED = Counter(
    "kith_identity_cache_removed_total",
    "Answers that left the cache: invalidated, flushed with all others, expired, or evicted.",
    ["why"],
)
CACHE_DROPPED = Counter(
    "kith_identity_cache_fills_dropped_total",
    "Answers that were not kept, since what they say changed while they were read.",
)
CACHE_ENTRIES = Gauge("kith_identity_cache_entries", "Answers in the cache.")
