"""Which blob store the settings choose."""

import pytest

from knowledge_svc.settings import Settings
from svckit import settings

POSTGRES = {"KITH_DATABASE_URL": "postgresql://localhost/kith"}
SUPABASE = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KITH_STORE", "KITH_BLOBS", "KITH_BUCKET", *POSTGRES, *SUPABASE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (POSTGRES, "local"),
        (SUPABASE, "supabase"),
        ({**SUPABASE, "KITH_BLOBS": "local"}, "local"),
        ({**SUPABASE, **POSTGRES, "KITH_STORE": "postgres"}, "supabase"),
        ({**SUPABASE, **POSTGRES, "KITH_STORE": "postgres", "KITH_BLOBS": "local"}, "local"),
    ],
)
def test_files_are_where_they_are_forced_to_be_or_where_there_is_a_supabase(
    environment: pytest.MonkeyPatch, given: dict[str, str], chosen: str
):
    for name, value in given.items():
        environment.setenv(name, value)

    assert Settings().blob_backend == chosen


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({**POSTGRES, "KITH_BLOBS": "supabase"}, "SUPABASE_URL"),
        (
            {**POSTGRES, "KITH_BLOBS": "supabase", "KITH_STORE": "postgres",
             "SUPABASE_URL": "https://x.supabase.co"},
            "SUPABASE_SERVICE_ROLE_KEY",
        ),
        ({**POSTGRES, "KITH_BLOBS": "tape"}, "KITH_BLOBS"),
        ({**POSTGRES, "KITH_BUCKET": "a/b"}, "KITH_BUCKET"),
    ],
)  # fmt: skip
def test_what_is_half_given_stops_the_start(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: dict[str, str],
    variable: str,
):  # fmt: skip
    for name, value in given.items():
        environment.setenv(name, value)

    with pytest.raises(SystemExit):
        settings.load(Settings, "knowledge")

    assert variable in capsys.readouterr().err
