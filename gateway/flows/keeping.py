"""Items stored, read and listed directly: a person becomes subjects, silence is respected."""

import hashlib
from collections.abc import Sequence

import orjson

from gateway.clients import Clients
from gateway.errors import inside
from gateway.flows import relevance
from gateway.flows.subjects import subjects_of
from gateway.models.knowledge import KnowledgeQuery, NewKnowledge
from gateway.rendering.values import conversation
from kith.identity.v1 import person_pb2
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import fields, structs
from svckit.errors import PermissionDenied


class ConsentDenied(PermissionDenied):
    """The person does not allow knowledge about them."""

    reason = "CONSENT_DENIED"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"person {person_id} does not allow knowledge", person_id=person_id)


class Keeping:
    """Keeps what an app hands in, and lists what there is."""

    def __init__(self, clients: Clients, consent_default: relevance.ConsentDefault) -> None:
        self._clients = clients
        self._default = consent_default

    async def store(
        self, new: NewKnowledge, knowledge_id: str
    ) -> knowledge_service_pb2.StoreKnowledgeResponse:
        """Keep something under an id.

        Raises PersonNotFound, LINK_NOT_FOUND, and ConsentDenied where the person does not allow
        it now.
        """
        item = knowledge_pb2.NewKnowledge(
            knowledge_id=knowledge_id,
            namespace=new.namespace,
            content=new.content,
            metadata=structs.from_dict(new.metadata),
            group_id=new.group_id or "",
            session_id=conversation(new.session_id, new.platform or ""),
            platform=new.platform or "",
            occurred_at=fields.to_timestamp(new.occurred_at),
            request_hash=_body_hash(new),
        )
        await self._set_person(item, new)
        [outcome] = await self._clients.knowledge.store([item])
        if isinstance(outcome, BaseException):
            raise inside(outcome, "item")
        return outcome

    async def page(self, query: KnowledgeQuery) -> knowledge_service_pb2.ListKnowledgeResponse:
        """A page of items, newest first.

        It is short where some are of people who do not allow knowledge now.
        """
        knowledge = self._clients.knowledge
        page = await knowledge.ask(
            knowledge.stub.ListKnowledge,
            knowledge_service_pb2.ListKnowledgeRequest(
                filter=knowledge_pb2.KnowledgeFilter(
                    namespaces=query.namespace,
                    subject_ids=await subjects_of(self._clients.identity, query.person_id),
                    group_id=query.group_id or "",
                    session_id=conversation(query.session_id, query.platform or ""),
                    platform=query.platform or "",
                    occurred_from=fields.to_timestamp(query.from_),
                    occurred_to=fields.to_timestamp(query.to),
                ),
                page_size=query.page_size,
                page_token=query.page_token,
                page_scope=query.person_id or "",
            ),
        )
        shown = await self._shown(page.items)
        return knowledge_service_pb2.ListKnowledgeResponse(
            items=shown, next_page_token=page.next_page_token
        )

    async def _set_person(self, item: knowledge_pb2.NewKnowledge, new: NewKnowledge) -> None:
        identity = self._clients.identity
        if new.platform_id is not None and new.platform is not None:
            [found] = await identity.resolve([(new.platform, new.platform_id)])
            if isinstance(found, BaseException):
                raise found
            item.subject_id, item.person_id, consent = found.link_id, found.person_id, found.consent
        elif new.person_id is not None:
            person = await identity.person(new.person_id)
            item.subject_id, item.person_id, consent = (
                new.person_id,
                person.person_id,
                person.consent,
            )
        else:
            return
        if not relevance.allows_knowledge(consent, self._default):
            raise ConsentDenied(item.person_id)

    async def _shown(
        self, items: Sequence[knowledge_pb2.Knowledge]
    ) -> list[knowledge_pb2.Knowledge]:
        people = await self._clients.identity.persons(
            dict.fromkeys(item.person_id for item in items if item.person_id)
        )
        # Knowledge may name people whom identity does not know: nobody has forbidden it.
        unknown = person_pb2.Consent()
        return [
            item
            for item in items
            if not item.person_id
            or relevance.allows_knowledge(
                people[item.person_id].consent if item.person_id in people else unknown,
                self._default,
            )
        ]


def _body_hash(new: NewKnowledge) -> bytes:
    """What "same body" means: the fields that the client sent, however they were spelled."""
    body = new.model_dump(mode="json", exclude={"knowledge_id"}, exclude_none=True)
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
