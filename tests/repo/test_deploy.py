"""The files in deploy/ agree with the code. No container engine is asked: what is read, is read."""

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import AliasChoices, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from starlette.applications import Starlette
from starlette.requests import Request
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
_REFERENCE = re.compile(r"\$\{([A-Z_]+)(?::([-?])((?:[^{}]|\$\{[^{}]*\})*))?\}")


def settings_of(package: str) -> type[BaseSettings]:
    """The one settings class that a package defines."""
    module = importlib.import_module(f"{package}.settings")
    [found] = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]
    return found


def fields_of(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Each variable that a process reads, with the field it is for; every alias counts."""
    prefix = settings.model_config["env_prefix"]
    for name, field in settings.model_fields.items():
        match field.validation_alias:
            case None:
                yield f"{prefix}{name}".upper(), field
            case AliasChoices(choices=choices):
                yield from ((str(choice), field) for choice in choices)
            case alias:
                yield str(alias), field


SETTINGS = {service: settings_of(package) for service, package in PACKAGES.items()}
VARIABLES = {service: dict(fields_of(settings)) for service, settings in SETTINGS.items()}

EXAMPLE = dict(_VARIABLE.findall((DEPLOY / ".env.example").read_text()))
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SECRETS = {
    "POSTGRES_PASSWORD": "p4ssword",
    "KITH_SERVICE_TOKEN": "a token",
    "KITH_API_KEY_HASHES": "0" * 64,
}


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


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
    assert COMPOSE_ONLY <= EXAMPLE.keys()


@pytest.mark.parametrize("service", PACKAGES)
def test_the_example_shows_the_defaults(service):
    for name, field in VARIABLES[service].items():
        if field.default in (None, ()) or field.is_required():
            continue
        kind = TypeAdapter(Annotated[field.annotation, *field.metadata])
        assert kind.validate_strings(EXAMPLE[name]) == field.default, name


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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].keys()
    lock = (ROOT / "requirements.lock").read_text()
    [installer] = re.findall(r"pip install --no-cache-dir (uv==\S+)", dict_text())

    assert PACKAGES.keys() <= extras
    assert f"\n{installer} \\" in lock


def dict_text() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def container(service: str, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run what the image runs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", DEPLOY / "container.sh", command], capture_output=True, text=True, timeout=30,
        cwd=ROOT, env={"PATH": path, "SERVICE": service, **image_environment(), **variables},
    )  # fmt: skip
