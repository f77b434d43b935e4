"""Items stored, read and listed directly: a person becomes subjects, silence is respected."""

import hashlib

import orjson

from gateway.clients import Clients
from gateway.errors import inside
from gateway.flows import relevance
from gateway.flows.filters import filter_of
from gateway.flows.owners import ConsentDenied, owner_of, ownership_of, silent_among
from gateway.models.knowledge import KnowledgeQuery, NewKnowledge
from gateway.rendering.values import conversation
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from svckit import fields, structs


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
                filter=await filter_of(self._clients.identity, query, query.namespace),
                page_size=query.page_size,
                page_token=query.page_token,
                page_scope=query.person_id or "",
            ),
        )
        silent = await silent_among(self._clients.identity, page.items, self._default)
        shown = [item for item in page.items if ownership_of(item) not in silent]
        return knowledge_service_pb2.ListKnowledgeResponse(
            items=shown, next_page_token=page.next_page_token
        )

    async def _set_person(self, item: knowledge_pb2.NewKnowledge, new: NewKnowledge) -> None:
        account = None
        if new.platform_id is not None and new.platform is not None:
            account = (new.platform, new.platform_id)
        owner = await owner_of(self._clients.identity, account, new.person_id)
        if owner is None:
            return
        if not relevance.allows_knowledge(owner.consent, self._default):
            raise ConsentDenied(owner.person_id)
        item.subject_id, item.person_id = owner.subject_id, owner.person_id


def _body_hash(new: NewKnowledge) -> bytes:
    """What "same body" means: the fields that the client sent, however they were spelled."""
    body = new.model_dump(mode="json", exclude={"knowledge_id"}, exclude_none=True)
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
