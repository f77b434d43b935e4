"""Tens of thousands of random steps: `make soak`."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.cluster import Database
from tests.support.people_machine import PeopleMachine
from tests.support.people_world import people_world

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

RUNS = 200
STEPS = 100


def test_whatever_happens_to_people_their_past_stays_theirs(database: Database):
    with people_world(database) as world:
        PeopleMachine.world = world
        run_state_machine_as_test(
            PeopleMachine,
            settings=settings(
                max_examples=RUNS,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    print(f"\n{PeopleMachine.steps} steps of {RUNS} runs: nothing lost, doubled or misplaced")
