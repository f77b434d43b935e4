"""Groups, and who is in them."""

from typing import Annotated

from fastapi import Body, FastAPI, Path, Query, Request
from starlette.responses import Response

from gateway import rendering
from gateway.answers.common import GROUP
from gateway.answers.groups import (
    GroupAnswer,
    GroupsAnswer,
    JoinedAnswer,
    MembersAnswer,
    RemovedAnswer,
)
from gateway.clients import Clients
from gateway.errors import inside
from gateway.models.common import Page
from gateway.models.groups import GroupPatch, GroupsQuery, Membership, NewGroup, PersonGroupsQuery
from gateway.openapi import problems
from gateway.responses import respond, respond_made, respond_tagged
from gateway.routes.common import IfMatch, Key, PersonId, chosen_id, condition
from gateway.values import Uuid
from kith.identity.v1 import group_pb2, identity_service_pb2
from svckit import structs
from svckit.errors import InvalidRequest

PATH = "/v1/groups"

GroupId = Annotated[Uuid, Path(examples=[GROUP])]
Joining = Annotated[Membership | None, Body(examples=[{"role": "owner"}])]


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    _add_lists(app, clients)
    _add_group(app, clients)
    _add_members(app, clients)


def _add_lists(app: FastAPI, clients: Clients) -> None:
    identity = clients.identity

    @app.post(
        PATH, status_code=201, response_model=GroupAnswer, tags=["groups"],
        responses={
            200: {"model": GroupAnswer, "description": "A repeat: it was created before."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_group(new: NewGroup, request: Request, key: Key = None) -> Response:
        """Create a group."""
        group = group_pb2.Group(
            group_id=chosen_id(new.group_id, request, PATH, key),
            kind=new.kind,
            name=new.name,
            metadata=structs.from_dict(new.metadata),
        )
        try:
            answer = await identity.ask(
                identity.stub.CreateGroup,
                identity_service_pb2.CreateGroupRequest(group=group, person_ids=new.person_ids),
            )
        except InvalidRequest as error:
            raise inside(error, "group") from None
        body = rendering.group(answer.group)
        return respond_made(body, answer.created, body["etag"])

    @app.get(PATH, response_model=GroupsAnswer, tags=["groups"], responses=problems(404))
    async def list_groups(query: Annotated[GroupsQuery, Query()]) -> Response:
        """Groups, in order of creation."""
        return await page(query, query.person_id)

    @app.get(
        "/v1/persons/{person_id}/groups", response_model=GroupsAnswer, tags=["groups"],
        responses=problems(404),
    )  # fmt: skip
    async def list_groups_of_person(
        person_id: PersonId, query: Annotated[PersonGroupsQuery, Query()]
    ) -> Response:
        """The groups that a person is in, by any of their ids."""
        return await page(query, person_id)

    async def page(query: GroupsQuery | PersonGroupsQuery, person_id: str | None) -> Response:
        found = await identity.ask(
            identity.stub.ListGroups,
            identity_service_pb2.ListGroupsRequest(
                person_id=person_id or "",
                kind=query.kind or "",
                page_size=query.page_size,
                page_token=query.page_token,
            ),
        )
        body: GroupsAnswer = {
            "groups": [rendering.group(group) for group in found.groups],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)


def _add_group(app: FastAPI, clients: Clients) -> None:
    identity = clients.identity
    path = f"{PATH}/{{group_id}}"

    @app.get(path, response_model=GroupAnswer, tags=["groups"], responses=problems(404))
    async def get_group(group_id: GroupId) -> Response:
        """One group."""
        answer = await identity.ask(
            identity.stub.GetGroup, identity_service_pb2.GetGroupRequest(group_id=group_id)
        )
        body = rendering.group(answer.group)
        return respond_tagged(body, body["etag"])

    @app.patch(
        path, response_model=GroupAnswer, tags=["groups"],
        responses=problems(404, 409, 412, 413, 415),
    )  # fmt: skip
    async def patch_group(
        group_id: GroupId, patch: GroupPatch, if_match: IfMatch = None
    ) -> Response:
        """Change a group's name, and its metadata by JSON merge patch."""
        with condition(if_match, patch.etag) as etag:
            answer = await identity.ask(
                identity.stub.UpdateGroup,
                identity_service_pb2.UpdateGroupRequest(
                    group_id=group_id,
                    name=patch.name,
                    metadata=structs.from_dict(patch.metadata),
                    etag=etag,
                ),
            )
        body = rendering.group(answer.group)
        return respond_tagged(body, body["etag"])


def _add_members(app: FastAPI, clients: Clients) -> None:
    identity = clients.identity
    path = f"{PATH}/{{group_id}}/members"

    @app.get(path, response_model=MembersAnswer, tags=["groups"], responses=problems(404))
    async def list_members(group_id: GroupId, page: Annotated[Page, Query()]) -> Response:
        """The people in a group, in order of joining."""
        found = await identity.ask(
            identity.stub.ListGroupMembers,
            identity_service_pb2.ListGroupMembersRequest(
                group_id=group_id, page_size=page.page_size, page_token=page.page_token
            ),
        )
        body: MembersAnswer = {
            "members": [rendering.member(member) for member in found.members],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)

    @app.put(
        f"{path}/{{person_id}}", status_code=201, response_model=JoinedAnswer, tags=["groups"],
        responses={
            200: {"model": JoinedAnswer, "description": "They were in it already."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def put_member(
        group_id: GroupId, person_id: PersonId, membership: Joining = None
    ) -> Response:
        """Have a person join, or change their role."""
        role = membership.role if membership else None
        request = identity_service_pb2.AddGroupMemberRequest(
            group_id=group_id, person_id=person_id, role=role or ""
        )
        answer = await identity.ask(identity.stub.AddGroupMember, request)
        body: JoinedAnswer = {**rendering.member(answer.member), "joined": answer.joined}
        return respond_made(body, answer.joined)

    @app.delete(
        f"{path}/{{person_id}}", response_model=RemovedAnswer, tags=["groups"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def delete_member(group_id: GroupId, person_id: PersonId) -> Response:
        """Have a person leave, by whichever id they joined."""
        request = identity_service_pb2.RemoveGroupMemberRequest(
            group_id=group_id, person_id=person_id
        )
        answer = await identity.ask(identity.stub.RemoveGroupMember, request)
        body: RemovedAnswer = {"removed": answer.removed}
        return respond(body)
