"""Random steps against the real services, each compared with the model in memory.

Two gateways and two replicas of identity take the steps in turn. A change has to show in
every replica within a second: the promise of identity's cache.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import grpc
import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import identity_service_pb2_grpc, person_pb2
from tests.support.messages import timeline
from tests.support.people_model import Logged, People, Taken, Tenure

T = TypeVar("T")

ACCOUNTS = [f"{platform}:{name}" for platform in ("discord", "web") for name in ("a", "b", "c")]
PURPOSES = ("messages", "knowledge", "analytics")
STATES = {
    "unset": person_pb2.CONSENT_STATE_UNSET,
    "granted": person_pb2.CONSENT_STATE_GRANTED,
    "denied": person_pb2.CONSENT_STATE_DENIED,
}
WORDS = {number: word for word, number in STATES.items()}
# What may be stale is so for a second; the rest is for a machine under load.
PATIENCE = 3.0


@dataclass
class World:
    """The running system, in a loop of another thread."""

    loop: asyncio.AbstractEventLoop
    gateways: list[httpx.AsyncClient]
    identities: list[identity_service_pb2_grpc.IdentityServiceStub]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


class PeopleMachine(RuleBasedStateMachine):
    """The rules; `world` is set by whoever runs the machine."""

    world: ClassVar[World]
    steps: ClassVar[int] = 0
    _numbers: ClassVar[Any] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        # Accounts of a run of its own, so that one system serves every run.
        self.run_name = f"run{next(self._numbers)}"
        self.people = People()
        self.turn = itertools.count()

    # What the steps are made of

    @property
    def gateway(self) -> httpx.AsyncClient:
        return self.world.gateways[next(self.turn) % len(self.world.gateways)]

    @property
    def identity(self) -> Any:
        return self.world.identities[next(self.turn) % len(self.world.identities)]

    def account(self, account: str) -> dict[str, str]:
        platform, _, name = account.partition(":")
        return {"platform": platform, "platform_id": f"{self.run_name}-{name}"}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        type(self).steps += 1
        return self.world.run(work)

    def some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.people.rows)), label="person")

    def has_people(self) -> bool:
        return bool(self.people.rows)

    def arrive(self, account: str, answer: dict[str, Any], *, created: bool) -> Tenure:
        """Take over whom the system registered, and check that it was to."""
        held = self.people.holder(account)
        assert created == (held is None), (account, answer)
        if held is None:
            self.people.add(answer["person_id"], registered=True)
            self.people.open(account, answer["person_id"], answer["link_id"])
            held = self.people.tenures[-1]
        assert answer["person_id"] == self.people.root(held.person_id)
        return held

    # The steps

    @rule(account=st.sampled_from(ACCOUNTS))
    def register(self, account: str) -> None:
        async def step() -> dict[str, Any]:
            answer = await self.gateway.post("/v1/register", json=self.account(account))
            assert answer.status_code in (200, 201), answer.text
            return dict(answer.json())

        body = self.do(step())
        held = self.arrive(account, body, created=body["created"])
        assert body["link_id"] == held.link_id
        if body["created"]:
            self.log_registration(held)
        self.check(held.person_id)

    @rule(account=st.sampled_from(ACCOUNTS), number=st.integers(0, 10**9))
    def message(self, account: str, number: int) -> None:
        known = self.people.holder(account)
        text = f"Message {number} of quite ordinary length."

        async def step() -> dict[str, Any]:
            where = self.account(account)
            body = {"platform": where["platform"], "sender_id": where["platform_id"], "text": text}
            answer = await self.gateway.post("/v1/messages", json=body)
            assert answer.status_code == 201, answer.text
            event = await self.event(answer.json()["person_id"], answer.json()["event_id"])
            return {**answer.json(), "link_id": event["link_id"], "event": event}

        body = self.do(step())
        held = self.arrive(account, body, created=known is None)
        if known is None:
            self.log_registration(held)
        self.log(body["position"], body["event_id"], held.link_id)
        is_denied = self.people.consent(held.person_id).get("messages") == "denied"
        assert body["event"]["content"].get("text") == (None if is_denied else text)
        self.check(held.person_id)

    @rule()
    def create(self) -> None:
        async def step() -> str:
            return str(
                (await self.identity.CreatePerson(pb.CreatePersonRequest())).person.person_id
            )

        person_id = self.do(step())
        self.people.add(person_id, registered=False)
        self.check(person_id)

    @precondition(has_people)
    @rule(data=st.data(), account=st.sampled_from(ACCOUNTS), verified=st.booleans())
    def link(self, data: st.DataObject, account: str, verified: bool) -> None:
        person_id = self.some(data)
        request = pb.LinkIdentityRequest(
            person_id=person_id, verified=verified, **self.account(account)
        )

        async def step() -> pb.LinkIdentityResponse | None:
            try:
                return await self.identity.LinkIdentity(request)
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
                return None

        answer = self.do(step())
        held = self.people.holder(account)
        is_theirs = held is not None and self.people.root(held.person_id) == self.people.root(
            person_id
        )
        if held is None:
            assert answer is not None and answer.created
            self.people.open(account, person_id, answer.link.link_id)
        elif is_theirs:
            assert answer is not None and not answer.created
            assert answer.link.link_id == held.link_id
        elif not verified:
            assert answer is None
        else:
            self.prove(person_id, account, answer)
        self.check(person_id)

    def prove(self, person_id: str, account: str, answer: pb.LinkIdentityResponse | None) -> None:
        """Linking with proof what somebody else holds."""
        try:
            held = self.people.join_by_proof(person_id, account)
        except Taken:
            assert answer is None
            return
        assert held is not None and answer is not None
        assert (answer.created, answer.link.link_id) == (False, held.link_id)
        assert answer.merge.merge_id

    @precondition(lambda self: any(t.is_open for t in self.people.tenures))
    @rule(data=st.data())
    def unlink(self, data: st.DataObject) -> None:
        open_ones = [tenure for tenure in self.people.tenures if tenure.is_open]
        tenure = data.draw(st.sampled_from(open_ones), label="link")
        alias = data.draw(
            st.sampled_from(sorted(self.people.aliases(tenure.person_id))), label="by which id"
        )
        request = pb.UnlinkIdentityRequest(person_id=alias, link_id=tenure.link_id)

        async def step() -> pb.UnlinkIdentityResponse:
            return await self.identity.UnlinkIdentity(request)

        assert self.do(step()).link.HasField("ended_at")
        tenure.is_open = False
        self.check(tenure.person_id)

    @precondition(has_people)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        source, target = self.some(data), self.some(data)
        request = pb.MergePersonsRequest(source_person_id=source, target_person_id=target)

        async def step() -> pb.MergePersonsResponse | None:
            try:
                return await self.identity.MergePersons(request)
            except grpc.aio.AioRpcError as error:
                # Oneself into oneself is no request at all.
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and source == target
                return None

        answer = self.do(step())
        if answer is not None:
            assert answer.merged == self.people.merge(source, target)
        self.check(source, target)

    @precondition(has_people)
    @rule(data=st.data())
    def unmerge(self, data: st.DataObject) -> None:
        source = self.some(data)
        request = pb.UnmergePersonsRequest(source_person_id=source)

        async def step() -> bool:
            try:
                await self.identity.UnmergePersons(request)
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
                return False
            return True

        was = self.people.rows[source].merged_into
        assert self.do(step()) == (was is not None)
        self.people.rows[source].merged_into = None
        self.check(source, *([was] if was else []))

    @precondition(has_people)
    @rule(data=st.data(), purpose=st.sampled_from(PURPOSES), state=st.sampled_from(sorted(STATES)))
    def consent(self, data: st.DataObject, purpose: str, state: str) -> None:
        person_id = self.some(data)
        request = pb.SetConsentRequest(person_id=person_id, purposes={purpose: STATES[state]})

        async def step() -> None:
            await self.identity.SetConsent(request)

        self.do(step())
        self.people.decide(person_id, purpose, state)
        self.check(person_id)

    # What has to hold

    def log(self, position: int, event_id: str, subject_id: str) -> None:
        self.people.events.append(Logged(position, event_id, subject_id))

    def log_registration(self, tenure: Tenure) -> None:
        """The registration of a new link, which stands before anything else of it."""

        async def first() -> dict[str, Any]:
            events = await timeline(self.gateway, tenure.person_id, order="asc")
            return next(e for e in events if e["link_id"] == tenure.link_id)

        event = self.do(first())
        assert event["event_type"] == "registration"
        self.log(event["position"], event["event_id"], tenure.link_id)

    async def event(self, person_id: str, event_id: str) -> dict[str, Any]:
        events = await timeline(self.gateway, person_id, event_type="message", page_size=200)
        return next(event for event in events if event["event_id"] == event_id)

    def check(self, *person_ids: str) -> None:
        """Everything about some people, seen through every replica."""
        for root in {self.people.root(person_id) for person_id in person_ids}:
            self.do(self.compare(root))
        self.do(self.compare_accounts())

    def teardown(self) -> None:
        for person_id in self.people.rows:
            self.do(self.compare(person_id))

    async def compare(self, person_id: str) -> None:
        """One person, by one of their ids."""
        people = self.people
        for identity in self.world.identities:
            answer = await identity.GetPerson(pb.GetPersonRequest(person_id=person_id))
            person = answer.person
            assert person.person_id == people.root(person_id)
            assert person.person_ids[0] == person.person_id
            assert sorted(person.person_ids) == sorted(people.aliases(person_id))
            assert sorted(person.subject_ids) == sorted(people.subjects(person_id))
            assert consent_of(person.consent) == people.consent(person_id)
        for gateway in self.world.gateways:
            events = await timeline(gateway, person_id, page_size=7)
            assert [event["event_id"] for event in events] == people.timeline(person_id)

    async def compare_accounts(self) -> None:
        """Who holds each account, and what they allow: within a second in every replica."""
        request = pb.BatchResolveIdentitiesRequest(
            requests=[pb.ResolveIdentityRequest(**self.account(account)) for account in ACCOUNTS]
        )
        expected = [self.expected(account) for account in ACCOUNTS]

        async def agree(identity: Any) -> Any:
            answer = await identity.BatchResolveIdentities(request)
            return [resolved(result) for result in answer.results]

        for identity in self.world.identities:
            await same(lambda identity=identity: agree(identity), expected)

    def expected(self, account: str) -> tuple[str, str, dict[str, str]] | None:
        held = self.people.holder(account)
        if held is None:
            return None
        root = self.people.root(held.person_id)
        return root, held.link_id, self.people.consent(root)


def consent_of(consent: person_pb2.Consent) -> dict[str, str]:
    """Decisions by purpose, without those that are unset."""
    return {
        purpose: WORDS[state]
        for purpose, state in consent.purposes.items()
        if WORDS[state] != "unset"
    }


def resolved(result: pb.ResolveIdentityResult) -> tuple[str, str, dict[str, str]] | None:
    """Whom an account leads to."""
    if result.HasField("error"):
        return None
    identity = result.response.identity
    return identity.person_id, identity.link_id, consent_of(identity.consent)


async def same(ask: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Ask until the answer is what it has to be, for as long as it may be stale."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while (found := await ask()) != expected:
        assert loop.time() < deadline, (found, expected)
        await asyncio.sleep(0.01)
