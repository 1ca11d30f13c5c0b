"""What is known of models, and how much of a window one may have read about."""

from datetime import date

import pytest

from varve.errors import BadFileError, SettingError
from varve.finllm.chat.model_cards import card_of, cards, knowledge_of, knowledge_warning


@pytest.mark.parametrize(
    "spec",
    [
        "openai:Qwen/Qwen3-8B@http://localhost:8000/v1",
        "openai:qwen3-8b@http://localhost:8000/v1",
        "hf:models/Qwen3-8B",
        "hf:Qwen/Qwen3-8B/+my-adapter",
    ],
)
def test_a_model_is_found_however_it_is_named(varve_home, spec):
    assert card_of(spec) == cards()["Qwen/Qwen3-8B"]


def test_an_unheard_of_model_has_no_card(varve_home):
    assert card_of("openai:homebrew@http://localhost:1/v1") is None


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (date(2023, 1, 3), date(2023, 12, 31), "inside"),
        (date(2023, 12, 31), date(2024, 6, 1), "partly"),
        (date(2024, 1, 1), date(2024, 6, 1), "after"),
    ],
)
def test_a_window_lies_inside_across_or_after_a_cutoff(varve_home, start, end, status):
    found = knowledge_of("hf:Llama-3.1-8B-Instruct", start, end, synthetic=False)
    assert (found["status"], found["known_until"]) == (status, "2023-12-31")
    assert (knowledge_warning(found) is None) == (status == "after")


def test_where_no_cutoff_is_stated_the_release_bounds_it(varve_home):
    found = knowledge_of("hf:Qwen3-8B", date(2025, 4, 1), date(2025, 4, 29), synthetic=False)
    assert found["status"] == "inside"


def test_no_model_has_read_about_synthetic_data_and_nano_about_none(varve_home):
    days = date(2022, 1, 3), date(2022, 6, 1)
    assert knowledge_of("hf:Qwen3-8B", *days, synthetic=True)["status"] == "none"
    assert knowledge_of("nano", *days, synthetic=False)["status"] == "none"
    assert knowledge_of("openai:homebrew@u", *days, synthetic=False)["status"] == "unknown"


def test_the_users_file_adds_and_wins(varve_home):
    (varve_home / "models.toml").write_text(
        '["homebrew"]\nknowledge_cutoff = 2020-01-01\n["gpt-4o"]\nknowledge_cutoff = 2021-01-01\n'
    )
    assert card_of("openai:homebrew@u").known_until == date(2020, 1, 1)
    assert card_of("openai:gpt-4o@u").known_until == date(2021, 1, 1)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("homebrew = 3\n", BadFileError, ["homebrew", "table"]),
        ("[homebrew\n", BadFileError, ["models.toml"]),
        ("[homebrew]\ncutoff = 2020-01-01\n", SettingError, ["models.toml", "cutoff", "knowledge_cutoff"]),
        ('[homebrew]\nknowledge_cutoff = "soon"\n', SettingError, ["models.toml", "knowledge_cutoff"]),
    ],
)
def test_a_bad_users_file_is_named(varve_home, text, error, words):
    (varve_home / "models.toml").write_text(text)
    with pytest.raises(error) as caught:
        cards()
    for word in words:
        assert word in str(caught.value)
