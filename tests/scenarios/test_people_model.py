"""Hundreds of random steps: nobody's past is lost, doubled or somebody else's."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.cluster import Database
from tests.support.people_machine import PeopleMachine
from tests.support.people_world import people_world

RUNS = 8
STEPS = 50


@pytest.mark.timeout(300)
def test_whatever_happens_to_people_their_past_stays_theirs(database: Database):
    with people_world(database) as world:
        PeopleMachine.world = world
        run_state_machine_as_test(
            PeopleMachine,
            settings=settings(
                max_examples=RUNS,
                stateful_step_count=STEPS,
                deadline=None,
                # The same steps each time: the soak test is who looks for new ones.
                derandomize=True,
                # A failure is told at once: shrinking it is minutes of runs, for the soak test.
                phases=[Phase.generate],
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    assert PeopleMachine.steps > RUNS * STEPS
