"""What an operator watches of identity, beside what every service has."""

from prometheus_client import Counter

MERGES = Counter(
    "kith_identity_merges_total",
    "People who became one by a call or by linking, and merges taken back.",
    ["how"],
)
