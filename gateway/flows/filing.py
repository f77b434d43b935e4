"""Files of people: whose they are, and whether these people allow that now."""

from collections.abc import AsyncIterator, Sequence

from gateway.clients import Clients
from gateway.flows import relevance
from gateway.flows.subjects import subjects_of
from gateway.models.documents import DocumentForm, DocumentsQuery
from gateway.rendering.documents import STATES
from gateway.rendering.values import conversation
from kith.identity.v1 import person_pb2
from kith.knowledge.v1 import document_pb2, document_service_pb2, knowledge_pb2
from svckit import fields, structs
from svckit.errors import PermissionDenied


class ConsentDenied(PermissionDenied):
    """The person does not allow that anything is known of them."""

    reason = "CONSENT_DENIED"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"person {person_id} denies it", person_id=person_id, purpose="knowledge")


class Filing:
    """Takes files in and finds them, as far as those whose they are allow it."""

    def __init__(self, clients: Clients, consent_default: relevance.ConsentDefault) -> None:
        self._clients = clients
        self._default = consent_default

    async def upload(
        self, form: DocumentForm, filename: str, media_type: str, blocks: AsyncIterator[bytes]
    ) -> document_service_pb2.UploadDocumentResponse:
        """Keep a file. Raises ConsentDenied, and what identity says of those who are unknown."""
        new = document_pb2.NewDocument(
            key=form.key or "",
            filename=form.filename or filename,
            media_type=form.media_type or media_type,
            namespace=form.namespace or "",
            metadata=structs.from_dict(form.metadata),
            group_id=form.group_id or "",
            session_id=conversation(form.session_id, form.platform or ""),
            platform=form.platform or "",
            occurred_at=fields.to_timestamp(form.occurred_at),
            sha256=bytes.fromhex(form.sha256 or ""),
        )
        new.subject_id, new.person_id = await self._owner(form)
        return await self._clients.documents.upload(new, blocks)

    async def page(self, query: DocumentsQuery) -> tuple[Sequence[document_pb2.Document], str]:
        """A page of documents without those of people who deny it now, and the next one's token."""
        chosen = knowledge_pb2.KnowledgeFilter(
            namespaces=query.namespace,
            subject_ids=await subjects_of(self._clients.identity, query.person_id),
            group_id=query.group_id or "",
            session_id=conversation(query.session_id, query.platform or ""),
            platform=query.platform or "",
            occurred_from=fields.to_timestamp(query.from_),
            occurred_to=fields.to_timestamp(query.to),
            metadata=structs.from_dict(query.filter),
        )
        request = document_service_pb2.ListDocumentsRequest(
            filter=chosen,
            key=query.key or "",
            include_earlier_versions=query.include_earlier_versions,
            page_size=query.page_size,
            page_token=query.page_token,
            page_scope=query.person_id or "",
        )
        if query.state is not None:
            request.state = STATES[query.state]
        documents = self._clients.documents
        found = await documents.ask(documents.stub.ListDocuments, request)
        silent = await self._silent([each.person_id for each in found.documents])
        shown = [each for each in found.documents if each.person_id not in silent]
        return shown, found.next_page_token

    async def ensure_shown(self, document: document_pb2.Document) -> None:
        """Raise ConsentDenied where the document may not be shown now."""
        if await self._silent([document.person_id]):
            raise ConsentDenied(document.person_id)

    async def _owner(self, form: DocumentForm) -> tuple[str, str]:
        """Subject and person; both are empty for nobody's."""
        identity = self._clients.identity
        if form.sender_id is not None:
            [found] = await identity.resolve([(form.platform or "", form.sender_id)])
            if isinstance(found, BaseException):
                raise found
            self._ensure_allowed(found.person_id, found.consent)
            return found.link_id, found.person_id
        if form.person_id is not None:
            person = await identity.person(form.person_id)
            self._ensure_allowed(person.person_id, person.consent)
            return form.person_id, person.person_id
        return "", ""

    def _ensure_allowed(self, person_id: str, consent: person_pb2.Consent) -> None:
        if not relevance.allows_knowledge(consent, self._default):
            raise ConsentDenied(person_id)

    async def _silent(self, person_ids: Sequence[str]) -> set[str]:
        """Those of the people who do not allow it now."""
        named = list(dict.fromkeys(filter(None, person_ids)))
        people = await self._clients.identity.persons(named)
        # There may be documents of people whom identity does not know: nobody has forbidden it.
        unknown = person_pb2.Consent()
        return {
            person_id
            for person_id in named
            if not relevance.allows_knowledge(
                people[person_id].consent if person_id in people else unknown, self._default
            )
        }
