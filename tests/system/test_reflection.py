"""The services explain themselves: grpcurl, and any reflection client, works without protos."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.up import RunningKith, kith_up

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


@pytest.fixture(scope="module")
def kith(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKith]:
    with kith_up(tmp_path_factory.mktemp("reflection") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def grpcurl(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = shutil.which("grpcurl")
    if found:
        return found
    if not shutil.which("go"):
        pytest.skip("neither grpcurl nor Go is here")
    folder = tmp_path_factory.mktemp("bin")
    installed = subprocess.run(
        ["go", "install", GRPCURL], env={**os.environ, "GOBIN": str(folder)}, capture_output=True
    )
    if installed.returncode:
        pytest.skip("grpcurl cannot be installed here")
    return str(folder / "grpcurl")


def test_grpcurl_lists_describes_and_calls(kith: RunningKith, grpcurl: str):
    def call(*arguments: str) -> str:
        return subprocess.run(
            [grpcurl, "-plaintext", *arguments], capture_output=True, text=True, check=True
        ).stdout

    identity, event = kith.address("identity"), kith.address("event")

    services = call(identity, "list").split()
    description = call(identity, "describe", "kith.identity.v1.IdentityService")
    registered = json.loads(
        call(
            *("-d", '{"platform": "telegram", "platform_id": "@Curl"}', identity),
            "kith.identity.v1.IdentityService/RegisterPerson",
        )
    )
    listed = json.loads(call(event, "kith.event.v1.EventService/ListEvents"))

    assert "kith.identity.v1.IdentityService" in services
    assert "rpc RegisterPerson" in description
    assert registered["created"] is True
    assert "curl" in registered["identity"].values()
    assert set(listed) <= {"events", "scannedPosition", "nextPageToken"}


def test_grpcurl_shows_what_was_wrong(kith: RunningKith, grpcurl: str):
    answer = subprocess.run(
        [
            *(grpcurl, "-plaintext", "-d", '{"person_id": "nobody"}', kith.address("identity")),
            "kith.identity.v1.IdentityService/GetPerson",
        ],
        capture_output=True,
        text=True,
    )

    assert answer.returncode != 0
    assert "InvalidArgument" in answer.stderr
    assert "INVALID_ARGUMENT" in answer.stderr
    assert "person_id" in answer.stderr


async def test_a_reflection_client_calls_without_stubs(kith: RunningKith):
    async with (
        grpc.aio.insecure_channel(kith.address("identity")) as identity,
        grpc.aio.insecure_channel(kith.address("event")) as event,
    ):
        registered = await call_reflected(
            identity,
            "kith.identity.v1.IdentityService",
            "RegisterPerson",
            {"platform": "web", "platformId": "reflected"},
        )
        listed = await call_reflected(
            event, "kith.event.v1.EventService", "ListEvents", {"pageSize": 1}
        )

    assert registered["created"] is True
    assert "scannedPosition" in listed or "events" in listed or listed == {}


async def call_reflected(
    channel: grpc.aio.Channel, service: str, method: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Call a method of which only the names are known; everything else comes by reflection."""
    pool = descriptor_pool.DescriptorPool()
    for file in await files_of(channel, service):
        pool.Add(file)
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request = message_factory.GetMessageClass(described.input_type)()
    json_format.ParseDict(body, request)
    call = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
    )
    answer: dict[str, Any] = json_format.MessageToDict(await call(request))
    return answer


async def files_of(
    channel: grpc.aio.Channel, symbol: str
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The file that holds a symbol and all that it imports, imports first."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    async def ask(**question: str) -> list[descriptor_pb2.FileDescriptorProto]:
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(**question))
        answer = await call.read()
        await call.done_writing()
        return [
            descriptor_pb2.FileDescriptorProto.FromString(wire)
            for wire in answer.file_descriptor_response.file_descriptor_proto
        ]

    async def add(file: descriptor_pb2.FileDescriptorProto) -> None:
        for name in file.dependency:
            if name not in files:
                for found in await ask(file_by_filename=name):
                    await add(found)
        files.setdefault(file.name, file)

    for found in await ask(file_containing_symbol=symbol):
        await add(found)
    return list(files.values())
