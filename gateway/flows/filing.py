"""Files of people: whose they are, and whether these people allow that now."""

from collections.abc import AsyncIterator, Sequence

from gateway.clients import Clients
from gateway.errors import moved
from gateway.flows import relevance
from gateway.flows.filters import filter_of
from gateway.flows.owners import owner_of, ownership_of, silent_among
from gateway.models.documents import DocumentForm, DocumentsQuery
from gateway.rendering.documents import STATES
from gateway.rendering.values import conversation
from kith.knowledge.v1 import document_pb2, document_service_pb2
from svckit import fields, structs
from svckit.errors import InvalidRequest, PermissionDenied


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
        identity = self._clients.identity
        metadata = structs.from_dict(query.filter)
        request = document_service_pb2.ListDocumentsRequest(
            filter=await filter_of(identity, query, query.namespace, metadata),
            key=query.key or "",
            include_earlier_versions=query.include_earlier_versions,
            page_size=query.page_size,
            page_token=query.page_token,
            page_scope=query.person_id or "",
        )
        if query.state is not None:
            request.state = STATES[query.state]
        documents = self._clients.documents
        try:
            found = await documents.ask(documents.stub.ListDocuments, request)
        except InvalidRequest as error:
            raise moved(error, "filter.metadata", "filter") from None
        silent = await silent_among(identity, found.documents, self._default)
        shown = [each for each in found.documents if ownership_of(each) not in silent]
        return shown, found.next_page_token

    async def ensure_shown(self, document: document_pb2.Document) -> None:
        """Raise ConsentDenied where the document may not be shown now."""
        if await silent_among(self._clients.identity, [document], self._default):
            raise ConsentDenied(document.person_id)

    async def _owner(self, form: DocumentForm) -> tuple[str, str]:
        """Subject and person; both are empty for nobody's."""
        account = None
        if form.sender_id is not None:
            account = (form.platform or "", form.sender_id)
        owner = await owner_of(self._clients.identity, account, form.person_id)
        if owner is None:
            return "", ""
        if not relevance.allows_knowledge(owner.consent, self._default):
            raise ConsentDenied(owner.person_id)
        return owner.subject_id, owner.person_id
