"""Erasures, and what they cannot force."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from gateway.answers import erasures as answers
from gateway.rendering.values import moment
from kith.identity.v1 import erasure_pb2

_ALWAYS: list[answers.CaveatAnswer] = [
    {
        "about": "places in the log",
        "detail": "The log keeps the place of each event (id, position, times, type, platform, ids "
        "of subject and group), without content: positions of others depend on it.",
    },
    {
        "about": "backups",
        "detail": "Backups, replicas and write-ahead logs keep what they hold for as long as they "
        "are kept; after restoring one, erase the person again.",
    },
    {
        "about": "freed space",
        "detail": "Freed space in the database and on its disk is overwritten when it is used "
        "again; VACUUM FULL, or an encrypted disk, makes sure.",
    },
    {
        "about": "copies",
        "detail": "Whoever followed the log or exported the person before has what they took; "
        "an event of type `erasure` told followers.",
    },
]
_BY_BACKEND: dict[str, answers.CaveatAnswer] = {
    "pinecone": {
        "about": "pinecone",
        "detail": "Vectors are deleted at Pinecone; its own backups follow its retention.",
    },
    "voyage": {
        "about": "voyage",
        "detail": "Texts were sent to Voyage AI to be embedded; what it keeps of them follows its "
        "retention.",
    },
    "supabase": {
        "about": "supabase",
        "detail": "Supabase keeps backups and logs by its own retention.",
    },
}


def erasure(
    message: erasure_pb2.Erasure, caveats: Sequence[answers.CaveatAnswer]
) -> answers.ErasureAnswer:
    """How far an erasure is."""
    is_done = message.state == erasure_pb2.ERASURE_STATE_SUCCEEDED
    steps = [_step(step) for step in message.steps]
    return {
        "erasure_id": message.erasure_id,
        "state": "succeeded" if is_done else "running",
        "person_ids": list(message.person_ids),
        "subject_ids": list(message.subject_ids),
        "steps": steps,
        "erased": _sum([step["erased"] for step in steps]),
        "remaining": _sum([step["remaining"] for step in steps]),
        "started_at": moment(message, "started_at"),
        "finished_at": moment(message, "finished_at"),
        "caveats": list(caveats),
    }


def caveats(backends: Mapping[str, str]) -> list[answers.CaveatAnswer]:
    """What an erasure cannot force with these backends."""
    used = dict.fromkeys(backends.values())
    return [*_ALWAYS, *(_BY_BACKEND[name] for name in used if name in _BY_BACKEND)]


def _step(message: erasure_pb2.ErasureStep) -> answers.ErasureStepAnswer:
    name = erasure_pb2.ErasureStage.Name(message.stage).removeprefix("ERASURE_STAGE_").lower()
    return {
        "stage": cast(Literal["knowledge", "events", "identity"], name),
        "erased": dict(sorted(message.erased.items())),
        "remaining": dict(sorted(message.remaining.items())),
        "recorded_at": moment(message, "recorded_at"),
    }


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
