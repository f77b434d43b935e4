"""Prometheus metrics of this service's work; those that every process has stand in `svckit`."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

BACKLOG = Gauge(
    "kith_knowledge_index_backlog", "Items that wait to be indexed or removed, by space.", ["space"]
)
OLDEST_PENDING = Gauge(
    "kith_knowledge_index_oldest_pending_seconds", "For how long the oldest of them has waited.",
    ["space"],
)  # fmt: skip
DEAD_LETTERS = Gauge(
    "kith_knowledge_index_dead_letters", "Items that the indexer gave up, by space.", ["space"]
)
SPACES = Gauge("kith_knowledge_space", "1 for each space, by what it is for.", ["space", "state"])
BATCH_ITEMS = Histogram(
    "kith_knowledge_index_batch_items", "Items that were indexed together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)  # fmt: skip
BATCH_TOKENS = Histogram(
    "kith_knowledge_index_batch_tokens", "About how many tokens they had.",
    buckets=(10, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 32_000, 64_000),
)  # fmt: skip
STEP_SECONDS = Histogram(
    "kith_knowledge_index_step_seconds",
    "Time of a batch's step: claim, embed, upsert, delete or mark.",
    ["step"], buckets=_SECONDS,
)  # fmt: skip
WAITED_SECONDS = Histogram(
    "kith_knowledge_index_waited_seconds", "From a store call to the vector in the index.",
    buckets=_SECONDS,
)  # fmt: skip
FAILURES = Counter(
    "kith_knowledge_index_failures_total",
    "Items put off and given up, outages, and what else stopped a batch (unexpected).",
    ["outcome"],
)
SEARCH_SECONDS = Histogram(
    "kith_knowledge_search_seconds", "Time of a search without waiting for writes, by mode.",
    ["mode"], buckets=_SECONDS,
)  # fmt: skip
DEGRADED = Counter(
    "kith_knowledge_search_degraded_total", "Searches that had to do without meaning."
)
SECOND_LOOKS = Counter(
    "kith_knowledge_search_second_looks_total", "Searches whose finds went before they were read."
)
ERASED = Counter(
    "kith_knowledge_erased_total", "Items and documents taken away with their subjects.", ["kind"]
)
BACKEND_SECONDS = Histogram(
    "kith_knowledge_backend_seconds",
    "Time of a request to a hosted backend, by what came of it: ok, throttled, unavailable, "
    "refused or cut off.",
    ["backend", "call", "outcome"], buckets=_SECONDS,
)  # fmt: skip
INDEX_LATE = Counter(
    "kith_knowledge_index_late_total",
    "Writes that a hosted index had acknowledged and did not show in time.",
)
EXTRACTION_SECONDS = Histogram(
    "kith_knowledge_extraction_seconds",
    "Time of getting the text out of a file, by what came of it: ok, the reason why not, or left "
    "before the end.",
    ["media_type", "outcome"], buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)  # fmt: skip
MEMORIES = Counter(
    "kith_knowledge_memories_total",
    "Memories set, by what came of it: changed, or the same as before; and deleted.",
    ["outcome"],
)
ACCESSES = Counter(
    "kith_knowledge_memory_accesses_total",
    "Accesses of memories: written, or dropped because too many waited to be.",
    ["outcome"],
)
FINDINGS = Gauge(
    "kith_knowledge_integrity_findings", "What the last whole census found, by kind.", ["kind"]
)
CENSUS_AT = Gauge(
    "kith_knowledge_integrity_census_timestamp_seconds", "When the last whole census ended."
)
REPAIRS = Counter(
    "kith_knowledge_integrity_repairs_total", "What was done about findings, by action.",
    ["action"],
)  # fmt: skip
DOCUMENTS = Gauge("kith_knowledge_documents", "Documents by state.", ["state"])
OLDEST_UNREAD = Gauge(
    "kith_knowledge_documents_oldest_pending_seconds",
    "For how long the oldest document has waited to be read.",
)
UPLOADS = Counter("kith_knowledge_uploads_total", "Uploads: stored, or known already.", ["outcome"])
UPLOADED_BYTES = Counter("kith_knowledge_uploaded_bytes_total", "Bytes of files that were stored.")
DOWNLOADED_BYTES = Counter("kith_knowledge_downloaded_bytes_total", "Bytes of files given out.")
DOCUMENTS_DELETED = Counter("kith_knowledge_documents_deleted_total", "Documents deleted.")
READINGS = Counter(
    "kith_knowledge_readings_total",
    "Readings of documents by outcome: succeeded, the reason of a failure, put off, or lost to "
    "somebody else.",
    ["outcome"],
)
READING_SECONDS = Histogram(
    "kith_knowledge_reading_seconds", "Time to read the text of a document.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)  # fmt: skip
