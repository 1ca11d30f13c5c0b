"""Nothing that comes in by any door ends in anything but a right result or a VarveError."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.strangers.doors import DOORS, expected
from varve.bounded import parse_json, parse_toml
from varve.cli.options import settings_of
from varve.harmless import visible

SHORT = {"arguments": 40, "settings": 60, "price_files": 60, "tables": 60, "caches": 50, "records": 30}
LONG = {
    "arguments": 1500,
    "settings": 2500,
    "price_files": 2300,
    "tables": 1700,
    "caches": 1000,
    "records": 1000,
}


@pytest.mark.timeout(600)
def test_a_few_of_everything(strangers):
    for door in DOORS:
        for seed in range(SHORT[door]):
            strangers.knock(door, seed)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("door", DOORS)
def test_ten_thousand_of_everything(strangers, door):
    assert sum(LONG.values()) >= 10_000
    for seed in range(1000, 1000 + LONG[door]):
        strangers.knock(door, seed)


TEXTS = st.text(
    st.characters() | st.sampled_from(string.printable + "[]{}=.\"'\0\x1b\u202e\u2028"), max_size=200
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXTS, max_size=3))
def test_any_setting_of_the_command_line(pairs):
    expected(settings_of, pairs)


@settings(max_examples=300, deadline=None)
@given(TEXTS | st.binary(max_size=200))
def test_any_text_is_json_and_toml_or_a_value_error(text):
    for read in (parse_json, parse_toml):
        try:
            read(text if read is parse_json or isinstance(text, str) else text.decode("latin-1"))
        except ValueError:
            continue


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_is_seen_and_never_obeyed(text):
    import unicodedata

    shown = visible(text)
    assert not [
        c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"
    ]
    assert visible(shown) == shown
