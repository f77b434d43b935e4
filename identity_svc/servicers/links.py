"""Links: parse, ask the store, render."""

from identity_svc import metrics
from identity_svc.cache import IdentityCache
from identity_svc.domain.links import LinkPlace
from identity_svc.ports.links import LinkStore
from identity_svc.wire import links as wire
from identity_svc.wire.places import page_of, place_of
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, ids, pages, rpc


class Links:
    """Tenures of platform ids."""

    def __init__(self, store: LinkStore, cache: IdentityCache) -> None:
        self._store = store
        self._cache = cache

    async def LinkIdentity(
        self, request: pb.LinkIdentityRequest, context: rpc.Context
    ) -> pb.LinkIdentityResponse:
        linked = await self._store.link(
            fields.uuid(request.person_id, "person_id"),
            wire.to_account(request),
            verified=request.verified,
            verification_method=wire.to_verification_method(request),
            link_id=ids.new(),
            merge_id=ids.new(),
        )
        self._cache.forget(linked.changed_ids)
        if linked.merge:
            metrics.MERGES.labels("linked").inc()
        return wire.from_linked(linked)

    async def UnlinkIdentity(
        self, request: pb.UnlinkIdentityRequest, context: rpc.Context
    ) -> pb.UnlinkIdentityResponse:
        link = await self._store.unlink(
            fields.uuid(request.person_id, "person_id"), fields.uuid(request.link_id, "link_id")
        )
        self._cache.forget([link.link_id])
        return pb.UnlinkIdentityResponse(link=wire.from_link(link))

    async def ListLinks(
        self, request: pb.ListLinksRequest, context: rpc.Context
    ) -> pb.ListLinksResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("links", person_id)
        after = place_of(LinkPlace, request.page_token, *query)

        found = await self._store.links(person_id, after=after, limit=limit + 1)
        page, token = page_of(found, limit, wire.from_link, lambda link: link.place, *query)
        return pb.ListLinksResponse(links=page, next_page_token=token)
