"""One server builder: health, reflection, metrics, deadlines, bounds and a graceful stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from svckit import addresses, logs, metrics
from svckit.addresses import Bind
from svckit.calls import DEFAULT_BOUNDS, Bounds, CallInterceptor
from svckit.errors import ServiceError
from svckit.settings import StoreSettings

log = logs.get(__name__)

MESSAGE_BYTES = 16 << 20
GRACE_SECONDS = 10.0
CHECK_SECONDS = 2.0
# So many more objects made than freed until the collector looks at the young ones.
GARBAGE_THRESHOLD = 20_000

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OPTIONS = [
    # A second server on the same port is a mistake, not a second worker.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
]


@dataclass(frozen=True)
class Service:
    """What a process serves.

    `add` registers the servicers on a server, `names` are their full names. `prepare`
    makes the store ready (schema) and may be repeated; `check` raises while the service
    cannot work; `end_streams` has streams end that would go on for ever, and lets none begin;
    `drain` ends background work and flushes batches.
    """

    domain: str
    names: Sequence[str]
    add: Callable[[grpc.aio.Server], None]
    prepare: Callable[[], Awaitable[None]]
    check: Callable[[], Awaitable[object]]
    drain: Callable[[], Awaitable[None]]
    end_streams: Callable[[], None] = lambda: None


class Running:
    """A started server, for tests and for `run`."""

    def __init__(self, server: grpc.aio.Server, monitor: asyncio.Task[None],
                 health_servicer: health.aio.HealthServicer, service: Service,
                 address: Bind) -> None:  # fmt: skip
        self._server = server
        self._monitor = monitor
        self._health = health_servicer
        self._service = service
        self.address = address

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Say NOT_SERVING, end endless streams, let calls in flight finish, flush batches."""
        self._monitor.cancel()
        await self._health.enter_graceful_shutdown()
        self._service.end_streams()
        await self._server.stop(grace)
        await self._service.drain()


async def start(service: Service, bind: Bind, *, token: str | None = None,
                bounds: Bounds = DEFAULT_BOUNDS) -> Running:  # fmt: skip
    """Listen at once; health says SERVING as soon as the store is ready, and while it is."""
    server = grpc.aio.server(
        interceptors=[CallInterceptor(service.domain, token=token, bounds=bounds)],
        options=OPTIONS,
    )
    service.add(server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection(
        [*service.names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    for name in ("", *service.names):
        await health_servicer.set(name, NOT_SERVING)
    port = server.add_insecure_port(str(bind))
    await server.start()
    monitor = asyncio.create_task(_monitor(service, health_servicer), name="health")
    return Running(server, monitor, health_servicer, service, Bind(bind.host, port))


async def _monitor(service: Service, health_servicer: health.aio.HealthServicer) -> None:
    """Keep health in step with the store, for ever; a reason is logged once, not each time."""
    prepared = healthy = False
    reason = ""
    while True:
        try:
            if not prepared:
                await service.prepare()
                prepared = True
            await service.check()
            now_healthy = True
        except Exception as error:  # not ready, whatever it is; tried again below
            now_healthy = False
            if healthy or str(error) != reason:
                reason = str(error)
                known = isinstance(error, ServiceError | OSError | RuntimeError)
                log.warning("not ready", why=reason, exc_info=None if known else error)
        if now_healthy != healthy:
            healthy = now_healthy
            if healthy:
                log.info("ready")
            for name in ("", *service.names):
                await health_servicer.set(name, SERVING if healthy else NOT_SERVING)
        await asyncio.sleep(CHECK_SECONDS if prepared else CHECK_SECONDS / 8)


@contextmanager
def _listening_on(bind: Bind) -> Iterator[None]:
    """End the process with one clear line if an address cannot be had."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        # grpc says "Failed to bind to address ..." and no more.
        print(f"kith: cannot listen on {bind}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


async def run(service: Service, settings: StoreSettings) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully."""
    # What is loaded stays, and a batch of a thousand requests is no garbage yet: with the
    # usual threshold a quarter of the time of a large batch went into looking for some.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Metrics first: a port that is taken is then known before anybody is served.
    with _listening_on(settings.metrics_bind):
        metrics_address = metrics.serve(settings.metrics_bind)
    with _listening_on(settings.bind):
        running = await start(service, settings.bind, token=settings.token)
    addresses.announce(running.address, metrics_address)
    log.info("listening", address=str(running.address), metrics=str(metrics_address))
    await stop.wait()
    log.info("stopping")
    await running.stop()
