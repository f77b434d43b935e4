"""What was promised of search holds on the questions that nothing was tuned on."""

from evaluation.__main__ import PLAIN, evaluate
from tests.support.cluster import Database


async def test_hybrid_leads_on_the_questions_that_were_never_tuned_on(database: Database):
    [found] = (await evaluate(database, [PLAIN])).values()

    unseen = found["never tuned on"]
    for depth in (5, 10, 20):
        others = max(unseen["keyword"][depth], unseen["semantic"][depth])
        assert unseen["hybrid"][depth] > 1.2 * others
