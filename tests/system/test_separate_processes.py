"""Four processes started by hand, in any order, do what `kith up` does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.cluster import Cluster
from tests.support.up import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MODULES = {
    "identity": "identity_svc",
    "event": "event_svc",
    "knowledge": "knowledge_svc",
    "gateway": "gateway",
}


@contextmanager
def process(
    name: str, environment: Mapping[str, str], folder: Path, python: str = sys.executable
) -> Iterator[Path]:
    """A service in a process of its own; the path is where it writes its addresses."""
    addresses = folder / f"{name}.json"
    log = (folder / f"{name}.log").open("wb")
    started = subprocess.Popen(
        [python, "-m", MODULES[name]],
        env={
            "PATH": os.environ["PATH"],
            "KITH_ADDRESS_FILE": str(addresses),
            f"KITH_{name.upper()}_BIND": "127.0.0.1:0",
            f"KITH_{name.upper()}_METRICS_BIND": "127.0.0.1:0",
            **environment,
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield addresses
    finally:
        started.terminate()
        status = started.wait(timeout=30)
        log.close()
        assert status == 0, (name, (folder / f"{name}.log").read_text()[-3000:])


def address(file: Path) -> str:
    wait_until(file.exists, seconds=60)
    return str(json.loads(file.read_text())["address"])


@contextmanager
def stack(
    order: Sequence[str], url: str, folder: Path, pythons: Mapping[str, str] | None = None
) -> Iterator[str]:
    """All four in this order; the gateway is told ports that its services may not have yet."""
    ports = dict(zip(("identity", "event", "knowledge"), free_ports(3), strict=True))
    environment = {"KITH_DATABASE_URL": url}
    known = {f"KITH_{name.upper()}_ADDRESS": f"127.0.0.1:{p}" for name, p in ports.items()}
    with ExitStack() as running:
        files = {}
        for name in order:
            own = (
                known
                if name == "gateway"
                else {**environment, f"KITH_{name.upper()}_BIND": f"127.0.0.1:{ports[name]}"}
            )
            python = (pythons or {}).get(name, sys.executable)
            files[name] = running.enter_context(process(name, own, folder, python))
        yield f"http://{address(files['gateway'])}"


def free_ports(count: int) -> list[int]:
    import socket

    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def post(url: str, body: Mapping[str, Any]) -> httpx.Response | None:
    try:
        return httpx.post(url, json=dict(body), timeout=10)
    except httpx.TransportError:
        return None


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[str]:
    """A database without any schema, as its administrator."""
    with cluster.database(template="template0") as fresh:
        yield fresh.url()


@pytest.mark.parametrize(
    "order",
    [
        ("gateway", "knowledge", "event", "identity"),
        ("event", "gateway", "identity", "knowledge"),
    ],
)
def test_any_order_and_nothing_but_a_database(
    order: Sequence[str], empty_database: str, tmp_path: Path
):
    message = {
        "platform": "discord",
        "sender_id": "ada",
        "text": "The spare key lies under the blue flower pot.",
        "message_id": "1",
    }

    with stack(order, empty_database, tmp_path) as gateway:
        check_main_job(gateway, message)


def check_main_job(gateway: str, message: Mapping[str, Any]) -> None:
    """Register, message, repeat, timeline and search through a gateway that may still start."""

    def is_ready() -> bool:
        try:
            return httpx.get(f"{gateway}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, seconds=60)
    first = post(f"{gateway}/v1/messages", message)
    second = post(f"{gateway}/v1/messages", message)
    assert first is not None and second is not None
    assert (first.status_code, second.status_code) == (201, 200), (first.text, second.text)
    assert second.json()["duplicate"] is True
    assert second.json()["event_id"] == first.json()["event_id"]

    person = first.json()["person_id"]
    events = httpx.get(f"{gateway}/v1/persons/{person}/timeline").json()["events"]
    assert [event["event_type"] for event in events] == ["message", "registration"]

    token = first.json()["knowledge"]["index_token"]
    search = {"query": message["text"], "person_id": person, "at_least": token}
    found = post(f"{gateway}/v1/search", search)
    assert found is not None
    assert found.json()["hits"][0]["content"] == message["text"], found.text
    assert found.json()["hits"][0]["scores"]["semantic"] is not None
