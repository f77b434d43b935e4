"""The same conversation as others would store it: whether search finds as much."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evaluation import corpus
from evaluation.corpus import Said
from kith.knowledge.v1 import knowledge_pb2
from svckit import fields, ids

Change = Callable[[knowledge_pb2.NewKnowledge, Said], None]


@dataclass(frozen=True)
class Variant:
    """A way to store the conversation, in a namespace of its own, among so many others."""

    name: str
    namespace: str
    change: Change
    others: int = 0

    def items(self) -> Iterator[tuple[Said | None, knowledge_pb2.NewKnowledge]]:
        """What to store; messages that answer nothing come without what was said."""
        said = list(corpus.conversation())
        for position, one in enumerate(said, start=1):
            item = self._item(one.message_id, one, position)
            self.change(item, one)
            yield one, item
        chooser = random.Random(11)
        words = " ".join(one.text for one in said).split()
        for other in range(self.others):
            for position, one in enumerate(said, start=1):
                item = self._item(f"{other}/{one.message_id}", one, position)
                item.session_id = ids.named("evaluation", "other", str(other), one.session)
                item.content = " ".join(chooser.choices(words, k=len(one.text.split())))
                yield None, item

    def _item(self, name: str, said: Said, position: int) -> knowledge_pb2.NewKnowledge:
        return knowledge_pb2.NewKnowledge(
            knowledge_id=ids.named("evaluation", self.namespace, name),
            namespace=self.namespace,
            content=said.text,
            subject_id=ids.named("evaluation", said.speaker),
            session_id=ids.named("evaluation", "session", said.session),
            source_event_id=ids.named("evaluation", "event", self.namespace, name),
            source_position=position,
            occurred_at=fields.to_timestamp(said.at),
        )


def _as_the_gateway_does(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    pass


def _signed(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    item.content = f"{said.speaker}: {said.text}"


def _in_one_session(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    item.session_id = ids.named("evaluation", "everything")


def _without_session(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    item.session_id = ""


def _of_one_subject(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    item.session_id, item.subject_id = "", ids.named("evaluation", "both")


def _without_event(item: knowledge_pb2.NewKnowledge, said: Said) -> None:
    item.source_event_id, item.source_position = "", 0


PLAIN = Variant("as the gateway stores it", "plain", _as_the_gateway_does)
OTHERS = (
    Variant("each text with its speaker's name", "signed", _signed),
    Variant("everything in one session", "one-session", _in_one_session),
    Variant("no session, a subject for each speaker", "no-session", _without_session),
    Variant("no session, one subject", "one-subject", _of_one_subject),
    Variant("stored directly, without events", "direct", _without_event),
    Variant("among 3,950 others of the same words", "padded", _as_the_gateway_does, others=10),
)
