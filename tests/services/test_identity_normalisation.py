"""One spelling for one platform id."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identity_svc import normalisation
from svckit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("platform", "given_id", "platform_id"),
    [
        ("telegram", "@MiaLind", "mialind"),
        ("telegram", "123456789", "123456789"),
        ("telegram", " @ @Mia ", "mia"),
        ("telegram", "\u200e@\u200eMia", "mia"),
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
        ("phone", "+49 170 123-4567", "+491701234567"),
        ("phone", "+44 (0)20 7946 0958", "+442079460958"),
        ("phone", "＋49 170 1234567", "+491701234567"),
        ("phone", "+٤٩ 170 1234567", "+491701234567"),
        ("phone", "tel:+49-170-1234567", "+491701234567"),
        ("phone", "+39 06 698 12345", "+390669812345"),
        ("phone", "\u202a+49 170 1234567\u202c", "+491701234567"),
        # Of no country that is known.
        ("phone", "+999 12-34", "+9991234"),
        # Without a country code, nobody knows whose it is.
        ("phone", "0170 1234567", "0170 1234567"),
        ("phone", "491701234567", "491701234567"),
        ("phone", "+49 30 123456 ext. 5", "+49 30 123456 ext. 5"),
        ("sms", "+1 (201) 555-0123", "+12015550123"),
        ("sms", " \u2066 tel:\u2068+1 (201) 555-0123\u2069 ", "+12015550123"),
        ("sms", "12345", "12345"),
        ("signal", "+49 170 1234567", "+491701234567"),
        ("signal", "Mia.42", "mia.42"),
        ("imessage", "Mia@Example.com", "mia@example.com"),
        ("whatsapp", "491701234567@s.whatsapp.net", "+491701234567"),
        ("whatsapp", "491701234567:12@s.whatsapp.net", "+491701234567"),
        ("whatsapp", "491701234567.0:12@S.WhatsApp.net", "+491701234567"),
        ("whatsapp", "491701234567@c.us", "+491701234567"),
        ("whatsapp", "491701234567", "+491701234567"),
        ("whatsapp", "+49 170 1234567", "+491701234567"),
        ("whatsapp", "whatsapp:+491701234567", "+491701234567"),
        ("whatsapp", "0170 1234567", "0170 1234567"),
        ("whatsapp", "Mia Lind", "Mia Lind"),
        ("whatsapp", "120363021033254949@g.us", "120363021033254949@g.us"),
        ("whatsapp", "80113415417866@lid", "80113415417866@lid"),
        ("whatsapp", "80113415417866:4@lid", "80113415417866@lid"),
        ("slack", "T123:U456", "T123:U456"),
        ("slack", "T123/U456", "T123:U456"),
        ("slack", "T123-U456", "T123:U456"),
        ("slack", "U456@T123", "T123:U456"),
        ("slack", "W456.E123", "E123:W456"),
        ("slack", "T999:U456", "T999:U456"),
        ("slack", "U456", "U456"),
    ],
)
def test_an_id_is_normalised_by_the_rules_of_its_platform(platform, given_id, platform_id):
    account = normalisation.account(platform, given_id)

    assert (account.platform, account.platform_id) == (platform, platform_id)
    assert account.original == given_id


def ids_of(*fragments: str) -> st.SearchStrategy[str]:
    """Texts that are likely to be taken for what these fragments belong to."""
    return st.lists(st.sampled_from(fragments), max_size=12).map("".join)


IDS = st.one_of(
    st.text(max_size=40),
    ids_of(*"+0123456789 ().-/＋٤", "00", "(0)", "+49", "+52 1", "+54 9", "tel:", "whatsapp:"),
    ids_of(*"1234567890.:+", "@s.whatsapp.net", "@c.us", "@lid", "whatsapp:", "tel:", " "),
    ids_of("T1", "U2", "W3", "E4", *":/|.@- "),
)


@example("@ @Mia", "telegram")
@example("@\u200e \u200e@\u202aMia\u202c", "telegram")
@example("İstanbul", "telegram")
@example("ΣΑΣ", "email")
@example("\u0958", "web")
@example("tel:tel:\u00a0+49 170 1234567", "phone")
@example("whatsapp:491701234567@c.us", "whatsapp")
@settings(max_examples=1000)
@given(IDS, st.sampled_from(["web", *normalisation.RULES]))
def test_normalising_again_changes_nothing(text, platform):
    try:
        once = normalisation.account(platform, text).platform_id
    except InvalidRequest:
        return

    assert normalisation.account(platform, once).platform_id == once
