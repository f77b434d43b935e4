"""`kith up` with processes that stand in for the services.

python -m tests.kithctl.up_with_stand_ins HOME [broken]
"""

import asyncio
import sys
from pathlib import Path

from kithctl.failure import Failure
from kithctl.service import Service
from kithctl.stack import Plan
from kithctl.up import up
from svckit.healthcheck import serves_grpc, serves_http

STAND_IN = (sys.executable, "-m", "tests.kithctl.stand_in")


async def no_migration(url: str) -> None:
    """The stand-ins have no schemas."""


def plan(kind: str) -> Plan:
    services = [
        Service(name, (*STAND_IN, name, "grpc"), port, None, serves_grpc)
        for name, port in (("identity", 50051), ("event", 50052))
    ]
    services.append(Service("knowledge", (*STAND_IN, "knowledge", kind), 50053, None, serves_grpc))
    gateway = Service("gateway", (*STAND_IN, "gateway", "http"), 8080, None, serves_http)
    return Plan(services, gateway, no_migration, first_port=0)


def main() -> None:
    home, kind = Path(sys.argv[1]), "broken" if "broken" in sys.argv else "grpc"
    try:
        asyncio.run(up(home, plan(kind)))
    except Failure as failure:
        sys.exit(f"kith: {failure}")


if __name__ == "__main__":
    main()
