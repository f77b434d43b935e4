"""The files in deploy/ agree with the code. No container engine is asked: what is read, is read."""

import asyncio
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import AliasChoices
from pydantic_settings import BaseSettings
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from svckit.addresses import Bind
from tests.support.http import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PACKAGES = {
    "identity": "identity_svc",
    "event": "event_svc",
    "knowledge": "knowledge_svc",
    "gateway": "gateway",
}
# What compose is told besides the settings of the processes.
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "PUBLISH", "EXTRAS"}

_VARIABLE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)
# ${NAME}, ${NAME:-default}, ${NAME:?problem}; a default may hold another one.
_REFERENCE = re.compile(r"\$\{([A-Z_]+)(?::([-?+])((?:[^{}]|\$\{[^{}]*\})*))?\}")


def settings_of(package: str) -> type[BaseSettings]:
    """The one settings class that a package defines."""
    module = importlib.import_module(f"{package}.settings")
    [found] = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]
    return found


def variables_of(settings: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    """Each variable that a process reads, with the field it is for; every alias counts."""
    prefix = settings.model_config["env_prefix"]
    for name, field in settings.model_fields.items():
        match field.validation_alias:
            case None:
                yield f"{prefix}{name}".upper(), name
            case AliasChoices(choices=choices):
                yield from ((str(choice), name) for choice in choices)
            case alias:
                yield str(alias), name


SETTINGS = {service: settings_of(package) for service, package in PACKAGES.items()}
VARIABLES = {service: dict(variables_of(settings)) for service, settings in SETTINGS.items()}

EXAMPLE = dict(_VARIABLE.findall((DEPLOY / ".env.example").read_text()))
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
DOCKERFILE_TEXT = (DEPLOY / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SECRETS = {
    "POSTGRES_PASSWORD": "p4ssword",
    "KITH_SERVICE_TOKEN": "a token",
    "KITH_API_KEY_HASHES": "0" * 64,
}


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE_TEXT, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word
    ]


def last_stage() -> list[tuple[str, str]]:
    instructions = dockerfile()
    start = max(n for n, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[start:]


def image_environment() -> dict[str, str]:
    """What the image itself sets."""
    pairs = [pair for word, rest in last_stage() if word == "ENV" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """Text as compose reads it; LookupError where a variable that must be given is not."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if operator == "+":
            return rest if given.get(name) else ""
        if given.get(name):
            return given[name]
        if operator == "?":
            raise LookupError(name)
        return interpolated(rest, given) if operator else ""

    return _REFERENCE.sub(value, text)


def container_environment(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """What the process in a container of compose has in its environment."""
    declared: dict[str, str | None] = COMPOSE["services"][service]["environment"]
    from_compose = {
        name: given.get(name) if text is None else interpolated(text, given)
        for name, text in declared.items()
    }
    chosen = {name: value for name, value in from_compose.items() if value is not None}
    return {**image_environment(), **chosen}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing is set that a process reads."""
    for name in {name for variables in VARIABLES.values() for name in variables}:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_example_names_every_setting_and_nothing_else():
    known = {name for variables in VARIABLES.values() for name in variables}

    assert EXAMPLE.keys() - COMPOSE_ONLY - known == set()
    assert known - EXAMPLE.keys() == set()
    assert EXAMPLE.keys() >= COMPOSE_ONLY


@pytest.mark.parametrize("service", PACKAGES)
def test_the_example_shows_the_defaults(service, environment):
    fields = SETTINGS[service].model_fields
    shown = {
        variable: name
        for variable, name in VARIABLES[service].items()
        if fields[name].default not in (None, ())
    }
    for variable in shown:
        environment.setenv(variable, EXAMPLE[variable])
    environment.setenv("KITH_DATABASE_URL", EXAMPLE["KITH_DATABASE_URL"])

    settings = SETTINGS[service]()

    assert {name: getattr(settings, name) for name in shown.values()} == {
        name: fields[name].default for name in shown.values()
    }


def test_only_what_must_be_chosen_is_not_commented_out():
    chosen = re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE)

    assert chosen == [(name, "") for name in SECRETS]


@pytest.mark.parametrize("service", PACKAGES)
def test_compose_gives_each_process_its_own_settings_and_no_others(service):
    given = COMPOSE["services"][service]["environment"].keys() | image_environment().keys()

    assert VARIABLES[service].keys() - given == set()
    assert COMPOSE["services"][service]["environment"].keys() - VARIABLES[service].keys() == set()


@pytest.mark.parametrize("service", PACKAGES)
def test_a_process_takes_what_compose_gives_it(service, environment):
    for name, value in container_environment(service, SECRETS).items():
        environment.setenv(name, value)

    settings: Any = SETTINGS[service]()

    assert not settings.bind.is_loopback
    if service != "gateway":
        assert settings.database_url.get_secret_value() == (
            "postgresql://postgres:p4ssword@postgres:5432/kith"
        )


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_refuses_to_start_without_its_secrets(missing):
    given = {name: value for name, value in SECRETS.items() if name != missing}

    with pytest.raises(LookupError, match=missing):
        interpolated(COMPOSE_TEXT, given)


def test_the_gateway_looks_for_the_services_where_they_listen():
    gateway = container_environment("gateway", SECRETS)

    for service in ("identity", "event", "knowledge"):
        port = Bind.parse(image_environment()[f"KITH_{service.upper()}_BIND"]).port
        assert gateway[f"KITH_{service.upper()}_ADDRESS"] == f"{service}:{port}"
        assert COMPOSE["services"]["gateway"]["depends_on"][service] == {
            "condition": "service_healthy"
        }


def test_only_the_gateway_can_be_reached_from_outside_and_only_services_reach_the_database():
    services = COMPOSE["services"]

    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]
    [published] = services["gateway"]["ports"]
    assert interpolated(published, {}).startswith("127.0.0.1:")
    assert {name for name, service in services.items() if "data" in service["networks"]} == {
        "postgres", "identity", "event", "knowledge",
    }  # fmt: skip


def test_every_image_is_pinned_and_every_container_is_watched():
    postgres = COMPOSE["services"]["postgres"]
    builds = {name: COMPOSE["services"][name]["build"] for name in PACKAGES}

    assert re.fullmatch(r"pgvector/pgvector:pg\d+", postgres["image"])
    assert "pg_isready" in postgres["healthcheck"]["test"]
    assert {name: build["args"]["SERVICE"] for name, build in builds.items()} == {
        name: name for name in PACKAGES
    }
    for build in builds.values():
        context = (DEPLOY / build["context"]).resolve()
        assert context == ROOT
        assert context / build["dockerfile"] == DEPLOY / "Dockerfile"
    assert set(COMPOSE["services"]) == {"postgres", *PACKAGES}


def test_the_image_is_pinned_watched_and_not_run_as_root():
    words = dict(last_stage())
    bases = [rest.split()[0] for word, rest in dockerfile() if word == "FROM"]
    arguments = [rest for word, rest in dockerfile() if word == "ARG"]

    assert bases == ["python:${PYTHON}"] * 2
    assert re.fullmatch(r"PYTHON=3\.1[1-9]\S*-slim-\w+", arguments[0])
    assert "SERVICE" in arguments
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", words["USER"])
    assert words["HEALTHCHECK"].endswith('CMD ["container.sh", "health"]')
    assert words["CMD"] == '["container.sh", "serve"]'


def test_the_image_installs_extras_that_exist_with_the_locked_installer():
    extras = PROJECT["project"]["optional-dependencies"].keys()
    [installer] = re.findall(r"pip install --no-cache-dir (uv==\S+)", DOCKERFILE_TEXT)

    assert PACKAGES.keys() <= extras
    assert f"\n{installer} \\" in (ROOT / "requirements.lock").read_text()


def test_all_that_the_wheel_is_made_of_reaches_the_builder():
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    allowed = re.findall(
        r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE
    )

    tops = {package.partition("/")[0] for package in packages}
    assert {*tops, "pyproject.toml", "README.md", "requirements.lock"} <= set(allowed)
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.parametrize("ready", [True, False])
async def test_the_container_of_a_gateway_knows_whether_it_is_ready(ready):
    app = Starlette(
        routes=[Route("/readyz", lambda _: Response(status_code=200 if ready else 503))]
    )

    async with serving(app) as url:
        bind = url.removeprefix("http://").replace("127.0.0.1", "0.0.0.0")
        finished = await container("gateway", "health", KITH_GATEWAY_BIND=bind)

    assert finished.returncode == (0 if ready else 1)


@pytest.mark.parametrize("service", ["identity", "event", "knowledge"])
async def test_the_container_of_a_service_knows_whether_it_serves(service):
    async with health_server() as (health_servicer, port):
        bind = {f"KITH_{service.upper()}_BIND": f"0.0.0.0:{port}"}
        await health_servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        serving_now = await container(service, "health", **bind)
        await health_servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        not_serving = await container(service, "health", **bind)
    gone = await container(service, "health", **bind)

    assert [serving_now.returncode, not_serving.returncode, gone.returncode] == [0, 1, 1]


@pytest.mark.parametrize("service", PACKAGES)
async def test_a_container_starts_the_process_that_it_is_for(service):
    # Without a database, or with an address that is none, a process says so and ends.
    finished = await container(service, "serve", KITH_GATEWAY_BIND="nowhere")

    assert finished.returncode == 2
    assert finished.stderr.startswith(f"kith {service}: ")


async def test_an_image_for_no_service_says_so():
    finished = await container("everything", "serve")

    assert finished.returncode == 2
    assert "SERVICE=everything is not identity" in finished.stderr


@asynccontextmanager
async def health_server() -> AsyncIterator[tuple[health.aio.HealthServicer, int]]:
    """A gRPC server that has nothing but its health."""
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, port
    finally:
        await server.stop(None)


async def container(
    service: str, command: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run what the image runs, with the environment that the image sets."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**image_environment(), "SERVICE": service, **variables, "PATH": path}
    return await asyncio.to_thread(
        subprocess.run,
        ["sh", str(DEPLOY / "container.sh"), command],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        env=environment,
    )
