"""People: who they are, their links, merges and consent."""

from gateway.answers import people as answers
from gateway.rendering.values import STATE_NAMES, moment
from kith.identity.v1 import identity_service_pb2, person_pb2
from svckit import structs


def identity(message: identity_service_pb2.Identity) -> answers.IdentityAnswer:
    """Who holds a platform id."""
    return {
        "person_id": message.person_id,
        "link_id": message.link_id,
        "platform": message.platform,
        "platform_id": message.platform_id,
        "consent": consent(message.consent),
    }


def consent(message: person_pb2.Consent) -> answers.ConsentAnswer:
    """Decisions by purpose."""
    purposes = {
        purpose: STATE_NAMES[state]
        for purpose, state in sorted(message.purposes.items())
        if state in STATE_NAMES
    }
    return {"purposes": purposes, "version": message.version}


def consent_change(message: identity_service_pb2.ConsentChange) -> answers.ConsentChangeAnswer:
    """One decision."""
    return {
        "person_id": message.person_id,
        "version": message.version,
        "purpose": message.purpose,
        "state": STATE_NAMES.get(message.state, "unset"),
        "source": message.source,
        "changed_at": moment(message, "changed_at"),
    }


def person(message: person_pb2.Person) -> answers.PersonAnswer:
    """Somebody the app knows."""
    return {
        "person_id": message.person_id,
        "person_ids": list(message.person_ids) or [message.person_id],
        "created_at": moment(message, "created_at"),
        "last_seen_at": moment(message, "last_seen_at"),
        "metadata": structs.to_dict(message.metadata),
        "consent": consent(message.consent),
        "merged_persons": [_merged_person(merged) for merged in message.merged_persons],
        "merges": [merge(each) for each in message.merges],
        "etag": message.etag,
    }


def _merged_person(message: person_pb2.MergedPerson) -> answers.MergedPersonAnswer:
    return {
        "person_id": message.person_id,
        "merge_id": message.merge_id,
        "created_at": moment(message, "created_at"),
        "metadata": structs.to_dict(message.metadata),
    }


def merge(message: person_pb2.Merge) -> answers.MergeAnswer:
    """Two people who turned out to be one."""
    return {
        "merge_id": message.merge_id,
        "source_person_id": message.source_person_id,
        "target_person_id": message.target_person_id,
        "merged_at": moment(message, "merged_at"),
        "unmerged_at": moment(message, "unmerged_at"),
        "reason": message.reason,
    }


def link(message: person_pb2.Link) -> answers.LinkAnswer:
    """One tenure of one platform id."""
    return {
        "link_id": message.link_id,
        "person_id": message.person_id,
        "platform": message.platform,
        "platform_id": message.platform_id,
        "original_platform_id": message.original_platform_id,
        "verified": message.verified,
        "verified_at": moment(message, "verified_at"),
        "verification_method": message.verification_method or None,
        "created_at": moment(message, "created_at"),
        "ended_at": moment(message, "ended_at"),
    }


def new_link(
    message: identity_service_pb2.LinkIdentityResponse
    | identity_service_pb2.ConfirmLinkVerificationResponse,
) -> answers.NewLinkAnswer:
    """A link that a call has made, or found."""
    return {
        **link(message.link),
        "created": message.created,
        "merge": merge(message.merge) if message.HasField("merge") else None,
    }


def verification(
    message: identity_service_pb2.StartLinkVerificationResponse,
) -> answers.VerificationAnswer:
    """A verification that has begun."""
    return {
        "verification_id": message.verification_id,
        "code": message.code,
        "expires_at": moment(message, "expires_at"),
    }
