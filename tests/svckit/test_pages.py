"""Page tokens: opaque, bound to their query, and bounded sizes."""

import pytest

from svckit import pages
from svckit.errors import InvalidRequest


def test_a_token_leads_back_to_its_place():
    token = pages.token([5, "x"], "query", {"a": 1})

    assert pages.place(token, "query", {"a": 1}) == [5, "x"]
    assert pages.place("", "query") is None


@pytest.mark.parametrize("token", ["?", "e30", "W10", "bnVsbA", "é", "x" * 3000])
def test_a_malformed_token_is_refused_by_name(token: str):
    with pytest.raises(InvalidRequest) as raised:
        pages.place(token, "query")

    assert raised.value.violations[0][0] == "page_token"


def test_a_token_of_another_query_is_refused():
    token = pages.token(5, "query", 1)

    with pytest.raises(InvalidRequest, match="another query"):
        pages.place(token, "query", 2)


def test_page_sizes_have_a_default_a_bound_and_no_negatives():
    assert pages.size(0, default=50, most=500) == 50
    assert pages.size(9999, default=50, most=500) == 500
    with pytest.raises(InvalidRequest, match="page_size"):
        pages.size(-1, default=50, most=500)
