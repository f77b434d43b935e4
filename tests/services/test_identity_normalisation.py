"""One spelling for one platform id."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identity_svc import normalisation
from svckit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("platform", "given_id", "platform_id"),
    [
        ("telegram", "@MiaLind", "mialind"),
        ("telegram", "123456789", "123456789"),
        ("telegram", " @ @Mia ", "mia"),
        ("instagram", "@Mia.Lind", "mia.lind"),
        ("x", "@MiaLind", "mialind"),
        ("twitter", "MIALIND", "mialind"),
        ("github", "MiaLind", "mialind"),
        ("mastodon", "@Mia@Example.SOCIAL", "mia@example.social"),
        ("email", "Mia@Example.COM", "mia@example.com"),
        ("discord", "@Mia", "@Mia"),
        ("discord", "80351110224678912", "80351110224678912"),
        ("slack", "U024BE7LH", "U024BE7LH"),
        ("web", "  Mixed Case kept ", "Mixed Case kept"),
        ("auth", "https://issuer|Sub-1", "https://issuer|Sub-1"),
        ("web", "Zoe\u0308", "Zo\u00eb"),
        ("telegram", "ZOE\u0308", "zo\u00eb"),
        ("web", "名前", "名前"),
        ("web", "x" * 256, "x" * 256),
    ],
)
def test_an_id_is_normalised_by_the_rules_of_its_platform(platform, given_id, platform_id):
    account = normalisation.account(platform, given_id)

    assert (account.platform, account.platform_id) == (platform, platform_id)
    assert account.original == given_id


@example("@ @Mia", "telegram")
@example("İstanbul", "telegram")
@example("ΣΑΣ", "email")
@example("\u0958", "web")
@given(st.text(max_size=40), st.sampled_from(["web", *normalisation.RULES]))
def test_normalising_again_changes_nothing(text, platform):
    try:
        once = normalisation.account(platform, text).platform_id
    except InvalidRequest:
        return

    assert normalisation.account(platform, once).platform_id == once
