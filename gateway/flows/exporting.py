"""Exports what is held about a person: a zip of JSON lines and files, made as it is sent.

A page of rows, or a block of a file, is in memory at a time, and nothing is read on while the
client does not read.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

from gateway.channels import Answers
from gateway.clients import Clients
from gateway.rendering import exports as rendering
from gateway.rendering.people import consent_change, link
from gateway.zips import Zip, safe_name
from kith.event.v1 import event_service_pb2
from kith.identity.v1 import group_pb2, identity_service_pb2, person_pb2
from kith.knowledge.v1 import document_pb2, knowledge_service_pb2

FORMAT, VERSION = "kith-export", 1
# How long a service may take for its next answer.
ANSWER_SECONDS = 30.0
PAGE_SIZE = 500
BLOCK_BYTES = 64 << 10
# Up to here what is to come later in the zip waits in memory, then on disk.
SPOOLED_BYTES = 1 << 20

Json = dict[str, Any]
Part = knowledge_service_pb2.ExportSubjectsResponse


class Exporting:
    """Opens exports."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def open(self, person_id: str) -> "Export":
        """An export of a person as they are now, merged ones included.

        Every service has begun to answer when this returns; raises what one of them raised.
        """
        person = await self._clients.identity.person(person_id)
        export = Export(self._clients, person)
        try:
            await export.begin()
        except BaseException:
            export.close()
            raise
        return export


