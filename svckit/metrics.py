"""Prometheus metrics that every process has; a service's own stand in the service."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from svckit.addresses import Bind

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RPC_SECONDS = Histogram(
    "kith_rpc_seconds", "Time to answer a call, by method and code.", ["method", "code"],
    buckets=_SECONDS,
)  # fmt: skip
RPC_IN_FLIGHT = Gauge("kith_rpc_in_flight", "Calls being answered, by class.", ["bound"])
RPC_REFUSED = Counter("kith_rpc_refused_total", "Calls refused at a bound, by class.", ["bound"])
SQL_SECONDS = Histogram(
    "kith_sql_seconds", "Time of a SQL function, by name.", ["function"], buckets=_SECONDS
)
BATCH_ITEMS = Histogram(
    "kith_batch_items", "Items in a coalesced batch, by batcher.", ["batcher"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)  # fmt: skip
BATCH_WAITING = Gauge("kith_batch_waiting", "Requests waiting for the next batch.", ["batcher"])
LISTENER_PROOF_AGE = Gauge(
    "kith_listener_proof_age_seconds",
    "How old the last proof is that no notification is missing; +Inf while there is none.",
    ["channel"],
)
LISTENER_LOST = Counter(
    "kith_listener_lost_total", "How often a listener lost its connection.", ["channel"]
)


def serve(bind: Bind) -> Bind:
    """Serve `/metrics` from a thread of its own; answers the address really bound."""
    server, _ = start_http_server(bind.port, addr=bind.host)
    return Bind(bind.host, server.server_port)
