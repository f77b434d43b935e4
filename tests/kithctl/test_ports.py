"""Where the processes listen."""

import socket

import pytest

from kithctl import ports
from kithctl.failure import Failure
from kithctl.service import GATEWAY, SERVICES, binds_of
from svckit.addresses import Bind


def test_the_ports_are_the_documented_ones_on_loopback():
    chosen = ports.chosen(None)

    binds = [str(bind) for it in (*SERVICES, GATEWAY) for bind in binds_of(it, {}, chosen).values()]

    assert binds == [
        *("127.0.0.1:50051", "127.0.0.1:9101"),
        *("127.0.0.1:50052", "127.0.0.1:9102"),
        *("127.0.0.1:50053", "127.0.0.1:9103"),
        "127.0.0.1:8080",
    ]


def test_the_system_can_choose_them_all():
    chosen = ports.chosen(0)

    assert {
        bind.port for it in (*SERVICES, GATEWAY) for bind in binds_of(it, {}, chosen).values()
    } == {0}


def test_they_can_follow_a_number():
    chosen = ports.chosen(7000)

    assert chosen(8080) == 7000
    assert sorted(map(chosen, (50051, 50052, 50053, 9101, 9102, 9103))) == list(range(7001, 7007))


def test_what_the_environment_says_wins():
    environment = {"KITH_EVENT_BIND": "127.0.0.2:77", "KITH_EVENT_METRICS_BIND": "[::1]:78"}

    binds = binds_of(SERVICES[1], environment, ports.chosen(0))

    assert binds == {
        "KITH_EVENT_BIND": Bind("127.0.0.2", 77),
        "KITH_EVENT_METRICS_BIND": Bind("::1", 78),
    }


def test_an_address_that_is_none_is_named():
    with pytest.raises(Failure, match="KITH_EVENT_BIND"):
        binds_of(SERVICES[1], {"KITH_EVENT_BIND": "here"}, ports.chosen(0))


def test_a_port_that_another_program_has_is_refused_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]

        with pytest.raises(Failure) as raised:
            ports.refuse_taken({"KITH_EVENT_BIND": Bind("127.0.0.1", port)})

    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "set KITH_EVENT_BIND to another address" in str(raised.value)


def test_a_free_port_is_not_refused():
    ports.refuse_taken({"KITH_EVENT_BIND": Bind("127.0.0.1", 0)})
