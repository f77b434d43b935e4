"""Every reason that a service can send is in its contract, and the other way round."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import pytest

from svckit import errors

SERVICES = {"identity_svc": "identity", "event_svc": "event", "knowledge_svc": "knowledge"}
PREFIX = "ERROR_REASON_"


def documented(name: str) -> set[str]:
    enum: Any = importlib.import_module(f"kith.{name}.v1.error_reason_pb2").ErrorReason
    return {word.removeprefix(PREFIX) for word in enum.keys() if enum.Value(word) != 0}  # noqa: SIM118


def modules(package: str) -> list[ModuleType]:
    root = importlib.import_module(package)
    return [root] + [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(root.__path__, f"{package}.")
        if not found.name.endswith("__main__")
    ]


def raisable(package: str) -> set[str]:
    """The reasons of the service's own errors and of the kit's that have one."""
    kinds = [
        value
        for module in [errors, *modules(package)]
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, errors.ServiceError)
        and value.__module__.split(".")[0] in {package, "svckit"}
    ]
    return {kind.reason for kind in kinds} - {errors.ServiceError.reason}


@pytest.mark.parametrize("package", SERVICES)
def test_reasons_are_those_of_the_contract(package: str):
    assert raisable(package) == documented(SERVICES[package])