class Export:
    """One export under way; `close` it, whether it came to its end or not."""

    def __init__(self, clients: Clients, person: person_pb2.Person) -> None:
        self.person = person
        self._clients = clients
        subject_ids = person.subject_ids
        events, knowledge = clients.events, clients.knowledge
        self._events = _Ahead(
            events.channel.stream(
                events.stub.ExportEvents,
                event_service_pb2.ExportEventsRequest(subject_ids=subject_ids),
            )
        )
        self._known = _Ahead(
            knowledge.channel.stream(
                knowledge.stub.ExportSubjects,
                knowledge_service_pb2.ExportSubjectsRequest(subject_ids=subject_ids),
            )
        )
        self._zip = Zip()
        self._records: dict[str, int] = {}
        self._missing_files: list[str] = []

    async def begin(self) -> None:
        """Return when each service has answered something; raises what one of them raised."""
        await self._events.peek()
        await self._known.peek()

    def close(self) -> None:
        """Ask for nothing more."""
        self._events.close()
        self._known.close()

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes of the zip. Whatever fails is raised, and what was yielded is no zip then."""
        for entry in (
            self._whole("identity.json", rendering.person(self.person)),
            self._lines("links.jsonl", self._links()),
            self._lines("consent_history.jsonl", self._consent_history()),
            self._lines("groups.jsonl", self._groups()),
            self._lines("events.jsonl", self._logged()),
            self._lines("projections.jsonl", self._projection_values()),
            self._lines("knowledge.jsonl", self._items()),
            self._lines("memories.jsonl", self._memories()),
            self._documents(),
        ):
            async with aclosing(entry):  # type: ignore[type-var]
                async for block in entry:
                    yield block
        async for block in self._whole("manifest.json", self._manifest()):
            yield block
        yield self._zip.close()

    def _manifest(self) -> Json:
        """What the export has; it is the last entry, since only now that is known."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "exported_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "person_id": self.person.person_id,
            "person_ids": list(self.person.person_ids),
            "subject_ids": list(self.person.subject_ids),
            "entries": [
                {
                    "name": entry.name,
                    "size": entry.size,
                    "sha256": entry.sha256,
                    "records": self._records.get(entry.name),
                }
                for entry in self._zip.entries
            ],
            # Documents whose bytes were not where they should be.
            "missing_files": self._missing_files,
        }

    def _whole(self, name: str, value: Json) -> AsyncIterator[bytes]:
        async def block() -> AsyncIterator[bytes]:
            yield orjson.dumps(value, option=orjson.OPT_INDENT_2)

        return self._zip.add(name, block())

    def _lines(self, name: str, records: AsyncIterator[Json]) -> AsyncIterator[bytes]:
        """An entry with a line for each record."""

        async def blocks() -> AsyncIterator[bytes]:
            block, count = bytearray(), 0
            async for record in records:
                block += orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
                count += 1
                if len(block) >= BLOCK_BYTES:
                    yield bytes(block)
                    block.clear()
            self._records[name] = count
            yield bytes(block)

        return self._zip.add(name, blocks())

    async def _links(self) -> AsyncIterator[Json]:
        identity = self._clients.identity
        request = identity_service_pb2.ListLinksRequest(
            person_id=self.person.person_id, page_size=PAGE_SIZE
        )
        async for page in identity.pages(identity.stub.ListLinks, request):
            for each in page.links:
                yield dict(link(each))

    async def _consent_history(self) -> AsyncIterator[Json]:
        identity = self._clients.identity
        request = identity_service_pb2.ListConsentHistoryRequest(
            person_id=self.person.person_id, page_size=PAGE_SIZE
        )
        async for page in identity.pages(identity.stub.ListConsentHistory, request):
            for change in page.changes:
                yield dict(consent_change(change))

    async def _groups(self) -> AsyncIterator[Json]:
        identity = self._clients.identity
        request = identity_service_pb2.ListGroupsRequest(
            person_id=self.person.person_id, page_size=PAGE_SIZE
        )
        async for page in identity.pages(identity.stub.ListGroups, request):
            for group in page.groups:
                yield rendering.membership(group, await self._membership(group.group_id))

    async def _membership(self, group_id: str) -> group_pb2.GroupMember | None:
        """As what the person is in a group; the other members are nobody's business here."""
        identity = self._clients.identity
        request = identity_service_pb2.ListGroupMembersRequest(
            group_id=group_id, page_size=PAGE_SIZE
        )
        async for page in identity.pages(identity.stub.ListGroupMembers, request):
            for member in page.members:
                if member.person_id == self.person.person_id:
                    return member
        return None

    async def _logged(self) -> AsyncIterator[Json]:
        while (answer := await self._events.peek()) is not None:
            for event in answer.events:
                yield rendering.event(event)
            self._events.drop()

    async def _projection_values(self) -> AsyncIterator[Json]:
        events = self._clients.events
        listed = event_service_pb2.ListProjectionsRequest()
        for projection in (await events.ask(events.stub.ListProjections, listed)).projections:
            request = event_service_pb2.ListProjectionValuesRequest(
                name=projection.name, subject_ids=self.person.subject_ids, page_size=PAGE_SIZE
            )
            async for page in events.pages(events.stub.ListProjectionValues, request):
                for value in page.values:
                    yield rendering.projection_value(projection.name, value)

    async def _items(self) -> AsyncIterator[Json]:
        async for part in self._of_kind("item"):
            yield rendering.item(part.item)

    async def _memories(self) -> AsyncIterator[Json]:
        async for part in self._of_kind("memory"):
            yield rendering.memory(part.memory)

    async def _documents(self) -> AsyncIterator[bytes]:
        """An entry for each file; what is known of them waits, as one entry behind them all."""
        # Only this process's own, and gone with it.
        with SpooledTemporaryFile(max_size=SPOOLED_BYTES) as waiting:
            count = 0
            async for part in self._of_kind("document"):
                document = part.document
                name = f"files/{document.document_id}/{safe_name(document.filename)}"
                self._known.drop()
                if await self._has_file(document):
                    async for block in self._zip.add(name, self._file()):
                        yield block
                    file: str | None = name
                else:
                    self._missing_files.append(document.document_id)
                    file = None
                record = rendering.document(document, file)
                waiting.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
                count += 1
            waiting.seek(0)
            self._records["documents.jsonl"] = count

            async def blocks() -> AsyncIterator[bytes]:
                while block := waiting.read(BLOCK_BYTES):
                    yield block

            async for block in self._zip.add("documents.jsonl", blocks()):
                yield block

    async def _has_file(self, document: document_pb2.Document) -> bool:
        following = await self._known.peek()
        has_data = following is not None and following.WhichOneof("part") == "file_data"
        # An empty file has no bytes to be sent.
        return has_data or document.size == 0

    async def _file(self) -> AsyncIterator[bytes]:
        async for part in self._of_kind("file_data"):
            yield part.file_data

    async def _of_kind(self, kind: str) -> AsyncIterator[Part]:
        """The parts that come next, as long as they are of a kind."""
        while (part := await self._known.peek()) is not None and part.WhichOneof("part") == kind:
            yield part
            # Whoever looked further has dropped it.
            if await self._known.peek() is part:
                self._known.drop()


class _Ahead:
    """Answers of a stream, of which the next can be looked at before it is taken."""

    def __init__(self, answers: Answers[Any]) -> None:
        self._answers = answers
        self._each = answers.each(ANSWER_SECONDS)
        self._next: Any = None
        self._is_at_end = False

    async def peek(self) -> Any:
        """The next answer, the same until it is dropped; None at the end."""
        if self._next is None and not self._is_at_end:
            self._next = await anext(self._each, None)
            self._is_at_end = self._next is None
        return self._next

    def drop(self) -> None:
        """Take the next answer."""
        self._next = None

    def close(self) -> None:
        """Cancel the call."""
        self._answers.close()
