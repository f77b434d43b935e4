"""The part of IdentityService that keeps onboarding sessions."""

from identity_svc import metrics
from identity_svc.ports.sessions import SessionStore
from identity_svc.wire import people as people_wire
from identity_svc.wire import sessions as wire
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, ids, rpc


class Sessions:
    """What is known before there is a person."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: rpc.Context
    ) -> pb.CreateSessionResponse:
        made = await self._store.create(wire.to_new_session(request), call_id=ids.new())
        if made.created:
            metrics.SESSIONS_CREATED.inc()
        return pb.CreateSessionResponse(
            session=wire.from_session(made.session), created=made.created
        )

    async def UpdateSession(
        self, request: pb.UpdateSessionRequest, context: rpc.Context
    ) -> pb.UpdateSessionResponse:
        session = await self._store.update(
            fields.uuid(request.session_id, "session_id"),
            fields.struct(request.data, "data"),
            ttl_milliseconds=wire.to_ttl(request),
            etag=fields.text(request.etag, "etag", most=64, least=0) or None,
            new_etag=ids.new(),
        )
        return pb.UpdateSessionResponse(session=wire.from_session(session))

    async def GetSession(
        self, request: pb.GetSessionRequest, context: rpc.Context
    ) -> pb.GetSessionResponse:
        session = await self._store.get(fields.uuid(request.session_id, "session_id"))
        return pb.GetSessionResponse(session=wire.from_session(session))

    async def ClaimSession(
        self, request: pb.ClaimSessionRequest, context: rpc.Context
    ) -> pb.ClaimSessionResponse:
        new_etag = ids.new()
        claimed = await self._store.claim(
            fields.uuid(request.session_id, "session_id"),
            fields.uuid(request.person_id, "person_id"),
            new_etag=new_etag,
        )
        # Else it was claimed before, by the same person.
        if claimed.session.etag == new_etag:
            metrics.SESSIONS_CLAIMED.inc()
        return pb.ClaimSessionResponse(
            session=wire.from_session(claimed.session),
            person=people_wire.from_person(claimed.person),
        )
