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
